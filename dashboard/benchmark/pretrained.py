"""Hugging Face MoE models with random weights as a target: any configuration the operator named, never a download.

Needs the extra `transformers`. A cell is prefill (a batch of prompts, all logits) or decode (one token more on a cache
that holds `sequence` tokens already), by one of transformers' own implementations of the experts.
"""

import json
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.benchmark.spec import Cell, Scalar
from dashboard.benchmark.workload import Skip, Workload
from dashboard.benchmark.workloads import compiler_or_skip, dtype_of, torch

# Median over tokens of the relative error of their logits against float64. The median, because a token whose two best
# experts are nearly tied goes another way in another precision: that is the dtype, not the implementation.
ERROR_LIMITS = {"float32": 1e-3, "float16": 5e-2, "bfloat16": 1e-1}

IMPLEMENTATIONS = ("grouped_mm", "batched_mm", "eager")
_REFERENCE_BYTES_AT_MOST = (
    4 * 2**30
)  # a model larger than this in float64 is checked against eager in its own dtype
_GATHER_BYTES_AT_MOST = 8 * 2**30  # what batched_mm may copy for one layer
_SEED = 20_240_607
_TOP_K = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")

_SIZES = {
    "cpu": {"quick": ((1,), (16,)), "standard": ((1, 4), (16, 64)), "full": ((1, 4, 16), (16, 64))},
    "cuda": {"quick": ((8,), (512,)), "standard": ((1, 8, 32), (512,)), "full": ((1, 8, 32), (128, 512, 2048))},
}  # fmt: skip


def cells(profile: str, kind: str) -> list[dict[str, Scalar]]:
    """Phase × experts implementation × batch × sequence × dtype; compiled at the largest size, not in the quick profile."""
    batches, sequences = _SIZES[kind][profile]
    dtypes = ["bfloat16" if kind == "cuda" else "float32"]
    if profile == "full" and kind == "cuda":
        dtypes.append("float32")
    found: list[dict[str, Scalar]] = [
        {"phase": phase, "experts": experts, "batch": batch, "sequence": length, "dtype": dtype}
        for dtype in dtypes
        for phase in ("prefill", "decode")
        for length in sequences
        for batch in batches
        for experts in (IMPLEMENTATIONS if dtype == dtypes[0] else IMPLEMENTATIONS[:1])
    ]
    if profile != "quick":
        found += [
            {"phase": phase, "experts": "batched_mm" if kind == "cpu" else "grouped_mm", "batch": batches[0],
             "sequence": sequences[0], "dtype": dtypes[0], "compile": "inductor"}
            for phase in ("prefill", "decode")
        ]  # fmt: skip
    return found


def model(cell: Cell, device: str, arguments: Mapping[str, Scalar]) -> Workload:
    """One cell of the model that the operator configured.

    Arguments: `config_file`, a config.json, or `model_type` with `fields` (a JSON object).
    """
    dtype = dtype_of(cell)
    name = str(cell.params["dtype"])
    loaded = _Loaded.of(_key(arguments), device, dtype)
    batch, sequence = int(cell.params["batch"]), int(cell.params["sequence"])
    experts, phase = str(cell.params["experts"]), str(cell.params["phase"])
    tokens = batch * (sequence if phase == "prefill" else 1)
    if experts == "batched_mm" and (wanted := loaded.gathered_bytes(tokens)) > _GATHER_BYTES_AT_MOST:
        raise Skip(
            f"batched_mm would copy {wanted / 2**30:.1f} GiB of weights a layer for {tokens} tokens at once"
        )
    loaded.net.set_experts_implementation(experts)
    forward = loaded.net.forward
    if cell.params.get("compile", "no") != "no":
        compiler_or_skip(device)
        forward = torch.compile(forward, dynamic=False, backend=str(cell.params["compile"]))

    def make_input(seed: int) -> Any:
        generator = torch.Generator().manual_seed(_SEED + seed)
        length = sequence if phase == "prefill" else sequence + 1
        ids = torch.randint(0, loaded.vocabulary, (batch, length), generator=generator).to(device)
        if phase == "prefill":
            return _Prompt(ids, None)
        with torch.inference_mode():
            cache = loaded.net(ids[:, :sequence], use_cache=True).past_key_values
        cache.activate_past_recording()  # a sliding window forgets what a step back would need
        return _Prompt(ids, cache)

    def call(prompt: _Prompt) -> Any:
        if prompt.cache is None:
            return forward(prompt.ids, use_cache=False).logits
        logits = forward(prompt.ids[:, sequence:], past_key_values=prompt.cache, use_cache=True).logits
        prompt.cache.crop(-1)  # back to where it was, for the next call; part of what is timed
        return logits

    def error(prompt: _Prompt, logits: Any) -> float:
        loaded.net.set_experts_implementation("eager")
        right = loaded.reference()(prompt.ids, use_cache=False).logits
        loaded.net.set_experts_implementation(experts)
        right = right[:, -logits.shape[1] :].double()
        distance = (logits.double() - right).norm(dim=-1) / right.norm(dim=-1)
        return float(distance.median())

    return Workload(
        call=torch.inference_mode()(call),
        make_input=make_input,
        samples=batch,
        tokens=tokens,
        error=torch.inference_mode()(error),
        error_limit=ERROR_LIMITS[name],
        input_bytes=loaded.bytes,
        flops=loaded.flops(tokens),
        details={
            "model_type": loaded.net.config.model_type,
            "parameters": loaded.parameters,
            "parameters_active": loaded.active,
            "experts": loaded.experts,
            "top_k": loaded.top_k,
            "experts_implementation": experts,
            "weights": "random",
            "error_against": loaded.checked_by,
            "compile": str(cell.params.get("compile", "no")),
        },
    )


