"""Asks the sources for everything a report holds: once, one after the other, without judging.

A source that is off is part of what was found, as `Unavailable` or None beside the rest; it never ends a report.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from collectors.logs import LogLine, files, tail
from collectors.run_events import RunEvent
from collectors.runs import Topology
from collectors.unavailable import Unavailable
from dashboard import catalogue
from dashboard.alerts.episodes import Episode, History
from dashboard.benchmark.index import RunSummary
from dashboard.catalogue.spec import Panel
from dashboard.feed import Answer, Evolution, ExpertLoads, LogLines, Run, Window
from dashboard.feed.feed import Feed
from dashboard.sources import Sources
from dashboard.store import Action
from dashboard.verdict.evolution import Standing, Verdict, judge

LOOK_BACK = "30d"  # how far back a run is searched in Prometheus where no window is given
MARGIN_SECONDS = 30.0  # around a run: its last scrape comes after its last generation
MOST_LINES = 200
MOST_RUNS = 8  # drawn in the report of a time range; the others are listed
MOST_ACTIONS = 10_000
BUDGET_BYTES = 256 << 20  # of logs that are read for a report
WRITTEN = ("generations.jsonl", "events.jsonl")  # the logs in a run's directory

# Panels over clock time: those declared so, and the evolution's own curves of every run.
PANELS: tuple[Panel, ...] = (*(curves.panel() for curves in catalogue.CURVES), *catalogue.PANELS)


class NoSuchRun(LookupError):
    """Neither the runs directory nor Prometheus knows the run; the message says what was asked."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Log lines, newest first; `complete` says whether the logs were read to the beginning of the stretch."""

    lines: tuple[LogLine, ...] = ()
    complete: bool = True
    unavailable: Unavailable | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """One run with its points and what they say."""

    run: Run
    evolution: Evolution
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that somebody wrote or did. `address` and `detail` are known from the audit log alone."""

    at: float
    who: str  # empty: the dashboard itself
    action: str
    subject: str
    words: str
    address: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What people wrote and did, oldest first. Without the audit log: notes and acknowledgements, which everybody sees."""

    deeds: tuple[Deed, ...] = ()
    audited: bool = True
    complete: bool = True
    unavailable: Unavailable | None = None


@dataclass(frozen=True, slots=True)
class Benchmarked:
    """Benchmark runs meanwhile, newest first."""

    runs: tuple[RunSummary, ...] = ()
    unavailable: Unavailable | None = None


@dataclass(frozen=True, slots=True)
class Pinned:
    """The run that everybody measures against, who pinned it and when."""

    run: Run
    evolution: Evolution
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class RunFound:
    """Everything on one run. Times are unix seconds; `history` is None where no Prometheus is configured."""

    story: Story
    start: float
    end: float
    made_at: float
    link: str
    loads: ExpertLoads
    topologies: tuple[Topology, ...]
    errors: Lines
    history: History | None
    benchmarks: Benchmarked
    failed: tuple[RunEvent, ...]  # steps that failed
    baseline: Pinned | None  # where another run is one


@dataclass(frozen=True, slots=True)
class IncidentFound:
    """Everything in a stretch of time. `history` and `answers` are None where no Prometheus is configured."""

    start: float
    end: float
    made_at: float
    link: str
    history: History | None
    answers: dict[str, Answer] | None
    runs: tuple[Run, ...]
    stories: tuple[Story, ...]
    lines: Lines
    benchmarks: Benchmarked
    said: Said
    unavailable: tuple[Unavailable, ...]


def of_run(
    sources: Sources, run_id: str, window: Window | None = None, *, clock: Callable[[], float] = time.time
) -> RunFound:
    """Everything on a run: in `window`, or as long as it lived.

    Raises:
        NoSuchRun: nobody knows the run.
    """
    feed = sources.feed
    window = window or _lifetime(feed, run_id)
    start, end = window.bounds(feed.now())
    end = min(end, feed.now())
    story = _story(feed, _run(feed, run_id, window), window)
    where = f"run={_quoted(run_id)}&from={start * 1000:.0f}&to={end * 1000:.0f}"
    return RunFound(
        story=story,
        start=start,
        end=end,
        made_at=clock(),
        link=f"{sources.settings.dashboard_url.rstrip('/')}/evolution?{where}",
        loads=feed.experts(run_id, window),
        topologies=_topologies(sources, run_id),
        errors=_errors(sources, run_id, start, end),
        history=_of_run(_history(sources, start, end), run_id),
        benchmarks=_benchmarks(sources, start, end),
        failed=feed.failed_steps(run_id),
        baseline=_baseline(sources, run_id, window),
    )


