"""How often the verdicts are wrong, as a table: `python -m tests.benchmark.statistics_job [--runs 400]`.

Every number is counted on simulated machines whose noise is known. A/A: share of unchanged pairs of runs
in which any of 24 cells was called changed. Found: share of pairs in which the one cell that was really
slowed down by 3 or 5 % was named. The test suite holds the same simulation to its limits with fewer runs.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

from dashboard.benchmark import comparison
from tests.benchmark.simulate import Machine, alternated, report

CELLS = 24
CHANGED = ("suspect", "regressed", "improved")


def pairwise(
    rng: np.random.Generator, machine: Machine, k: int, ratio: float, between: float
) -> comparison.Comparison:
    old = report(rng, machine, launches=k, cells=CELLS, between=between)
    return comparison.compare(
        old, report(rng, machine, launches=k, cells=CELLS, slower={0: ratio}, between=between)
    )


def history(
    rng: np.random.Generator, machine: Machine, k: int, ratio: float, between: float
) -> comparison.Comparison:
    earlier = [report(rng, machine, launches=k, cells=CELLS, between=between) for _ in range(12)]
    new = report(rng, machine, launches=k, cells=CELLS, slower={0: ratio}, between=between)
    return comparison.against_history(earlier, new)


def paired(
    rng: np.random.Generator, machine: Machine, k: int, ratio: float, between: float
) -> comparison.Comparison:
    whole = alternated(rng, machine, pairs=k, cells=CELLS, slower={0: ratio}, between=between)
    return comparison.rebaseline(whole)


Judge = Callable[[np.random.Generator, Machine, int, float, float], comparison.Comparison]

# (name, how judged, machine, launches a side, spread of each cell between launches)
ROWS: tuple[tuple[str, Judge, Machine, int, float], ...] = (
    ("two stored runs, calm", pairwise, Machine(launch=0.004), 5, 0.002),
    ("two stored runs, 0.4 % a cell", pairwise, Machine(launch=0.004), 5, 0.004),
    ("two stored runs, 0.6 % a cell", pairwise, Machine(launch=0.006), 5, 0.006),
    ("two stored runs, 1 % a cell", pairwise, Machine(launch=0.006), 10, 0.01),
    ("… and runs shift 0.6 %, canary hears it", pairwise, Machine(run=0.006, launch=0.004), 5, 0.004),
    (
        "… and runs shift 0.6 %, canary is deaf",
        pairwise,
        Machine(run=0.006, launch=0.004, canary_sees=0),
        5,
        0.004,
    ),
    (
        "history of 12, shift 0.6 %, canary is deaf",
        history,
        Machine(run=0.006, launch=0.004, canary_sees=0),
        5,
        0.004,
    ),
    ("history of 12, shift 0.6 %, canary hears it", history, Machine(run=0.006, launch=0.004), 5, 0.004),
    ("re-baseline, drift 2 % a pair", paired, Machine(run=0.02, launch=0.01), 10, 0.006),
    ("re-baseline, noisy CPU", paired, Machine(run=0.05, launch=0.05), 20, 0.015),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20_240_607)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    began = time.monotonic()
    print(f"{chosen.runs} pairs a number, {CELLS} cells, seed {chosen.seed}\n")
    print("| judged by | launches a side | A/A alarms | incomparable | 3 % found | 5 % found |")
    print("|---|---|---|---|---|---|")
    for name, judge, machine, k, between in ROWS:
        still = [judge(rng, machine, k, 1.0, between) for _ in range(chosen.runs)]
        alarms = np.mean([any(v.word in CHANGED for v in found.verdicts) for found in still])
        refused = np.mean([found.word == "incomparable" for found in still])
        found = []
        for ratio in (1.03, 1.05):
            judged = (judge(rng, machine, k, ratio, between) for _ in range(chosen.runs))
            named = [
                j.verdicts[0].word in ("suspect", "regressed") for j in judged if j.word != "incomparable"
            ]
            found.append(np.mean(named) if named else float("nan"))
        print(f"| {name} | {k} | {alarms:.1%} | {refused:.1%} | {found[0]:.1%} | {found[1]:.1%} |")
        sys.stdout.flush()
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
