"""What happened while curves were drawn, as marks on them: alert episodes of the run, and benchmark runs."""

from collections.abc import Iterable

from dashboard.alerts.episodes import Episode, History
from dashboard.feed import Window
from dashboard.figures.marks import Kind, Mark
from dashboard.sources import Sources

GRID_SECONDS = 15.0  # what goes on ends at a multiple of this, so that a figure is not drawn anew each second


def marks(sources: Sources, window: Window, run_id: str, now: float) -> tuple[Mark, ...]:
    """Everything worth a mark in the window, oldest first; a source that is off gives none, its own page says why."""
    start, end = window.bounds(now)
    end = min(end, now) // GRID_SECONDS * GRID_SECONDS
    found = [*_alerts(sources, window, run_id, start, end), *_benchmarks(sources, start, end)]
    return tuple(sorted(found, key=lambda mark: mark.start))


def benchmarks(sources: Sources, window: Window, now: float) -> tuple[Mark, ...]:
    """Benchmark runs of this machine in the window, oldest first: what they did to a curve is no incident."""
    start, end = window.bounds(now)
    end = min(end, now) // GRID_SECONDS * GRID_SECONDS
    return tuple(sorted(_benchmarks(sources, start, end), key=lambda mark: mark.start))


def _alerts(sources: Sources, window: Window, run_id: str, start: float, end: float) -> Iterable[Mark]:
    past = sources.past
    if past is None:
        return []

    def read() -> History:
        read = past.between(start, end)
        if read.unavailable is not None:
            raise read.unavailable
        return read

    known = sources.episodes.get((window.from_, window.to), read).value
    return (
        [_mark(one, end) for one in known.episodes if _concerns(one, run_id) and one.fired_at is not None]
        if known
        else []
    )


def _concerns(episode: Episode, run_id: str) -> bool:
    """An alert about another run is not this run's story; one about the machine is everybody's."""
    return episode.labels.get("run_id", run_id) in {run_id, ""}


def _mark(episode: Episode, end: float) -> Mark:
    severity: Kind = "critical" if episode.labels.get("severity") == "critical" else "warning"
    still = "" if episode.ended_at is not None else ", still firing"
    return Mark(
        episode.fired_at or episode.since,
        episode.ended_at or end,
        f"{episode.name} ({severity}{still})",
        severity,
    )


def _benchmarks(sources: Sources, start: float, end: float) -> Iterable[Mark]:
    found = []
    for run in sources.benchmarks.runs():
        began = run.started_at.timestamp() if run.started_at else None
        over = run.ended_at.timestamp() if run.ended_at else end
        if began is not None and began <= end and over >= start:
            found.append(
                Mark(
                    began,
                    max(over, began),
                    f"Benchmark of {run.target} ({run.profile}, {run.shown_state})",
                    "benchmark",
                )
            )
    return found
