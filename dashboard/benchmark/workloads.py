"""The two targets we ship, as factories: the reference layer, and the layer an observed router evolved. Imports torch."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch as torch  # `pretrained` takes it from here: this is the module that loads it
from torch import Tensor

from dashboard.benchmark.reference_moe import Path as ExpertsPath
from dashboard.benchmark.reference_moe import (
    ReferenceMoE,
    Shape,
    Skew,
    grouped_mm_runs,
    per_token_reference,
    routing_error,
)
from dashboard.benchmark.spec import Cell, Scalar
from dashboard.benchmark.workload import Skip, Workload

# Sizes of Qwen3-30B-A3B's layers on a GPU; a CPU gets a layer of the same kind that fits its minute.
SHAPES = {
    "cuda": Shape(model_size=2048, expert_size=768, experts=128, top_k=8),
    "cpu": Shape(model_size=256, expert_size=512, experts=8, top_k=2),
}
# Relative error against float64 that the dtype explains: a few units in its last place over sums of this length.
ERROR_LIMITS = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 2e-2}

_CHECKED_TOKENS = 96
_KERNELS_GROUPED = 15  # launches of one forward pass, for the launch bound of the roofline
_INPUT_SCALE_SEED = 1_000_003


def reference_moe(cell: Cell, device: str, arguments: Mapping[str, Scalar]) -> Workload:
    """The reference layer with random weights."""
    del arguments
    dtype = dtype_of(cell)
    layer = ReferenceMoE(
        SHAPES[device],
        dtype=dtype,
        device=device,
        skew=cast("Skew", cell.params.get("skew", "uniform")),
        path=_experts(cell),
    )
    return _workload(layer, cell, device, dtype, {"weights": "random"})


def observed_router(cell: Cell, device: str, arguments: Mapping[str, Scalar]) -> Workload:
    """A layer with the experts, the top-k and the topology of the newest observed run.

    Arguments: `topology_file`; `checkpoint_file` where the run keeps its weights (see `Checkpoint`), else
    `model_size` and `expert_size` for random weights of that size.
    """
    topology = json.loads(Path(str(arguments["topology_file"])).read_text(encoding="utf-8"))
    mask = torch.tensor(topology["matrix"], dtype=torch.bool)
    checkpoint = None
    if "checkpoint_file" in arguments:
        checkpoint = Checkpoint.load(Path(str(arguments["checkpoint_file"])))
        if checkpoint.up.shape[0] != mask.shape[1]:
            raise ValueError(
                f"the checkpoint has {checkpoint.up.shape[0]} experts, the topology {mask.shape[1]}"
            )
    shape = Shape(
        model_size=int(arguments["model_size"]) if checkpoint is None else checkpoint.up.shape[1],
        expert_size=int(arguments["expert_size"]) if checkpoint is None else checkpoint.up.shape[2],
        experts=mask.shape[1],
        top_k=min(int(topology["top_k"]), mask.shape[1]),
        gated=checkpoint is None,
    )
    dtype = dtype_of(cell)
    skew = cast("Skew", cell.params.get("skew", "uniform"))
    layer = ReferenceMoE(shape, dtype=dtype, device=device, mask=mask, skew=skew, path=_experts(cell))
    if checkpoint is not None:
        checkpoint.into(layer)
    details = {
        "observed_run": str(arguments.get("observed_run", "")),
        "generation": topology.get("generation"),
        "connections_open": int(mask.sum()),
        "weights": "random" if checkpoint is None else "the run's own",
    }
    return _workload(layer, cell, device, dtype, details)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights an observed run keeps in checkpoint.pt: {"experts": state dict} with `up` (E, D, H), `down` (E, H, D),
    `gate.weight` (E, D), and `up_bias` (E, 1, H) and `gate.bias` (E) where there are biases; GELU between."""

    up: Tensor
    down: Tensor
    gate: Tensor
    up_bias: Tensor | None
    gate_bias: Tensor | None

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read weights alone: nothing in the file is executed.

        Raises:
            ValueError: the names or shapes are not those above.
        """
        state = torch.load(path, map_location="cpu", weights_only=True)["experts"]
        try:
            up, down, gate = state["up"], state["down"], state["gate.weight"]
        except KeyError as why:
            raise ValueError(f"the checkpoint's experts have no {why}; it has {', '.join(state)}") from why
        experts, features, hidden = up.shape
        if down.shape != (experts, hidden, features) or gate.shape != (experts, features):
            raise ValueError(
                f"up {tuple(up.shape)}, down {tuple(down.shape)} and gate {tuple(gate.shape)} do not fit together"
            )
        return cls(up, down, gate, state.get("up_bias"), state.get("gate.bias"))

    def into(self, layer: ReferenceMoE) -> None:
        """Give a layer of the right shape these weights."""
        layer.gate_up.data.copy_(self.up.transpose(1, 2))
        layer.down.data.copy_(self.down.transpose(1, 2))
        layer.router.data.copy_(self.gate)
        if self.gate_bias is not None:
            layer.bias = layer.bias + self.gate_bias.to(layer.bias)
        if self.up_bias is not None:
            layer.up_bias = self.up_bias.reshape(self.up.shape[0], -1).to(layer.gate_up)


def dtype_of(cell: Cell) -> torch.dtype:
    """The dtype of a cell; one we have no error limit for is skipped."""
    name = str(cell.params["dtype"])
    if name not in ERROR_LIMITS:
        raise Skip(f"dtype {name!r} is not known; known are {', '.join(ERROR_LIMITS)}")
    return cast("torch.dtype", getattr(torch, name))


def _experts(cell: Cell) -> "ExpertsPath | None":
    """How the experts are to be computed; None leaves it to the layer."""
    return cast("ExpertsPath | None", cell.params.get("experts"))


def compiler_or_skip(device: str) -> None:
    """torch.compile builds C++ on a CPU; without a compiler the cell is skipped and says so."""
    if device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX") or "g++", "g++", "clang++"))):
        raise Skip("torch.compile needs a C++ compiler on a CPU, and neither g++ nor clang++ is on PATH")


def _workload(
    layer: ReferenceMoE, cell: Cell, device: str, dtype: torch.dtype, details: Mapping[str, Any]
) -> Workload:
    batch, sequence = int(cell.params["batch"]), int(cell.params["sequence"])
    tokens = batch * sequence
    shape = layer.shape

    def make_input(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(_INPUT_SCALE_SEED + seed)
        return torch.randn(batch, sequence, shape.model_size, generator=generator).to(
            device=device, dtype=dtype
        )

    def error(inputs: Tensor, outputs: Tensor) -> float:
        rows = inputs.reshape(-1, shape.model_size)
        if not bool(torch.isfinite(outputs).all()):
            return float("nan")
        experts, weights = layer.route(rows)
        picked = torch.linspace(0, tokens - 1, min(tokens, _CHECKED_TOKENS), device=rows.device).long()
        if routing_error(layer, rows[picked], experts[picked], picked) > 1e-3:
            return float("inf")  # the wrong experts were chosen; how well they were computed does not matter
        right = per_token_reference(layer, rows[picked], experts[picked], weights[picked])
        got = outputs.reshape(-1, shape.model_size)[picked].double()
        size = float(right.norm())
        return float((got - right).norm()) / size if size > 0 else float(got.norm())

    first = make_input(0)
    chosen, _ = layer.route(first.reshape(-1, shape.model_size))
    load = torch.bincount(chosen.reshape(-1), minlength=shape.experts)
    distinct = int((load > 0).sum())
    element = first.element_size()
    path = layer.choose(tokens)
    backend = str(cell.params.get("compile", "no"))
    forward = layer.forward
    if backend != "no":
        compiler_or_skip(
            device
        )  # a graph break is an error: the cell says where. Compile time is in the first call
        forward = torch.compile(layer.forward, fullgraph=True, dynamic=False, backend=backend)
    return Workload(
        call=torch.inference_mode()(forward),
        make_input=make_input,
        samples=batch,
        tokens=tokens,
        error=torch.inference_mode()(error),
        error_limit=ERROR_LIMITS[str(cell.params["dtype"])],
        input_bytes=first.numel() * element
        + shape.matrices * shape.model_size * shape.expert_size * distinct * element,
        flops=shape.flops(tokens),
        bytes_moved=shape.least_bytes(tokens, distinct, element),
        details={
            **details,
            "model_size": shape.model_size,
            "expert_size": shape.expert_size,
            "experts": shape.experts,
            "top_k": shape.top_k,
            "parameters": shape.parameters(),
            "path": path,
            "compile": backend,
            "grouped_mm": grouped_mm_runs(dtype, shape),
            "kernels": _KERNELS_GROUPED if path == "grouped" else None,
            "experts_used": distinct,
            "tokens_per_expert": load.tolist() if shape.experts <= 64 else None,
            "tokens_per_expert_max": int(load.max()),
        },
    )
