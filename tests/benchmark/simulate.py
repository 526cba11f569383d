"""Reports as a machine with known noise would have written them: what a verdict is worth can then be counted."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Machine:
    """Standard deviations of log times: of one run, of one launch, of one cell's median within a launch."""

    run: float = 0.0
    launch: float = 0.004
    cell: float = 0.001
    canary_sees: float = 1.0  # share of the run's and launch's shift that the canary shares


def report(
    rng: np.random.Generator,
    machine: Machine,
    *,
    launches: int = 5,
    cells: int = 24,
    slower: dict[int, float] | None = None,
    between: float = 0.0,
) -> dict[str, Any]:
    """One run. `slower` maps a cell to its injected ratio; `between` is a launch effect of each cell's own."""
    run_shift = machine.run * rng.standard_normal()
    shifts = run_shift + machine.launch * rng.standard_normal(launches)
    own = between * rng.standard_normal((cells, launches))
    noise = machine.cell * rng.standard_normal((cells, launches))
    base = 0.001 * (1 + np.arange(cells))
    found = []
    for cell in range(cells):
        ratio = (slower or {}).get(cell, 1.0)
        times = base[cell] * ratio * np.exp(shifts + own[cell] + noise[cell])
        found.append(
            {
                "key": f"cell={cell}",
                "params": {"cell": cell},
                "status": "ok",
                "reason": "",
                "clock": "device",
                "preempted_share": None,
                "launches": [{"launch": i, "p50_seconds": float(t)} for i, t in enumerate(times)],
            }
        )
    heard = machine.canary_sees * shifts + 0.001 * rng.standard_normal(launches)
    return {
        "target": "simulated",
        "spec_hash": "same",
        "environment": {"gpu_name": "simulated", "driver_major": "580"},
        "launches": [
            {"launch": i, "canary_seconds": {"matmul_float32": float(0.01 * np.exp(h)), "small": 1e-6}}
            for i, h in enumerate(heard)
        ],
        "cells": found,
    }


def alternated(
    rng: np.random.Generator,
    machine: Machine,
    *,
    pairs: int,
    cells: int,
    slower: dict[int, float],
    between: float,
) -> dict[str, Any]:
    """A re-baseline run: launches 0, 1 are the first pair. Drift hits the two of a pair alike."""
    drift = np.repeat(machine.run * np.cumsum(rng.standard_normal(pairs)), 2)
    whole = report(rng, machine, launches=2 * pairs, cells=cells, between=between)
    for cell in whole["cells"]:
        for launch in cell["launches"]:
            launch["p50_seconds"] *= float(np.exp(drift[launch["launch"]]))
    for launch in whole["launches"]:
        launch["canary_seconds"]["matmul_float32"] *= float(np.exp(drift[launch["launch"]]))
    sides = {}
    for number, side in enumerate(("base", "candidate")):
        sides[side] = {
            "cells": [
                {
                    **cell,
                    "launches": [
                        {
                            **launch,
                            "p50_seconds": launch["p50_seconds"]
                            * (slower.get(index, 1.0) if side == "candidate" else 1.0),
                        }
                        for launch in cell["launches"]
                        if launch["launch"] % 2 == number
                    ],
                }
                for index, cell in enumerate(whole["cells"])
            ]
        }
    return {**whole, "sides": sides}
