"""Expert load of a torch router, counted by forward hooks on the device the router runs on.

torch is imported here alone, when the first module is watched. A hook never returns a value, so it cannot change what
the model computes. Counting stays on the device: nothing waits for it until a generation is logged or a scrape asks.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from dashboard.catalogue import experts as catalogue
from dashboard.observer.failures import Failures
from dashboard.observer.values import Family, LabelValues

Extract = Callable[[Any, Any, Any], Any]  # (module, inputs, output) → tensor of indices or logits

RECENT_SECONDS = 60.0
ROUTER_NAMES = frozenset({"gate", "router", "gating", "switch_router", "classifier_router"})
COUNT_ATTRIBUTES = ("num_experts", "n_experts", "num_local_experts", "n_routed_experts")
TOP_K_ATTRIBUTES = ("top_k", "num_experts_per_tok", "k", "topk", "num_selected_experts")


class Watch:
    """The routers of one model, a layer each, numbered in the order the model declares them.

    A single watched router has no layer label. Use as a context, or call `remove()`.
    """

    def __init__(
        self, failures: Failures, *, experts: int | None, top_k: int | None, extract: Extract | None
    ) -> None:
        self._failures = failures
        self._experts = experts
        self._top_k = top_k
        self._extract = extract or chosen
        self._hooks: list[Any] = []
        self._layers: list[str] = []
        self._counts: dict[str, Any] = {}  # layer → (experts,) int64 tensor on the router's device
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
        self._layers = [""] if len(routers) == 1 else [str(number) for number in range(len(routers))]
        for layer, router in zip(self._layers, routers, strict=True):
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
        """(layer, expert_id) → tokens sent there since the watch began; waits for the device."""
        with self._lock:
            counted = {layer: counts.tolist() for layer, counts in self._counts.items()}
        return {
            (layer, str(expert)): float(tokens)
            for layer, totals in counted.items()
            for expert, tokens in enumerate(totals)
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

        found = self._extract(module, inputs, output).detach()
        experts = self._experts or _attribute(module, COUNT_ATTRIBUTES)
        if found.is_floating_point():
            experts = found.shape[-1]
            top_k = self._top_k or _attribute(module, TOP_K_ATTRIBUTES)
            if top_k is None:
                raise LookupError("the router does not say its top-k: pass top_k=")
            found = found.topk(min(top_k, experts), dim=-1).indices
        if experts is None:
            raise LookupError("the router does not say how many experts it has: pass experts=")
        chosen_experts = found.reshape(-1).to(torch.int64)
        with self._lock, torch.no_grad():
            counts = self._counts.get(layer)
            if counts is None:
                counts = self._counts[layer] = torch.zeros(
                    experts, dtype=torch.int64, device=chosen_experts.device
                )
            # scatter_add, not bincount: bincount waits for the device to learn its output's size
            counts.scatter_add_(0, chosen_experts, torch.ones_like(chosen_experts))


def chosen(_module: Any, _inputs: Any, output: Any) -> Any:
    """The default extraction: integer indices where the output has some, else its first float tensor as logits.

    Fits Hugging Face routers, which return logits, or a tuple (logits, weights, indices) in either order.

    Raises:
        LookupError: the output holds no tensor.
    """
    tensors = [part for part in _parts(output) if hasattr(part, "is_floating_point") and part.dim() > 0]
    whole = [part for part in tensors if not part.is_floating_point() and part.dtype.is_signed]
    if whole:
        return whole[0]
    if tensors:
        return tensors[0]
    raise LookupError(f"a router returned {type(output).__name__} without a tensor: pass extract=")


def find_routers(module: Any, select: Callable[[str, Any], bool] | None) -> Iterator[Any]:
    """The routers in a model, in the order it declares them; the module itself where it holds none."""
    named = [(name, part) for name, part in module.named_modules() if name]
    if select is not None:
        yield from (part for name, part in named if select(name, part))
        return
    routers = [(name, part) for name, part in named if _is_router(name, part)]
    outer = [part for name, part in routers if not any(name.startswith(f"{other}.") for other, _ in routers)]
    yield from outer or [module]


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
