"""One process of the GPU job: the canary, and three cells with or without a real slow-down in one of them.

    python -m tests.benchmark.gpu_launch --device cuda --seconds 0.4 [--inject 0.03]

prints one JSON object. Needs torch, numpy and this repository, nothing else.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from dashboard.benchmark.canary import Canary
from dashboard.benchmark.reference_moe import ReferenceMoE, Shape
from dashboard.benchmark.spec import Cell
from dashboard.benchmark.timing import StopRule, Stopwatch, Timing
from dashboard.benchmark.workload import Workload
from dashboard.benchmark.workloads import _workload

Device = Any  # CudaDevice or CpuDevice

SHAPES = {
    "cuda": Shape(model_size=2048, expert_size=768, experts=128, top_k=8),
    "cpu": Shape(model_size=64, expert_size=128, experts=8, top_k=2),
}
TOKENS = {"cuda": (64, 512, 4096), "cpu": (4, 16, 64)}
SLOWER = 1  # which of the cells is slowed down


def open_device(kind: str) -> Device:
    """The device as the benchmark's worker opens it."""
    if kind == "cuda":
        from dashboard.benchmark.cuda import CudaDevice

        return CudaDevice()
    from dashboard.benchmark.cpu import CpuDevice

    return CpuDevice(1)


def dtype_of(kind: str) -> torch.dtype:
    return torch.bfloat16 if kind == "cuda" else torch.float32


def workload(shape: Shape, tokens: int, kind: str, path: Any = None) -> Workload:
    """The reference layer of a shape over so many tokens, with random weights and its own fp64 check."""
    dtype = dtype_of(kind)
    layer = ReferenceMoE(shape, dtype=dtype, device=kind, path=path)
    cell = Cell({"batch": 1, "sequence": tokens, "dtype": str(dtype).removeprefix("torch.")})
    return _workload(layer, cell, kind, dtype, {})


def measured(call: Callable[[Any], Any], inputs: list[Any], device: Device, seconds: float) -> Timing:
    """By the benchmark's own stopwatch; every pass gets at most so many seconds."""
    rule = StopRule(precision=0.0025, min_calls=30, max_calls=4000, max_seconds=seconds)
    return Stopwatch(device, lambda: False, lambda *_: None).measure(call, inputs, rule)


def busy(kind: str, seconds: float) -> Callable[[], None]:
    """Work of about so many seconds on the device: a kernel that counts clock cycles, or a host that looks at its clock."""
    if kind == "cuda":
        cycles = 10_000_000
        device = open_device(kind)
        per_cycle = (
            float(np.median(device.time_calls(lambda _: torch.cuda._sleep(cycles), [None] * 9))) / cycles
        )
        return lambda: torch.cuda._sleep(int(seconds / per_cycle))

    def spin() -> None:
        until = time.perf_counter_ns() + int(seconds * 1e9)
        while time.perf_counter_ns() < until:
            pass

    return spin


def launch(kind: str, seconds: float, inject: float) -> dict[str, Any]:
    """What one launch says: seconds of the canary's kernels and of every cell, on the clock that is compared."""
    if kind == "cpu":
        torch.set_num_threads(1)
    device = open_device(kind)
    canary = Canary(device)
    heard = canary.sing(30)
    cells = {}
    for index, tokens in enumerate(TOKENS[kind]):
        work = workload(SHAPES[kind], tokens, kind)
        inputs = [work.make_input(seed) for seed in range(4)]
        call = work.call
        if inject and index == SLOWER:
            more = busy(kind, inject * float(np.median(measured(call, inputs, device, seconds / 2).primary)))

            def call(given: Any, work: Workload = work, more: Callable[[], None] = more) -> Any:
                found = work.call(given)
                more()
                return found

        timing = measured(call, inputs, device, seconds)
        cells[f"tokens={tokens}"] = {
            "p50_seconds": float(np.median(timing.primary)),
            "n": len(timing.primary),
        }
    after = canary.sing(30)
    both = {
        name: {"p50_seconds": (heard[name]["p50_seconds"] + after[name]["p50_seconds"]) / 2} for name in heard
    }
    return {"canary": both, "cells": cells, "clock": "device" if kind == "cuda" else "host"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--inject", type=float, default=0.0)
    given = parser.parse_args()
    print(json.dumps(launch(given.device, given.seconds, given.inject)))


if __name__ == "__main__":
    main()
