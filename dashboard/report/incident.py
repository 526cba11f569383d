"""The report of a stretch of time, for after an incident: what fired, what the numbers did, who did what. Pure."""

import json

import pandas as pd

from dashboard.catalogue import evolution
from dashboard.catalogue.units import NUMBER
from dashboard.feed import Asked
from dashboard.figures import episodes as episodes_figure
from dashboard.figures import lines as lines_figure
from dashboard.figures import look, marks
from dashboard.report import parts
from dashboard.report.document import Document
from dashboard.report.gather import PANELS, IncidentFound
from dashboard.report.tables import Table, utc

ROWS = (evolution.FITNESS, evolution.DIVERSITY_CURVES, evolution.PACE)


def page(found: IncidentFound) -> str:
    """The whole file."""
    document = Document(f"Report: {parts.said(found.start)} to {parts.said(found.end)} UTC")
    document.say(f"{parts.span(found.start, found.end)}. Written {parts.said(found.made_at)} UTC.", "soft")
    document.link("The same in the dashboard", found.link)
    for why in found.unavailable:
        parts.unread(document, why)
    document.section("Alerts")
    if found.history is not None and found.history.episodes:
        figure = episodes_figure.draw(found.history.episodes, found.start, found.end)
        document.figure(figure, f"{len(found.history.episodes)} episodes of alerts, pending and firing.")
    parts.alerts(document, found.history)
    document.section("What people wrote and did")
    _people(document, found)
    document.section("Runs")
    _runs(document, found)
    document.section("Numbers", "As Prometheus saw them; alerts that fired are marked.")
    asked = _panels(document, found)
    document.section(
        "Logs around", "Events of the runs and of other logs; what a generation says is in the curves."
    )
    parts.logs(document, found.lines, "log line")
    document.section("Benchmark runs meanwhile")
    parts.benchmarks(document, found.benchmarks)
    parts.queries(document, [*asked, *(one for story in found.stories for one in story.evolution.asked)])
    return document.html()


def tables(found: IncidentFound) -> tuple[Table, ...]:
    """Its numbers, one table a part and one a panel that has any."""
    said = {"from": utc(found.start), "to": utc(found.end)}
    drawn = [
        Table(
            f"panel-{panel.key}", _long(answer.frame), {**said, "title": panel.title, "unit": panel.unit.name}
        )
        for panel in PANELS
        if (answer := (found.answers or {}).get(panel.key)) is not None and not answer.empty
    ]
    stories = [parts.points(story.evolution, f"run-{i}") for i, story in enumerate(found.stories, start=1)]
    return (
        parts.episodes_table(found.history),
        Table("people", _acts(found), said),
        parts.lines_table(found.lines),
        parts.benchmarks_table(found.benchmarks),
        *stories,
        *drawn,
    )


def _people(document: Document, found: IncidentFound) -> None:
    if found.said.unavailable is not None:
        parts.unread(document, found.said.unavailable)
        return
    said = found.said
    if not said.audited:
        document.say("Notes and acknowledgements; the audit log is for admins.", "soft")
    if not said.deeds:
        document.say("Nobody wrote or did anything through the dashboard.")
        return
    rows = [
        (parts.said(one.at), one.who or "the dashboard", one.action, one.subject, one.words, one.address)
        for one in said.deeds
    ]
    document.table(("UTC", "who", "what", "on", "words", "from"), rows)
    if not said.complete:
        document.say("There is more in the audit log: older actions are left out.", "warn")


def _acts(found: IncidentFound) -> pd.DataFrame:
    """What people did, oldest first."""
    rows = [
        {"time_utc": utc(one.at), "who": one.who, "action": one.action, "subject": one.subject, "words": one.words,
         "address": one.address, "detail": json.dumps(dict(one.detail), sort_keys=True, default=str)}
        for one in found.said.deeds
    ]  # fmt: skip
    columns = ["time_utc", "who", "action", "subject", "words", "address", "detail"]
    return pd.DataFrame(rows, columns=columns)


def _runs(document: Document, found: IncidentFound) -> None:
    if not found.runs:
        document.say("No run is known in this stretch of time.")
        return
    words = {story.run.run_id: story.verdict.word for story in found.stories}
    document.table(
        ("run", "name", "state", "verdict", "started", "ended", "generations", "best fitness"),
        [
            (run.run_id, run.name, run.state, words.get(run.run_id), parts.said(run.started_at), parts.said(run.ended_at),
             run.generations, None if run.best_fitness is None else NUMBER.format(run.best_fitness))
            for run in found.runs
        ],
    )  # fmt: skip
    noted = parts.marks(found.history, found.benchmarks, found.end)
    for story in found.stories:
        document.section(f"Run {story.run.name}", story.evolution.coverage, level=3)
        tone = parts.TONES.get(story.verdict.word, "soft")
        document.banner(f"{story.verdict.word.capitalize()}.", story.verdict.sentence, tone)
        for why in story.evolution.unavailable:
            parts.unread(document, why)
        parts.curves(document, ROWS, story.evolution, "time", noted, story.run.name)


def _panels(document: Document, found: IncidentFound) -> list[Asked]:
    if found.answers is None:
        document.say("No Prometheus is configured: what only it remembers is not known.", "warn")
        return []
    asked: list[Asked] = []
    silent, reasons = [], {}
    noted = parts.marks(found.history, found.benchmarks, found.end)
    for panel in PANELS:
        answer = found.answers[panel.key]
        if answer.unavailable is not None:
            reasons[answer.unavailable.reason] = answer.unavailable
        if answer.empty:
            silent.append(panel.title)
            continue
        asked += answer.asked
        figure = lines_figure.draw(panel, answer.frame)
        marks.add(
            figure,
            noted,
            lambda moment: float(
                look.local(pd.DatetimeIndex([pd.Timestamp(moment, unit="s", tz="UTC")]), "UTC")[0]
            ),
        )
        document.section(panel.title, panel.why, level=3)
        last = answer.frame.ffill().iloc[-1]
        words = "; ".join(
            f"{name} {panel.unit.format(float(value))}" for name, value in list(last.items())[:8]
        )
        document.figure(figure, f"{panel.title}. At the end: {words}.")
    for why in reasons.values():
        parts.unread(document, why)
    if silent and not reasons:
        document.say(f"Prometheus has nothing on: {', '.join(silent)}.", "soft")
    return asked


def _long(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each time and series; holes are left out."""
    table = (
        frame.rename_axis("time_utc").reset_index().melt("time_utc", var_name="series", value_name="value")
    )
    return table.dropna(subset=["value"])
