"""Parts that both reports have: alerts, curves, logs, benchmark runs, what could not be read. Pure.

Times on paper are UTC, so that two readers of one file speak of the same moment.
"""

import json
from collections.abc import Iterable, Sequence

import pandas as pd

from collectors.logs import LogLine
from collectors.unavailable import Unavailable
from dashboard.alerts.episodes import Episode, History
from dashboard.catalogue import BY_NAME
from dashboard.catalogue.spec import Curves
from dashboard.catalogue.units import SAMPLES_PER_SECOND, SECONDS, Unit
from dashboard.feed import Asked, Evolution, thin
from dashboard.figures import evolution as curves_figure
from dashboard.figures.evolution import Axis, Options
from dashboard.figures.marks import Kind, Mark
from dashboard.report.document import Document, Tone
from dashboard.report.gather import MOST_LINES, Benchmarked, Lines
from dashboard.report.tables import Table, utc

POINTS = 4000  # of a curve; the CSV has all
MOST_EPISODES = 500
TONES: dict[str, Tone] = {
    "improving": "good", "finished": "good", "converged": "warn", "stagnated": "warn", "restarted": "warn",
    "collapsed": "bad", "diverged": "bad", "stuck": "bad", "failed": "bad",
}  # fmt: skip
_ELSEWHERE = frozenset({"event", "level", "timestamp", "time", "logger", "run_id", "generation"})


def said(moment: float | None) -> str | None:
    """A unix time for a reader."""
    text = utc(moment)
    return None if text is None else f"{text[:10]} {text[11:19]}"


def span(start: float, end: float) -> str:
    """A stretch of time for a reader."""
    return f"{said(start)} to {said(end)} UTC ({SECONDS.format(float(round(end - start)))})"


def unread(document: Document, why: Unavailable) -> None:
    """A source that could not be read: never an empty part."""
    document.say(f"Not known: {why.reason} {why.advice}".strip(), "warn")


def curves(
    document: Document, rows: Sequence[Curves], evolution: Evolution, axis: Axis, noted: Sequence[Mark], name: str
) -> None:  # fmt: skip
    """One figure of the rows that were reported; the others are said."""
    frame = evolution.frame
    known = [row for row in rows if curves_figure.drawable(row, frame)]
    silent = [row.title.lower() for row in rows if row not in known]
    if known:
        metrics = curves_figure.columns(known, frame)
        figure = curves_figure.draw(known, thin(frame, POINTS, metrics), Options(axis=axis), noted=noted)
        document.figure(figure, f"{name}, {len(frame)} points. Last known: {_last(known, evolution)}.")
    if silent:
        document.say(f"Not reported: {', '.join(silent)}.", "soft")


def axis_of(evolution: Evolution) -> Axis:
    """Generations where the run tells them, else clock time."""
    return "generation" if evolution.frame["generation"].notna().any() else "time"


def points(evolution: Evolution, name: str) -> Table:
    """Every point of a run as a table; the columns are the metrics' names, which end in their units."""
    frame = evolution.frame
    run = evolution.run
    taken = ("time", "segment", "source", "hole_before")
    columns = {
        "time_utc": pd.to_datetime(frame["time"], unit="s", utc=True),
        "run_id": run.run_id if run else "",
        **{column: frame[column] for column in frame.columns if column not in taken},
        "segment": frame["segment"],
        "source": frame["source"],
    }
    units = {column: BY_NAME[column].unit.name for column in frame.columns if column in BY_NAME}
    about = {"run": run.run_id if run else None, "coverage": evolution.coverage, "units": units}
    return Table(name, pd.DataFrame(columns), about)


def marks(history: History | None, benchmarks: Benchmarked, end: float) -> list[Mark]:
    """Firing alerts and benchmark runs, as marks on curves."""
    found = []
    for one in history.episodes if history else ():
        if one.fired_at is not None:
            severity: Kind = "critical" if one.labels.get("severity") == "critical" else "warning"
            found.append(Mark(one.fired_at, one.ended_at or end, f"{one.name} ({severity})", severity))
    for run in benchmarks.runs:
        began = (run.started_at or run.created_at).timestamp()
        over = run.ended_at.timestamp() if run.ended_at else end
        found.append(
            Mark(began, max(began, over), f"Benchmark of {run.target} ({run.shown_state})", "benchmark")
        )
    return sorted(found, key=lambda mark: mark.start)


def alerts(document: Document, history: History | None) -> None:
    """The episodes as a table."""
    if history is None:
        document.say("No Prometheus is configured, and it alone remembers what fired.", "warn")
        return
    if history.unavailable is not None:
        unread(document, history.unavailable)
        return
    if history.step_seconds is not None:
        step = SECONDS.format(history.step_seconds)
        document.say(f"In a stretch this long, episodes shorter than {step} may be missing.", "soft")
    if not history.episodes:
        document.say("No alert was pending or firing.")
        return
    rows = [
        (one.name, one.labels.get("severity"), said(one.since), said(one.fired_at) or "never", said(one.ended_at) or "goes on",
         _duration(one.firing_seconds), _labels(one))
        for one in history.episodes[:MOST_EPISODES]
    ]  # fmt: skip
    document.table(("alert", "severity", "condition true", "fired", "ended", "fired for", "labels"), rows)
    if len(history.episodes) > MOST_EPISODES:
        document.say(f"The newest {MOST_EPISODES} of {len(history.episodes)}; the CSV has all.", "soft")


