"""How a target's cells went from run to run: every run of the same question, with its verdict and what changed around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from dashboard.benchmark import environment
from dashboard.benchmark.index import RunSummary
from dashboard.benchmark.runs import RunView

MOST = 60  # runs looked back


class Runs(Protocol):
    """Where runs come from: of one data directory, or of every host."""

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run, newest first."""

    def run(self, run_id: str) -> RunView:
        """One run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One cell in one run. Seconds; None is not known."""

    run_id: str
    ended_at: datetime
    p50: float | None
    low: float | None  # of the 95 % interval
    high: float | None
    status: str
    verdict: str  # a word of `comparison`; empty where nothing was judged
    why: str
    revision: str  # first letters of the commit; with a plus where the tree was changed
    host: str
    changed: tuple[str, ...]  # of the environment since the run before: sentences


def trail(runs: Runs, about: RunSummary) -> dict[str, tuple[Point, ...]]:
    """Cell → its points, oldest first, up to and after the run in question; cells in that run's order."""
    same = [run for run in runs.runs() if run.state == "done" and run.spec_hash == about.spec_hash][:MOST]
    found: dict[str, list[Point]] = {}
    before: dict[str, Any] | None = None
    for summary in reversed(same):
        report = runs.run(summary.run_id).report
        if report is None or summary.ended_at is None:
            continue
        around = report.get("environment", {})
        changed = () if before is None else tuple(environment.differences(before, around))
        before = around
        verdicts = {said["key"]: said for said in (report.get("verdict") or {}).get("verdicts", ())}
        revision = f"{str(around.get('git_sha') or '')[:8]}{'+' if around.get('git_dirty') else ''}"
        for cell in report["cells"]:
            said, p50 = verdicts.get(cell["key"], {}), cell.get("p50_seconds") or {}
            found.setdefault(cell["key"], []).append(
                Point(
                    run_id=summary.run_id,
                    ended_at=summary.ended_at,
                    p50=p50.get("value"),
                    low=p50.get("low"),
                    high=p50.get("high"),
                    status=cell["status"],
                    verdict=str(said.get("word", "")),
                    why=str(said.get("sentence") or cell.get("reason") or ""),
                    revision=revision,
                    host=summary.host,
                    changed=changed,
                )
            )
    return {key: tuple(points) for key, points in found.items()}


def before(runs: Runs, about: RunSummary, most: int) -> list[tuple[RunSummary, dict[str, Any]]]:
    """Finished runs of the same question before this one, newest first, with their reports."""
    found: list[tuple[RunSummary, dict[str, Any]]] = []
    for run in runs.runs():
        if len(found) >= most:
            break
        if run.state == "done" and run.spec_hash == about.spec_hash and run.created_at < about.created_at:
            report = runs.run(run.run_id).report
            found += [(run, report)] if report else []
    return found


def environment_changes(points: Sequence[Point]) -> list[Point]:
    """The points at which something that makes runs incomparable was not as before."""
    return [point for point in points if point.changed]
