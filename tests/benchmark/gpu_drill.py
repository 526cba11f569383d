"""The GPU job's drill: a cell that does not fit, one that crashes, a run that is cancelled; and when the memory is back.

The factories below run in the worker of a real run, under a real supervisor.
"""

import ctypes
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dashboard.benchmark.spec import Cell
from dashboard.benchmark.workload import Workload

_BACK_BYTES = 64 * 2**20  # as the supervisor: closer than this to what was used before is back
_WAIT_SECONDS = 60.0


def _cells(*names: str) -> Callable[[str, str], list[dict[str, Any]]]:
    return lambda profile, device: [{"case": name} for name in names]


def bad_cells(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """One cell that behaves, one that asks for more than there is, one that crashes holding memory."""
    import torch

    if cell.params["case"] == "does not fit":
        torch.ones(1 << 44, device=device)  # 64 TiB
    held = torch.ones(256 * 2**20, device=device)  # 1 GiB
    if cell.params["case"] == "crashes":
        ctypes.string_at(0)
    return _workload(device, held)


def holds(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """Takes memory and time until it is told to stop."""
    import torch

    return _workload(device, torch.ones(256 * 2**20, device=device))


def _workload(device: str, held: Any) -> Workload:
    import torch

    def make_input(seed: int) -> Any:
        return torch.randn(512, 512, generator=torch.Generator().manual_seed(seed)).to(device)

    return Workload(call=lambda x: (x @ x, held)[0], make_input=make_input, samples=1, tokens=1)


bad_cells.cells = _cells("behaves", "does not fit", "crashes")  # type: ignore[attr-defined]
holds.cells = _cells("holds")  # type: ignore[attr-defined]

_HERE = "tests.benchmark.gpu_drill"


def drill(ask: Any) -> dict[str, Any]:
    """Both runs, and every duration of interest."""
    from dashboard.benchmark import gpu
    from dashboard.benchmark.directory import TERMINAL
    from dashboard.benchmark.runs import Benchmarks
    from dashboard.benchmark.spec import PROFILES

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        benchmarks = Benchmarks(
            root / "data", [f"{_HERE}:bad_cells", f"{_HERE}:holds"], lease_dir=root / "leases"
        )
        profile = replace(PROFILES["quick"], limit_seconds=max(20.0, ask.left), cell_seconds=1.0)

        def wait(so: Callable[[], bool], seconds: float = _WAIT_SECONDS) -> float | None:
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                if so():
                    return time.monotonic() - began
                time.sleep(0.01)
            return None

        def over(run_id: str) -> bool:
            return benchmarks.run(run_id).state in TERMINAL

        def memory() -> int | None:
            return gpu.memory_used_bytes(benchmarks.directory(run_id).spec().device)

        def back() -> bool:
            used = memory()
            return used is None or before is None or used <= before + _BACK_BYTES

        run_id = benchmarks.start(f"{_HERE}:bad_cells", device=ask.kind, adjust=profile)
        before = memory()
        wait(lambda: over(run_id), profile.limit_seconds + _WAIT_SECONDS)
        view = benchmarks.run(run_id)
        cells = [{"cell": c["key"], "status": c["status"], "reason": c["reason"]} for c in (view.report or {}).get("cells", [])]  # fmt: skip
        faults = {
            "state": view.state,
            "error": view.error[:300],
            "cells": cells,
            "memory_back_seconds": wait(back),
        }

        def cancel(run_id: str) -> dict[str, Any]:
            measuring = wait(lambda: benchmarks.run(run_id).progress.p50_seconds is not None or over(run_id))
            held = memory()
            benchmarks.cancel(run_id, "the drill")
            return {
                "measuring": measuring is not None,
                "held_bytes": None if held is None or before is None else held - before,
                "to_end_seconds": wait(lambda: over(run_id)),
                "memory_back_seconds": wait(
                    back
                ),  # beyond the end: the supervisor waits for it before it says so
                "state": benchmarks.run(run_id).state,
            }

        cancels = []
        for _ in range(min(3, ask.launches)):
            if ask.left < 25:
                break
            long = replace(
                profile, cell_seconds=600.0, limit_seconds=3600.0
            )  # so that it is cancelled, never skipped
            cancels.append(cancel(benchmarks.start(f"{_HERE}:holds", device=ask.kind, adjust=long)))
    return {
        "faults": faults,
        "cancels": cancels,
        "memory": "of the GPU" if ask.kind == "cuda" else "needs a GPU",
    }


def drill_table(found: dict[str, Any]) -> list[str]:
    lines = [f"A run with bad cells ended as {found['faults']['state']}.", "", "| cell | status | reason |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {c['cell']} | {c['status']} | {c['reason'].replace('|', '/')[:160]} |" for c in found["faults"]["cells"]]  # fmt: skip
    lines += ["", f"GPU memory: {found['memory']}.", "", "| cancel | state | to the end | memory back after that | held before |", "|---|---|---|---|---|"]  # fmt: skip
    if not found["cancels"]:
        return [*lines[:-2], "No time was left to cancel a run."]
    for number, one in enumerate(found["cancels"], 1):
        held = "not known" if one["held_bytes"] is None else f"{one['held_bytes'] / 2**30:.2f} GiB"
        end = "not within a minute" if one["to_end_seconds"] is None else f"{one['to_end_seconds']:.2f} s"
        back = (
            "not within a minute"
            if one["memory_back_seconds"] is None
            else f"{one['memory_back_seconds']:.2f} s"
        )
        lines.append(
            f"| {number} | {one['state']} | {end} | {back if held != 'not known' else 'not known'} | {held} |"
        )
    return lines