def of_range(
    sources: Sources, window: Window, *, audit: bool = True, clock: Callable[[], float] = time.time
) -> IncidentFound:
    """Everything between two times; `audit` only for who may read the audit log."""
    feed = sources.feed
    start, end = window.bounds(feed.now())
    end = min(end, feed.now())
    fixed = Window(f"{start * 1000:.0f}", f"{end * 1000:.0f}")  # what "now" was when it was asked
    known = feed.runs(fixed)
    runs = tuple(run for run in known.runs if _lived(run, start, end))
    stories = tuple(_story(feed, run, fixed) for run in runs[:MOST_RUNS])
    return IncidentFound(
        start=start,
        end=end,
        made_at=clock(),
        link=f"{sources.settings.dashboard_url.rstrip('/')}/alerts?from={fixed.from_}&to={fixed.to}",
        history=_history(sources, start, end),
        answers=None if sources.prometheus is None else feed.panels(PANELS, fixed),
        runs=runs,
        stories=stories,
        lines=_between(_events(sources, [run.run_id for run in runs]), start, end, loki=sources.loki),
        benchmarks=_benchmarks(sources, start, end),
        said=_said(sources, start, end, audit=audit),
        unavailable=known.unavailable,
    )


def _lifetime(feed: Feed, run_id: str) -> Window:
    """When the run lived, by the runs directory, or by what Prometheus saw of it."""
    now = feed.now()
    run = _run(feed, run_id, Window(f"now-{LOOK_BACK}"))
    first = run.started_at or run.last_seen or now
    last = run.ended_at if run.ended_at is not None and not run.active else now
    last = run.last_seen if run.state == "unknown" and run.last_seen is not None else last
    # Seen on a coarse grid its ends are known to a step only; a folder knows them exactly.
    loose = MARGIN_SECONDS if "log" in run.sources else 2 * 86_400 * int(LOOK_BACK[:-1]) / 400
    start, end = first - loose, min(now, last + loose)
    return Window(f"{start * 1000:.0f}", f"{end * 1000:.0f}")


def _run(feed: Feed, run_id: str, window: Window) -> Run:
    known = feed.runs(window)
    for run in known.runs:
        if run.run_id == run_id:
            return run
    why = " ".join(one.reason for one in known.unavailable)
    raise NoSuchRun(f"No run {run_id!r} is known. {why}".strip())


def _story(feed: Feed, run: Run, window: Window) -> Story:
    evolution = feed.evolution(run.run_id, window)
    seen = feed.now() if not evolution.unavailable or evolution.looked_at is None else evolution.looked_at
    restarts = tuple(segment.reason for segment in evolution.segments[1:])
    verdict = judge(Standing(run.state, run.reason, run.active), evolution.frame, seen, restarts=restarts)
    return Story(run, evolution, verdict)


def _lived(run: Run, start: float, end: float) -> bool:
    began = run.started_at if run.started_at is not None else run.last_seen
    over = run.ended_at if run.ended_at is not None else end if run.active else run.last_seen
    return (began is None or began <= end) and (over is None or over >= start)


def _baseline(sources: Sources, run_id: str, window: Window) -> Pinned | None:
    """The baseline with its points; None where none is pinned, it is this run, or it is not known here."""
    try:
        pinned = sources.store.baseline()
        if pinned is None or pinned.run_id == run_id:
            return None
        run = _run(sources.feed, pinned.run_id, window)
    except (Unavailable, NoSuchRun):
        return None
    return Pinned(run, sources.feed.whole(run, window), pinned.who, pinned.at)


def _topologies(sources: Sources, run_id: str) -> tuple[Topology, ...]:
    """Every best genome that was written, oldest first."""
    if sources.runs is None:
        return ()
    try:
        found, newest = sources.runs.topologies(run_id), sources.runs.topology(run_id)
    except Unavailable:
        return ()
    if newest is not None and (not found or newest.generation > found[-1].generation):
        found = [*found, newest]
    return tuple(found)


def _history(sources: Sources, start: float, end: float) -> History | None:
    return None if sources.past is None else sources.past.between(start, end)


