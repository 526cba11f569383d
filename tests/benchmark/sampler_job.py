"""What watching a GPU ten times a second costs: `python -m tests.benchmark.sampler_job [--turns 60] [-o FILE]`.

The sampler runs in a process of its own, as in a real run, against the stand-in NVML library: there is no GPU here, but pynvml,
ctypes, the thread and the file are real, and the stand-in reads a file at every call, which a driver does not. By turns it is
stopped (SIGSTOP) and let go (SIGCONT) while this process times a matrix product. Counted are the CPU time the sampler took while it ran, and the
product's time with it over without, tenth percentile of each turn.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TURN_SECONDS = 0.5
SIDE = 192


def watch(folder: Path) -> None:
    """The sampler's process: until its standard input ends."""
    from dashboard.benchmark import gpu
    from dashboard.benchmark.spec import Device
    from tests.fakes.nvml.driver import driver

    with driver(folder) as board:
        board.gpu(0)
        board.nvml.nvmlInit()
        handle = board.nvml.nvmlDeviceGetHandleByIndex(0)
        uuid = board.nvml.nvmlDeviceGetUUID(handle)
        device = Device(kind="cuda", uuid=uuid if isinstance(uuid, str) else uuid.decode(), name="stand-in")
        with gpu.Sampler(device, folder / "gpu.jsonl", nvml=board.nvml) as sampler:
            print(f"watching {sampler.available} {sampler.reason}", flush=True)
            sys.stdin.read()


def product(seconds: float) -> float:
    """Seconds of one matrix product: the calls that nobody interrupted."""
    left = np.random.default_rng(1).standard_normal((SIDE, SIDE))
    found = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter_ns()
        left @ left
        found.append(time.perf_counter_ns() - began)
    return float(np.quantile(found, 0.1)) / 1e9


def main() -> int:
    """Alternate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watch is not None:
        watch(given.watch)
        return 0
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        sampler = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmark.sampler_job", "--watch", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert sampler.stdout is not None
        said = sampler.stdout.readline()
        if not said.startswith("watching True"):
            raise SystemExit(f"the sampler does not watch: {said}")
        ratios, spent, watched = [], 0.0, 0.0
        try:
            product(0.5)
            for turn in range(given.turns):
                seconds = {}
                for on in (True, False) if turn % 2 else (False, True):
                    os.kill(sampler.pid, signal.SIGCONT if on else signal.SIGSTOP)
                    taken, began = _threads(sampler.pid), time.monotonic()
                    seconds[on] = product(TURN_SECONDS)
                    if on:
                        spent += _threads(sampler.pid) - taken
                        watched += time.monotonic() - began
                ratios.append(seconds[True] / seconds[False])
        finally:
            os.kill(sampler.pid, signal.SIGCONT)
            sampler.communicate()
        looks = len((Path(folder) / "gpu.jsonl").read_text().splitlines())
    low, high = _interval(np.array(ratios))
    print(
        f"| turns | load | looks | share of a core | a look | product with ÷ without, median (95 %) |\n|{'---|' * 6}"
    )
    print(
        f"| {given.turns} | {before:.0f} to {os.getloadavg()[0]:.0f} | {looks} | {spent / watched:.2%}"
        f" | {1e6 * spent / looks:.0f} µs | {np.median(ratios):.4f} ({low:.4f} to {high:.4f}) |"
    )
    return 0 if spent / watched < 0.005 else 1


def _threads(pid: int) -> float:
    """CPU seconds of all threads of a process."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) / 1e9 for task in Path(f"/proc/{pid}/task").iterdir()
    )


def _interval(ratios: NDArray[np.float64]) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    medians = np.median(ratios[rng.integers(0, len(ratios), (2000, len(ratios)))], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
