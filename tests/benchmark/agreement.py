"""Whether our stopwatch and torch's agree on the same callable: `python -m tests.benchmark.agreement [--rounds 15]`.

`torch.utils.benchmark.Timer.blocked_autorange` and `Stopwatch` take turns on each workload; a row is the median over
rounds of the ratio of the same statistic of both (tenth percentile of blocks of as many calls), so that what else runs on
the machine hits both or neither. Exit status 1 where a median
ratio is further than 1 % from 1. CPU only: on a GPU the two clocks differ by what they mean (device time, and the
host's with a wait at the end).
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.benchmark import Timer

from dashboard.benchmark.cpu import CpuDevice
from dashboard.benchmark.spec import Cell
from dashboard.benchmark.timing import StopRule, Stopwatch
from dashboard.benchmark.workloads import reference_moe

SECONDS = 0.25  # each of the two gets so long in each round
WITHIN = 0.01
UNDISTURBED = 0.1  # this quantile of the blocks: the calls that nobody else on the machine interrupted

Call = Callable[[Any], Any]


def workloads() -> list[tuple[str, Call, Any]]:
    """Name, callable and input: from tens of microseconds, where overhead would show, to milliseconds."""
    generator = torch.Generator().manual_seed(1)
    found: list[tuple[str, Call, Any]] = []
    for side in (96, 192, 384, 512):
        left, right = (torch.randn(side, side, generator=generator) for _ in "ab")
        found.append((f"matrix product {side}", lambda x, right=right: x @ right, left))
    found += [
        (f"exp of {count}", torch.exp, torch.randn(count, generator=generator))
        for count in (2**14, 2**18, 2**20)
    ]
    for batch, sequence in ((1, 1), (1, 16), (8, 16)):
        cell = Cell({"batch": batch, "sequence": sequence, "dtype": "float32", "skew": "uniform"})
        layer = reference_moe(cell, "cpu", {})
        found.append((f"reference layer {batch}×{sequence}", layer.call, layer.make_input(0)))
    return found


def ours(call: Call, given: Any, together: int) -> float:
    """Seconds a call by the benchmark's own stopwatch; its calls are averaged over as many as torch's Timer times at once."""
    rule = StopRule(precision=0.0, min_calls=30, max_calls=10**6, max_seconds=SECONDS)
    calls = Stopwatch(CpuDevice(1), lambda: False, lambda *_: None).measure(call, [given], rule).host
    blocks = calls[: len(calls) // together * together].reshape(-1, together).mean(axis=1)
    return float(np.quantile(blocks if len(blocks) else calls, UNDISTURBED))


def torchs(call: Call, given: Any) -> tuple[float, int]:
    """Seconds a call by torch's, and how many calls it timed at once."""
    timer = Timer("call(given)", globals={"call": call, "given": given}, num_threads=1)
    measured = timer.blocked_autorange(min_run_time=SECONDS)
    return float(np.quantile(measured.times, UNDISTURBED)), measured.number_per_run


def ratios(call: Call, given: Any, rounds: int) -> list[float]:
    """Ours over torch's, round by round; torch's turn lies before or after ours by turns."""
    found = []
    for number in range(rounds):
        theirs, together = torchs(call, given)
        mine = ours(call, given, together)
        if number % 2:  # ours first, so that a drift of the machine does not favour one of them
            theirs, _ = torchs(call, given)
        found.append(mine / theirs)
    return found


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| workload | torch's Timer | ours ÷ torch's, median | quartiles | |")
    print("|---|---|---|---|---|")
    missed = 0
    for name, call, given in workloads():
        seconds, _ = torchs(call, given)
        low, median, high = np.quantile(ratios(call, given, rounds), [0.25, 0.5, 0.75])
        fine = abs(median - 1) <= WITHIN
        missed += not fine
        print(
            f"| {name} | {seconds * 1e6:.1f} µs | {median:.4f} | {low:.4f} – {high:.4f} |"
            f" {'within 1 %' if fine else 'MISSED'} |",
            flush=True,
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
