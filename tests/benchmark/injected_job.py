"""Whether re-baseline mode finds a slow-down that is really there, on this machine as it is:
`python -m tests.benchmark.injected_job [--pairs 150]`.

Nothing is simulated: two commits of a repository made for the occasion alternate launch by launch, and the newer one does 3 %
more of the same work in two of eight cells. One long run is then judged as every run of 20 neighbouring pairs that it contains:
the six cells with equal code say how often equal code is called changed, the two others how often 3 % are found. Neighbouring
windows share launches, so their number is not the number of independent runs; windows that share none are counted beside them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dashboard.benchmark import comparison, rebaseline
from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.runs import Benchmarks
from dashboard.benchmark.spec import PROFILES

ROOT = Path(__file__).resolve().parents[2]
CHANGED = ("suspect", "regressed", "improved")
SLOWER = ("product 64", "copy")

# Each cell repeats a small piece of work; 3 % is three pieces more in a hundred.
MEASURED = """
import numpy as np
from dashboard.benchmark.workload import Workload

PIECES = {pieces}


def pieces_of():
    rng = np.random.default_rng(1)
    small, large = rng.standard_normal((64, 64), np.float32), rng.standard_normal((160, 160), np.float32)
    line, sink = rng.standard_normal(1 << 16), np.empty(1 << 16)
    words = [str(number) for number in range(100)]
    return {{
        "product 64": lambda: small @ small,
        "product 160": lambda: large @ large,
        "copy": lambda: np.copyto(sink, line),
        "exp": lambda: np.exp(line[:4096]),
        "sort": lambda: np.sort(line[:512]),
        "sum": lambda: line[:8192].sum(),
        "python loop": lambda: sum(range(300)),
        "words": lambda: " ".join(words).split(),
    }}


def factory(cell, device, arguments):
    piece, count = pieces_of()[cell.params["work"]], PIECES[cell.params["work"]]

    def call(x):
        for _ in range(count):
            piece()

    return Workload(call=call, make_input=lambda seed: seed, samples=1, tokens=1)


factory.cells = lambda profile, device: [{{"work": name}} for name in PIECES]
"""
PIECES = {
    "product 64": 100, "product 160": 100, "copy": 100, "exp": 100, "sort": 100, "sum": 100, "python loop": 100, "words": 100,
}  # fmt: skip


def git(path: Path, *words: str) -> None:
    names = {
        f"GIT_{who}_{what}": "job@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    subprocess.run(["git", *words], cwd=path, env=os.environ | names, check=True, capture_output=True)


def repository(path: Path) -> Path:
    """Two commits of the benchmark's own code and a target; the newer does 3 % more in the cells of SLOWER."""
    path.mkdir()
    for package in ("dashboard", "collectors"):
        shutil.copytree(ROOT / package, path / package, ignore=shutil.ignore_patterns("__pycache__"))
    git(path, "init", "-q")
    for slower in ({}, {name: PIECES[name] * 103 // 100 for name in SLOWER}):
        (path / "measured.py").write_text(MEASURED.format(pieces=PIECES | slower))
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", "slower" if slower else "before")
    return path


def measured(folder: Path, pairs: int) -> dict[str, Any]:
    """The report of one re-baseline run of so many pairs."""
    profile = replace(
        PROFILES["quick"],
        launches=pairs,
        cell_seconds=0.3,
        precision=0.005,
        limit_seconds=pairs * 120.0,
        stall_seconds=120,
    )
    benchmarks = Benchmarks(folder / "data", ["measured:factory"], lease_dir=folder / "leases")
    with rebaseline.worktrees(repository(folder / "repository"), "HEAD~1") as sides:
        run_id = benchmarks.start("measured:factory", device="cpu", adjust=profile, sides=sides)
        view = benchmarks.run(run_id)
        try:
            while view.state not in TERMINAL:
                shown = view.progress
                print(
                    f"\r{view.state} {shown.cells_done}/{shown.cells_total} cells",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
                time.sleep(5.0)
                view = benchmarks.run(run_id)
        except BaseException:
            benchmarks.cancel(run_id, "the job")
            raise
    if view.report is None:
        raise SystemExit(f"the run is {view.state}: {view.error}")
    return view.report


def windows(report: dict[str, Any], pairs: int, step: int) -> Iterator[comparison.Comparison]:
    """The verdicts on every so many neighbouring pairs."""
    launches = report["launches"]
    for first in range(0, len(launches) - 2 * pairs + 1, 2 * step):
        kept = {launch["launch"] for launch in launches[first : first + 2 * pairs]}
        yield comparison.rebaseline(only(report, kept))


def only(report: dict[str, Any], kept: set[int]) -> dict[str, Any]:
    """The report as if the run had had only these launches."""

    def cells(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**cell, "launches": [launch for launch in cell["launches"] if launch["launch"] in kept]}
            for cell in found
        ]

    return {
        **report,
        "launches": [launch for launch in report["launches"] if launch["launch"] in kept],
        "cells": cells(report["cells"]),
        "sides": {name: {**side, "cells": cells(side["cells"])} for name, side in report["sides"].items()},
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=150)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        report = measured(Path(folder), pairs)
    slower = {cell["key"] for cell in report["cells"] if cell["params"]["work"] in SLOWER}
    print("\n| pairs judged together | windows | sharing no launch | equal code called changed | 3 % found |")
    print("|---|---|---|---|---|")
    for together in (size for size in (5, 10, 20, 30) if size <= pairs):
        judged = list(windows(report, together, 1))
        found = [v.word in ("suspect", "regressed") for c in judged for v in c.verdicts if v.key in slower]
        alarms = [any(v.word in CHANGED for v in c.verdicts if v.key not in slower) for c in judged]
        print(
            f"| {together} | {len(judged)} | {len(list(windows(report, together, together)))} |"
            f" {sum(alarms) / len(alarms):.1%} | {sum(found) / len(found):.1%} |"
        )
    print(f"\n{len(report['launches'])} launches, load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
