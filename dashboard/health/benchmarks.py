"""The check of benchmarks under way: each has somebody who still writes about it."""

import time
from pathlib import Path
from typing import Any, Protocol

from dashboard.health.check import Check, Detail, not_here

SILENT_LIMIT_SECONDS = (
    600.0  # a worker that compiles says nothing for minutes; a supervisor gives it up before this
)


class Runs(Protocol):
    """Where the runs are."""

    @property
    def root(self) -> Path:
        """The folder of their directories."""

    def runs(self) -> tuple[Any, ...]:
        """Every run, newest first."""


def under_way(benchmarks: Runs | None) -> Check:
    """Supervisors of runs under way live (a dead one's run reads "died" by itself) and their measurements go on."""
    if benchmarks is None:
        return not_here("benchmarks", "This server runs no benchmarks.")
    known = benchmarks.runs()
    running = [run for run in known if run.state == "running"]
    queued = sum(run.state == "queued" for run in known)
    if not running and not queued:
        return not_here("benchmarks", "No benchmark is under way.")
    silent = max(
        (_silent_seconds(benchmarks.root / run.run_id / "events.jsonl") for run in running), default=0.0
    )
    details: dict[str, Detail] = {
        "running": len(running),
        "queued": queued,
        "silent_seconds": round(silent, 1),
    }
    if silent > SILENT_LIMIT_SECONDS:
        return Check(
            "benchmarks", healthy=False, message="A benchmark that is under way has said nothing for long.",
            details=details, error_type="stale", advice="Cancel it on the Benchmark page; the end of its log says where it hangs.",
        )  # fmt: skip
    return Check("benchmarks", healthy=True, message="The benchmarks under way go on.", details=details)


def _silent_seconds(events: Path) -> float:
    try:
        return max(0.0, time.time() - events.stat().st_mtime)
    except OSError:  # it is just being made
        return 0.0
