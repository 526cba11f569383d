"""The two targets we ship, as factories: the reference layer, and the layer an observed router evolved. Imports torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

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
    dtype = _dtype(cell)
    layer = ReferenceMoE(
        SHAPES[device], dtype=dtype, device=device, skew=cast("Skew", cell.params.get("skew", "uniform"))
    )
    return _workload(layer, cell, device, dtype, {"weights": "random"})


def observed_router(cell: Cell, device: str, arguments: Mapping[str, Scalar]) -> Workload:
    """A layer with the experts, the top-k and the topology of the newest observed run.

    Arguments: `topology_file`, `model_size`, `expert_size`, and `checkpoint_file` where there is one.
    """
    topology = json.loads(Path(str(arguments["topology_file"])).read_text(encoding="utf-8"))
    mask = torch.tensor(topology["matrix"], dtype=torch.bool)
    shape = Shape(
        model_size=int(arguments["model_size"]),
        expert_size=int(arguments["expert_size"]),
        experts=mask.shape[1],
        top_k=min(int(topology["top_k"]), mask.shape[1]),
    )
    dtype = _dtype(cell)
    layer = ReferenceMoE(
        shape,
        dtype=dtype,
        device=device,
        mask=mask,
        skew=cast("Skew", cell.params.get("skew", "uniform")),
    )
    details = {
        "observed_run": str(arguments.get("observed_run", "")),
        "generation": topology.get("generation"),
        "connections_open": int(mask.sum()),
        "weights": "random",
    }
    return _workload(layer, cell, device, dtype, details)


def _dtype(cell: Cell) -> torch.dtype:
    name = str(cell.params["dtype"])
    if name not in ERROR_LIMITS:
        raise Skip(f"dtype {name!r} is not known; known are {', '.join(ERROR_LIMITS)}")
    return cast("torch.dtype", getattr(torch, name))


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
    return Workload(
        call=torch.inference_mode()(layer.forward),
        make_input=make_input,
        samples=batch,
        tokens=tokens,
        error=torch.inference_mode()(error),
        error_limit=ERROR_LIMITS[str(cell.params["dtype"])],
        input_bytes=first.numel() * element + 3 * shape.model_size * shape.expert_size * distinct * element,
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
            "grouped_mm": grouped_mm_runs(dtype, shape),
            "kernels": _KERNELS_GROUPED if path == "grouped" else None,
            "experts_used": distinct,
            "tokens_per_expert": load.tolist() if shape.experts <= 64 else None,
            "tokens_per_expert_max": int(load.max()),
        },
    )