def _of_run(known: History | None, run_id: str) -> History | None:
    """Alerts of this run, and those of no run in particular."""
    if known is None:
        return None

    def concerns(episode: Episode) -> bool:
        return episode.labels.get("run_id", run_id) in {run_id, ""}

    return History(
        tuple(one for one in known.episodes if concerns(one)), known.step_seconds, known.unavailable
    )


def _benchmarks(sources: Sources, start: float, end: float) -> Benchmarked:
    try:
        known = sources.benchmarks.runs()
    except OSError as why:
        return Benchmarked(unavailable=Unavailable(f"The benchmark runs cannot be read ({why.strerror})."))
    found = []
    for run in known:
        began = (run.started_at or run.created_at).timestamp()
        over = run.ended_at.timestamp() if run.ended_at else end
        if began <= end and over >= start:
            found.append(run)
    return Benchmarked(tuple(found))


def _said(sources: Sources, start: float, end: float, *, audit: bool) -> Said:
    try:
        if audit:
            newest = sources.store.audit(limit=MOST_ACTIONS, start=start, end=end)
            return Said(tuple(map(_deed, reversed(newest))), complete=len(newest) < MOST_ACTIONS)
        notes = [
            Deed(one.at, one.who, "note", one.alert, one.text)
            for one in sources.store.notes(start=start, end=end)
        ]
        taken = [
            Deed(one.at, one.who, "acknowledge", one.alert, one.comment)
            for one in sources.store.acknowledgements(ended=True)
            if start <= one.at <= end
        ]
    except Unavailable as why:
        return Said(audited=audit, unavailable=why)
    return Said(tuple(sorted((*notes, *taken), key=lambda deed: deed.at)), audited=False)


def _deed(action: Action) -> Deed:
    written = (str(action.detail[name]) for name in ("text", "comment", "note") if action.detail.get(name))
    return Deed(
        action.at, action.who, action.action, action.subject, next(written, ""), action.address, action.detail
    )


def _errors(sources: Sources, run_id: str, start: float, end: float) -> Lines:
    """The run's own errors, and those in other logs that name it."""
    written = _logs(sources, [run_id], WRITTEN)
    own = _between(written, start, end, level="error", run_id=None if written else run_id, loki=sources.loki)
    others = files(sources.settings.log_files)
    if not others:
        return own
    named = _between(others, start, end, level="error", run_id=run_id)
    lines = sorted((*own.lines, *named.lines), key=_moment, reverse=True)
    return Lines(
        tuple(lines[:MOST_LINES]), own.complete and named.complete, own.unavailable or named.unavailable
    )


def _events(sources: Sources, run_ids: Sequence[str]) -> list[Path]:
    """What happened beside the generations, which the curves tell: the runs' events and the operator's other logs."""
    return [*_logs(sources, run_ids, WRITTEN[1:]), *files(sources.settings.log_files)]


def _logs(sources: Sources, run_ids: Sequence[str], names: Sequence[str]) -> list[Path]:
    root = sources.settings.runs_dir
    if root is None:
        return []
    safe = [name for name in run_ids if name not in {"", ".", ".."} and "/" not in name and "\0" not in name]
    return files(root / run_id / name for run_id in safe for name in names)


def _between(
    paths: Iterable[Path], start: float, end: float, *, level: str | None = None, run_id: str | None = None,
    loki: LogLines | None = None,
) -> Lines:  # fmt: skip
    """The newest lines between two times, from Loki where there are no files; lines without a time are left out."""
    paths = list(paths)
    if not paths and loki is None:
        return Lines()
    kept: list[LogLine] = []
    left, resume = BUDGET_BYTES, None
    try:
        while True:
            if paths or loki is None:
                page = tail(paths, limit=500, level=level, run_id=run_id, budget_bytes=left, resume=resume)
            else:
                page = loki.tail(limit=500, level=level, run_id=run_id, resume=resume)
            kept += [line for line in page.lines if start <= _moment(line) <= end]
            left -= page.scanned_bytes
            known = [_moment(line) for line in page.lines if line.time is not None]
            past = bool(known) and min(known) < start
            if len(kept) >= MOST_LINES or page.exhausted or past or left <= 0:
                complete = len(kept) <= MOST_LINES and (page.exhausted or past)
                return Lines(tuple(kept[:MOST_LINES]), complete)
            resume = page.resume
    except Unavailable as why:
        return Lines(tuple(kept), complete=False, unavailable=why)


def _moment(line: LogLine) -> float:
    return line.time.timestamp() if line.time is not None else float("nan")


def _quoted(text: str) -> str:
    return quote(text, safe="")
