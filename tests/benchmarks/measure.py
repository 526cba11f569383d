"""Measuring two ways side by side: each round runs all of them, ratios are paired within the round, medians over rounds."""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one way: medians, and median ratios to the floor of the same round.

    `cpu_seconds` is what this process and the server used together. Where query and decode follow each other it
    equals the wall time of a quiet machine, so its ratio can be judged on a busy one too.
    """

    seconds: float
    ratio: float
    cpu_seconds: float
    cpu_ratio: float
    own_cpu_seconds: float


def compare(
    floor: Callable[[], object], ways: dict[str, Callable[[], object]], rounds: int, server_pid: int
) -> dict[str, Timing]:
    """Run everything once to warm up, then `rounds` times in turning order; "floor" is among the results."""
    everything = {"floor": floor, **ways}
    for way in everything.values():
        way()
    wall: dict[str, list[float]] = {name: [] for name in everything}
    cpu: dict[str, list[float]] = {name: [] for name in everything}
    own: dict[str, list[float]] = {name: [] for name in everything}
    for turn in range(rounds):
        names = list(everything)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began, used, served = time.perf_counter(), time.process_time(), _cpu_seconds(server_pid)
            everything[name]()
            wall[name].append(time.perf_counter() - began)
            own[name].append(time.process_time() - used)
            cpu[name].append(own[name][-1] + _cpu_seconds(server_pid) - served)
    return {
        name: Timing(
            statistics.median(wall[name]),
            _ratio(wall[name], wall["floor"]),
            statistics.median(cpu[name]),
            _ratio(cpu[name], cpu["floor"]),
            statistics.median(own[name]),
        )
        for name in everything
    }


def _ratio(ours: list[float], floor: list[float]) -> float:
    return statistics.median(one / base for one, base in zip(ours, floor, strict=True))


def _cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, exact to the nanosecond where the kernel counts it (schedstat)."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread may end while we read
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def seconds(way: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def peak_bytes(code: str, *arguments: str) -> int:
    """How far the resident memory of a fresh process rises while `run()`, defined by `code`, runs after a small warm-up.

    Linux: the peak counter is reset through /proc/self/clear_refs.
    """
    script = code + (
        "\nimport gc\nwarm()\ngc.collect()\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "def status(name):\n"
        "    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(name)) * 1024\n"
        "before = status('VmRSS')\nresult = run()\nprint(status('VmHWM') - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return int(done.stdout)


def milliseconds(value: float) -> str:
    """For a table."""
    return f"{value * 1e3:.0f} ms" if value >= 0.01 else f"{value * 1e3:.1f} ms"
