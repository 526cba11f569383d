"""Whether our stopwatch and torch's agree on the same callable: `python -m tests.benchmark.agreement [--seconds 30]`.

The two take turns block by block in one loop: `Timer.timeit` of so many calls, then the stopwatch's host pass over as many,
each after two calls that are not counted, and which of them is first changes every round. A block lasts about a millisecond,
shorter than the turn a busy machine gives to somebody else, so that some blocks of both are undisturbed; what is compared is
the tenth percentile of both. Rounds go on until the 95 % interval of the ratio (bootstrap over rounds) is
narrow enough to tell 1 %, or the time for a row is over, which is then said. Exit status 1 where a row is further than 1 % from 1, or
too wide to say. CPU only: on a GPU the clocks differ by what they mean, see `gpu_layers`.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.benchmark import Timer

from dashboard.benchmark.cpu import CpuDevice
from dashboard.benchmark.spec import Cell
from dashboard.benchmark.timing import StopRule, Stopwatch
from dashboard.benchmark.workloads import reference_moe

WITHIN = 0.01
UNDISTURBED = 0.1  # this quantile of the blocks: the calls that nobody else on the machine interrupted
NARROW = 0.004  # half-width of the ratio's interval that ends a row
LEAST_ROUNDS = 60
BLOCK_SECONDS = 1e-3

Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Row:
    """One workload, timed by both."""

    name: str
    calls: int  # a block
    rounds: int
    theirs: float  # seconds a call
    ratio: float  # ours ÷ theirs
    low: float
    high: float

    @property
    def said(self) -> str:
        """What the row proves."""
        if abs(self.ratio - 1) > WITHIN:
            return "MISSED"
        inside = max(abs(self.low - 1), abs(self.high - 1)) <= WITHIN
        return "within 1 %" if inside else "within 1 %, interval wider"


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


def compare(name: str, call: Call, given: Any, seconds: float) -> Row:
    """Alternate blocks of both until the ratio is known well enough, or so many seconds are over."""
    timer = Timer("call(given)", globals={"call": call, "given": given}, num_threads=1)
    stopwatch = Stopwatch(CpuDevice(1), lambda: False, lambda *_: None)
    once = min(timer.timeit(3).mean for _ in range(5))
    calls = max(1, round(BLOCK_SECONDS / once))
    rule = StopRule(precision=0.0, min_calls=calls, max_calls=calls, max_seconds=seconds)

    def ours() -> float:
        for _ in range(max(calls // 100, 2)):  # as many as Timer makes before it counts
            call(given)
        wall, *_ = stopwatch._host_pass(call, [given], rule)
        return float(wall.mean())

    def theirs() -> float:
        return float(timer.timeit(calls).mean)

    pairs: list[tuple[float, float]] = []
    began = time.monotonic()
    look = LEAST_ROUNDS
    while True:
        if len(pairs) % 2:
            mine, other = ours(), theirs()
        else:
            other, mine = theirs(), ours()
        pairs.append((mine, other))
        over = time.monotonic() - began > seconds
        if len(pairs) < look and not over:
            continue
        look = int(1.5 * len(pairs))
        found = np.array(pairs)
        low, high = interval(found)
        if over or (high - low) / 2 <= NARROW:
            mine, other = np.quantile(found, UNDISTURBED, axis=0)
            return Row(name, calls, len(pairs), float(other), float(mine / other), low, high)


def interval(pairs: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the ratio of the quantiles, by resampling rounds: (rounds, 2) → low, high."""
    rng = np.random.default_rng(1)
    drawn = pairs[rng.integers(0, len(pairs), (400, len(pairs)))]
    quantiles = np.quantile(drawn, UNDISTURBED, axis=1)
    low, high = np.quantile(quantiles[:, 0] / quantiles[:, 1], [0.025, 0.975])
    return float(low), float(high)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="at most, for each row")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    print(f"Load average {os.getloadavg()[0]:.1f} at the start.\n")
    print("| workload | calls a block | rounds | torch's Timer | ours ÷ torch's (95 %) | |")
    print("|---|---|---|---|---|---|")
    missed = 0
    for name, call, given in workloads():
        row = compare(name, call, given, seconds)
        missed += row.said != "within 1 %"
        print(
            f"| {name} | {row.calls} | {row.rounds} | {row.theirs * 1e6:.1f} µs"
            f" | {row.ratio:.4f} ({row.low:.4f} to {row.high:.4f}) | {row.said} |",
            flush=True,
        )
    print(f"\nLoad average {os.getloadavg()[0]:.1f} at the end.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