model.cells = cells  # type: ignore[attr-defined]  # the axes of this factory; see `workload`


@dataclass(slots=True)
class _Prompt:
    ids: Any  # (batch, sequence), one more for decode
    cache: Any  # of the first `sequence` tokens, for decode


class _Loaded:
    """One model on the device, kept for the cells of a launch that share it."""

    _kept: "tuple[tuple[object, ...], _Loaded] | None" = None

    @classmethod
    def of(cls, key: str, device: str, dtype: Any) -> "_Loaded":
        """The model of this configuration; the one before is let go first."""
        asked = (key, device, str(dtype))
        if cls._kept is None or cls._kept[0] != asked:
            cls._kept = None
            cls._kept = (asked, cls(json.loads(key), device, dtype))
        return cls._kept[1]

    def __init__(self, config: dict[str, Any], device: str, dtype: Any) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is ever fetched
        try:
            from transformers import AutoModelForCausalLM
            from transformers.models.auto.configuration_auto import CONFIG_MAPPING
        except ImportError as why:
            raise ValueError(
                f'transformers is not installed ({why}); pip install "moe-router-dashboard[transformers]"'
            ) from why
        kind = config.pop("model_type", None)
        if kind not in CONFIG_MAPPING:
            raise ValueError(f"transformers has no model_type {kind!r}")
        for fetched in ("auto_map", "quantization_config", "dtype", "torch_dtype"):
            config.pop(fetched, None)  # code of a stranger, and what random weights have not
        made = CONFIG_MAPPING[kind].from_dict(config)
        text = made.get_text_config()
        experts, top_k = _first(text, _EXPERTS), _first(text, _TOP_K)
        if experts is None:
            raise ValueError(f"a {kind} configuration has no experts")
        self.experts, self.top_k, self.vocabulary = experts, top_k, int(text.vocab_size)
        torch.manual_seed(_SEED)
        with torch.device(device):
            self.net: Any = AutoModelForCausalLM.from_config(made, dtype=dtype)  # type: ignore[no-untyped-call]  # theirs
        self.net.eval().requires_grad_(False)
        stacked = [
            weight
            for weight in self.net.parameters()
            if weight.dim() == 3 and weight.shape[0] in (experts, experts + 1)
        ]
        self.parameters = sum(weight.numel() for weight in self.net.parameters())
        of_experts = sum(weight.numel() for weight in stacked)
        embedding = self.net.get_input_embeddings().weight.numel()
        self.active = (
            None
            if top_k is None
            else self.parameters - embedding - of_experts + of_experts * top_k // experts
        )
        self.bytes = sum(weight.numel() * weight.element_size() for weight in self.net.parameters())
        layers = max(1, int(getattr(text, "num_hidden_layers", 1)))
        self._one_expert_bytes = sum(w.numel() * w.element_size() for w in stacked) // experts // layers
        self._reference: Any = None
        fits = 8 * self.parameters <= _REFERENCE_BYTES_AT_MOST
        self.checked_by = "float64" if fits else "the eager experts in the same dtype"

    def flops(self, tokens: int) -> float | None:
        """Multiplications and additions of the matrix products; attention over the context is left out."""
        return None if self.active is None else 2.0 * self.active * tokens

    def gathered_bytes(self, tokens: int) -> int:
        """What batched_mm copies in one layer: the experts' weights for every token."""
        return int(self._one_expert_bytes) * tokens * (self.top_k or 1)

    def reference(self) -> Any:
        """What the answers are held against."""
        if self.checked_by != "float64":
            return self.net
        if self._reference is None:
            self._reference = deepcopy(self.net).double()
            self._reference.set_experts_implementation("eager")
        return self._reference


def _key(arguments: Mapping[str, Scalar]) -> str:
    """The configuration as one JSON text."""
    if "config_file" in arguments:
        return json.dumps(json.loads(Path(str(arguments["config_file"])).read_text(encoding="utf-8")))
    return json.dumps({"model_type": arguments["model_type"], **json.loads(str(arguments["fields"]))})


def _first(config: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
