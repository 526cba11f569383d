"""Expert load of a torch router, counted by forward hooks on the device the router runs on.

torch is imported here alone, when the first module is watched. A hook never returns a value, so it cannot change what
the model computes. Counting stays on the device: nothing waits for it until a generation is logged or a scrape asks.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from dashboard.catalogue import experts as catalogue
from dashboard.observer.failures import Failures
from dashboard.observer.values import Family, LabelValues

Extract = Callable[[Any, Any, Any], Any]  # (module, inputs, output) → indices, mask or logits, see Watch

RECENT_SECONDS = 60.0
ROUTER_NAMES = frozenset({"gate", "router", "gating", "switch_router", "classifier_router"})
COUNT_ATTRIBUTES = ("num_experts", "n_experts", "num_local_experts", "n_routed_experts")
TOP_K_ATTRIBUTES = ("top_k", "num_experts_per_tok", "k", "topk", "num_selected_experts")
# Routers of Hugging Face whose output says it in a place of its own: class → what is in it
ODD_ROUTERS: dict[str, Callable[[Any], Any]] = {
    "JetMoeTopKGating": lambda output: output[-1],  # its integers are places of tokens; the logits come last
    "NllbMoeTop2Router": lambda output: (
        output[1] != 0
    ),  # its mask is of the first expert alone; the weights are of both
}


class Watch:
    """The routers of one model, a layer each, under the model's own layer numbers where every router has one.

    A single watched router has no layer label. Use as a context, or call `remove()`. What `extract` returns is counted
    by its type: integers are indices of chosen experts, negative where a token was dropped; booleans (…, experts) are
    true where a token goes to the expert; floats (…, experts) are logits, of which the top-k are chosen.
    """

    def __init__(
        self, failures: Failures, *, experts: int | None, top_k: int | None, extract: Extract | None
    ) -> None:
        self._failures = failures
        self._experts = experts
        self._top_k = top_k
        self._extract = extract or chosen
        self._hooks: list[Any] = []
        # layer → (experts + 1,) int64 tensor on the router's device; last: tokens sent beyond the last expert
        self._counts: dict[str, Any] = {}
        self._nonsense: set[str] = set()  # layers that sent tokens to experts which do not exist
        self._lock = threading.Lock()
        self._reported: dict[LabelValues, float] = {}
        self._history: deque[tuple[float, dict[LabelValues, float]]] = deque()

    def attach(self, module: Any, select: Callable[[str, Any], bool] | None) -> None:
        """Hook every router of `module`.

        Raises:
            LookupError: no router was found.
        """
        routers = list(find_routers(module, select))
        if not routers:
            raise LookupError(
                f"no router found in {type(module).__name__}: pass the router module itself, or select="
            )
        for layer, (_, router) in zip(layers([name for name, _ in routers]), routers, strict=True):
            self._hooks.append(router.register_forward_hook(self._hook(layer)))

    def remove(self) -> None:
        """Take the hooks off; what was counted stays."""
        for hook in self._hooks:
            with self._failures.swallowing("take a hook off"):
                hook.remove()
        self._hooks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def totals(self) -> dict[LabelValues, float]:
        """(layer, expert_id) → tokens sent there since the watch began; waits for the device.

        A layer that sent tokens to experts it does not have was misread: it is said, counted and left out from then on.
        """
        with self._lock:
            counted = {layer: counts.tolist() for layer, counts in self._counts.items()}
            misread = {layer: totals[-1] for layer, totals in counted.items() if totals[-1]}
            self._nonsense.update(misread)
            for layer in misread:
                del self._counts[layer]
        for layer, tokens in misread.items():
            with self._failures.swallowing(f"read router {layer}"):
                raise LookupError(f"it named experts beyond its last one {tokens} times: pass extract=")
        return {
            (layer, str(expert)): float(tokens)
            for layer, totals in counted.items()
            if layer not in misread
            for expert, tokens in enumerate(totals[:-1])
        }

    def generation(self) -> dict[Any, Family]:
        """Shares of the tokens routed since the last call, their variance, and the totals; empty where none were routed."""
        totals = self.totals()
        shares = _shares(totals, self._reported)
        self._reported = totals
        if not shares:
            return {catalogue.UTILIZATION: {}, catalogue.BALANCE_VARIANCE: {}} if totals else {}
        return {
            catalogue.UTILIZATION: {**shares},
            catalogue.BALANCE_VARIANCE: {(): _variance(shares)},
            catalogue.TOKENS: {**totals},
        }

    def recent(self) -> dict[LabelValues, float]:
        """Shares of the tokens routed within about the last minute."""
        now, totals = time.monotonic(), self.totals()
        self._history.append((now, totals))
        while len(self._history) > 1 and self._history[1][0] <= now - RECENT_SECONDS:
            self._history.popleft()
        first = self._history[0][1] if len(self._history) > 1 else {}
        return _shares(totals, first)

    def _hook(self, layer: str) -> Callable[[Any, Any, Any], None]:
        def count(module: Any, inputs: Any, output: Any) -> None:
            with self._failures.swallowing(f"count the tokens of router {layer or type(module).__name__}"):
                self._count(layer, module, inputs, output)

        return count

    def _count(self, layer: str, module: Any, inputs: Any, output: Any) -> None:
        import torch

        if layer in self._nonsense:
            return
        found = self._extract(module, inputs, output).detach()
        experts = self._experts or _attribute(module, COUNT_ATTRIBUTES)
        if found.is_floating_point():
            experts = found.shape[-1]
            top_k = self._top_k or _attribute(module, TOP_K_ATTRIBUTES)
            if top_k is None:
                raise LookupError("the router does not say its top-k: pass top_k=")
            found = found.topk(min(top_k, experts), dim=-1).indices
        elif found.dtype == torch.bool:
            experts = found.shape[-1]
            ids = torch.arange(experts, device=found.device)
            found = torch.where(found, ids, -1)
        if experts is None:
            raise LookupError("the router does not say how many experts it has: pass experts=")
        ids = found.reshape(-1).to(torch.int64)
        with self._lock, torch.no_grad():
            counts = self._counts.get(layer)
            if counts is None:
                counts = self._counts[layer] = torch.zeros(experts + 1, dtype=torch.int64, device=ids.device)
            # scatter_add, not bincount: bincount waits for the device to learn its output's size. And never outside of
            # the counts: on a GPU that would end the observed process.
            counts.scatter_add_(0, ids.clamp(0, experts), (ids >= 0).to(torch.int64))


def chosen(module: Any, _inputs: Any, output: Any) -> Any:
    """The default extraction: indices of experts or a dispatch mask where the output has integers, else its first floats as logits.

    Fits the routers of Hugging Face transformers: logits alone, a tuple (logits, weights, indices) in any order, a
    one-hot mask of as many columns as there are experts (Switch), and the classes in `ODD_ROUTERS`.

    Raises:
        LookupError: the output holds no tensor.
    """
    odd = ODD_ROUTERS.get(type(module).__name__)
    if odd is not None:
        return odd(output)
    tensors = [part for part in _parts(output) if hasattr(part, "is_floating_point") and part.dim() > 0]
    whole = [part for part in tensors if not part.is_floating_point() and part.dtype.is_signed]
    if whole:
        experts, top_k = _attribute(module, COUNT_ATTRIBUTES), _attribute(module, TOP_K_ATTRIBUTES)
        is_mask = whole[0].dim() > 1 and whole[0].shape[-1] == experts and top_k != experts
        return whole[0].bool() if is_mask else whole[0]
    if tensors:
        return tensors[0]
    raise LookupError(f"a router returned {type(output).__name__} without a tensor: pass extract=")


def find_routers(module: Any, select: Callable[[str, Any], bool] | None) -> Iterator[tuple[str, Any]]:
    """Qualified name and module of each router, in the order the model declares them; ("", the module itself) where it holds none."""
    named = [(name, part) for name, part in module.named_modules() if name]
    if select is not None:
        yield from ((name, part) for name, part in named if select(name, part))
        return
    routers = [(name, part) for name, part in named if _is_router(name, part)]
    outer = [
        (name, part)
        for name, part in routers
        if not any(name.startswith(f"{other}.") for other, _ in routers)
    ]
    yield from outer or [("", module)]


def layers(names: Sequence[str]) -> list[str]:
    """The layer label of each router by its qualified name: `model.layers.3.mlp.gate` is layer 3.

    Where a name has no number, or two have the same (an encoder's and a decoder's), they are counted from 0. One router
    alone needs no label.
    """
    if len(names) == 1:
        return [""]
    numbers = [next((part for part in name.split(".") if part.isdecimal()), "") for name in names]
    if "" in numbers or len(set(numbers)) < len(numbers):
        return [str(number) for number in range(len(names))]
    return numbers


def _is_router(name: str, module: Any) -> bool:
    kind = type(module).__name__.lower()
    return name.rsplit(".", 1)[-1] in ROUTER_NAMES or kind.endswith(("router", "gate", "gating"))


def _parts(output: Any) -> Iterator[Any]:
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, (tuple, list)):
        for part in output:
            yield from _parts(part)
    else:
        yield output


def _attribute(module: Any, names: tuple[str, ...]) -> int | None:
    return next((value for name in names if isinstance(value := getattr(module, name, None), int)), None)


def _shares(
    totals: Mapping[LabelValues, float], before: Mapping[LabelValues, float]
) -> dict[LabelValues, float]:
    """Share of each expert in its layer's tokens since `before`; layers without tokens are left out."""
    tokens = {labels: total - before.get(labels, 0.0) for labels, total in totals.items()}
    layers: dict[str, float] = {}
    for (layer, _), count in tokens.items():
        layers[layer] = layers.get(layer, 0.0) + count
    return {labels: count / layers[labels[0]] for labels, count in tokens.items() if layers[labels[0]] > 0}


def _variance(shares: Mapping[LabelValues, float]) -> float:
    """Population variance of the shares, averaged over layers."""
    layers: dict[str, list[float]] = {}
    for (layer, _), share in shares.items():
        layers.setdefault(layer, []).append(share)
    variances = [
        math.fsum((share - 1 / len(row)) ** 2 for share in row) / len(row) for row in layers.values()
    ]
    return math.fsum(variances) / len(variances)