def episodes_table(history: History | None) -> Table:
    """The episodes with times in UTC."""
    rows = [
        {"alert": one.name, "severity": one.labels.get("severity"), "condition_true_utc": utc(one.since), "fired_utc": utc(one.fired_at),
         "ended_utc": utc(one.ended_at), "fired_seconds": one.firing_seconds, "labels": json.dumps(dict(one.labels), sort_keys=True)}
        for one in (history.episodes if history else ())
    ]  # fmt: skip
    columns = ["alert", "severity", "condition_true_utc", "fired_utc", "ended_utc", "fired_seconds", "labels"]
    unknown = (
        "no Prometheus is configured"
        if history is None
        else history.unavailable.reason
        if history.unavailable
        else None
    )
    return Table("alerts", pd.DataFrame(rows, columns=columns), {"unknown_because": unknown})


def logs(document: Document, found: Lines, what: str) -> None:
    """Log lines, oldest first, as a reader follows them."""
    if found.unavailable is not None:
        unread(document, found.unavailable)
    if not found.lines:
        document.say(f"No {what} was found{'' if found.complete else ' in the part that was read'}.")
        return
    if not found.complete:
        document.say(
            f"Older ones are left out: the newest {len(found.lines)} are here, {MOST_LINES} at most.", "soft"
        )
    rows = [
        (line.time.strftime("%Y-%m-%d %H:%M:%S") if line.time else None, line.level, line.event, _fields(line))
        for line in reversed(found.lines)
    ]  # fmt: skip
    document.table(("UTC", "level", "event", "said"), rows)


def lines_table(found: Lines) -> Table:
    """Log lines as they were written."""
    rows = [
        {"time_utc": line.time.isoformat() if line.time else None, "level": line.level, "event": line.event, "line": line.raw}
        for line in reversed(found.lines)
    ]  # fmt: skip
    return Table(
        "log",
        pd.DataFrame(rows, columns=["time_utc", "level", "event", "line"]),
        {"complete": found.complete},
    )


def benchmarks(document: Document, found: Benchmarked) -> None:
    """Benchmark runs meanwhile."""
    if found.unavailable is not None:
        unread(document, found.unavailable)
        return
    if not found.runs:
        document.say("No benchmark ran meanwhile.")
        return
    document.table(
        ("run", "target", "profile", "device", "state", "started", "p50", "throughput", "for"),
        [
            (run.run_id, run.target, run.profile, run.device_name, run.shown_state, said((run.started_at or run.created_at).timestamp()),
             SECONDS.format(run.p50_seconds), SAMPLES_PER_SECOND.format(run.samples_per_second), run.owner)
            for run in found.runs
        ],
    )  # fmt: skip


def benchmarks_table(found: Benchmarked) -> Table:
    """Benchmark runs with seconds and samples per second."""
    rows = [
        {"run": run.run_id, "target": run.target, "profile": run.profile, "device": run.device_name, "state": run.state,
         "started_utc": utc((run.started_at or run.created_at).timestamp()), "ended_utc": utc(run.ended_at.timestamp() if run.ended_at else None),
         "p50_seconds": run.p50_seconds, "throughput_samples_per_second": run.samples_per_second, "owner": run.owner}
        for run in found.runs
    ]  # fmt: skip
    columns = ["run", "target", "profile", "device", "state", "started_utc", "ended_utc", "p50_seconds",
               "throughput_samples_per_second", "owner"]  # fmt: skip
    return Table("benchmarks", pd.DataFrame(rows, columns=columns))


def queries(document: Document, asked: Iterable[Asked]) -> None:
    """What was asked, so that anybody can ask again."""
    texts = dict.fromkeys(
        f"{query.promql}\n# {f'step {query.step_seconds:g} s, ' if query.step_seconds else ''}{query.samples:,} samples"
        + "".join(f"\n# warning: {warning}" for warning in query.warnings)
        for query in asked
    )
    if texts:
        document.verbatim(f"The {len(texts)} queries behind these numbers", list(texts))


def _last(rows: Sequence[Curves], evolution: Evolution) -> str:
    return "; ".join(
        f"{curve.legend} {_value(evolution, curve.metric.name, row.unit)}"
        for row in rows
        for curve in row.curves
        if curve.metric.name in evolution.frame
    )


def _value(evolution: Evolution, name: str, unit: Unit) -> str:
    known = evolution.frame[name].dropna()
    return unit.format(float(known.iloc[-1]) if len(known) else None)


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else SECONDS.format(float(round(seconds)))


def _labels(episode: Episode) -> str:
    return ", ".join(
        f"{name}={value}"
        for name, value in sorted(episode.labels.items())
        if name not in {"alertname", "severity"}
    )


def _fields(line: LogLine) -> str:
    kept = {name: value for name, value in line.fields.items() if name not in _ELSEWHERE}
    return json.dumps(kept, ensure_ascii=False, default=str)[:2000] if kept else ""
