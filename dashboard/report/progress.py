"""Chapters of a run's report: how fast it went, what failed in it, and how it stands against the baseline. Pure."""

from collections.abc import Sequence

import pandas as pd

from dashboard.catalogue.units import COUNT, NUMBER, SECONDS
from dashboard.feed import failures as failed
from dashboard.figures import failures as failures_figure
from dashboard.figures import overlay, timeline
from dashboard.figures.evolution import Axis, Options
from dashboard.figures.marks import Mark
from dashboard.figures.overlay import Drawing
from dashboard.report import parts
from dashboard.report.document import Document
from dashboard.report.gather import RunFound
from dashboard.report.tables import Table
from dashboard.verdict import progress

NEWEST = 60  # generations on the timeline


def pace(document: Document, found: RunFound, noted: Sequence[Mark]) -> None:
    """Rate, evaluations, and a bar for each of the newest generations."""
    frame = found.story.evolution.frame
    document.section(
        "Pace", "A bar is a generation from its start to its end; a space between bars is a pause."
    )
    seconds = progress.seconds_a_generation(frame)
    evaluations = pd.Series(progress.evaluations(frame)).max()
    rows = [
        (
            "a generation takes (median of the last twenty)",
            None if seconds is None else SECONDS.format(seconds),
        ),
        ("generations a minute", NUMBER.format(60 / seconds) if seconds else None),
        ("fitness evaluations", COUNT.format(float(evaluations)) if pd.notna(evaluations) else None),
    ]
    document.table(("what", "value"), rows)
    shown = timeline.spans(frame, NEWEST)
    if not len(shown):
        document.say("How long each generation took is not told.", "soft")
        return
    whole = float((shown.ends - shown.starts).sum())
    told = [f"{phase} {took.sum() / whole:.0%}" for phase, took in shown.parts.items()] if whole else []
    spent = ", ".join(told) if told else "the run does not tell its phases"
    document.figure(
        timeline.draw(shown, frame, Options("time"), noted=noted),
        f"Generations {shown.generations[0]:.0f} to {shown.generations[-1]:.0f}, {SECONDS.format(whole)} together: {spent}.",
    )


def failures(document: Document, found: RunFound, axis: Axis, noted: Sequence[Mark]) -> None:
    """By error type, with the first and the last time."""
    document.section(
        "Failures",
        "Evaluations that raised, as the run counts them, and steps that failed, as its log tells them.",
    )
    frame = found.story.evolution.frame
    known = failed.of(frame, found.failed)
    if not known:
        document.say("No failed evaluation was counted and no failed step was logged.", "good")
        return
    rows = [
        (one.error_type, "an evaluation" if one.where == "evaluation" else "a step", one.count, _whole(one.first_generation), _whole(one.last_generation),
         parts.said(one.first_time), parts.said(one.last_time))
        for one in known
    ]  # fmt: skip
    document.table(
        ("error type", "failed in", "times", "first generation", "last generation", "first", "last"), rows
    )
    if not frame.empty:
        steps = [
            (one.time, str(one.fields.get("error_type") or failed.UNTOLD))
            for one in found.failed
            if one.time is not None
        ]
        document.figure(
            failures_figure.draw(frame, failed.new(frame), steps, Options(axis), noted=noted),
            f"Failures of {len(known)} error types against the run's axis.",
        )


def _whole(generation: float | None) -> str | None:
    return None if generation is None else f"{generation:.0f}"


def failures_table(found: RunFound) -> Table:
    """A row for each point and error type with failures, and for each failed step."""
    run_id = found.story.run.run_id
    frame = failed.table(found.story.evolution.frame, found.failed).assign(run_id=run_id)
    return Table("failures", frame, {"run": run_id})


def against(document: Document, found: RunFound) -> None:
    """The run and the baseline over each other, and what the area between them is."""
    pinned = found.baseline
    if pinned is None:
        return
    document.section("Against the baseline")
    run, other = found.story.run, pinned.run
    name, base = (run.name, other.name) if run.name != other.name else (run.run_id, other.run_id)
    document.say(
        f"The baseline is {base} ({other.run_id}), pinned by {pinned.who} on {parts.said(pinned.at)} UTC.",
        "soft",
    )
    frames = {name: found.story.evolution.frame, base: pinned.evolution.frame}
    apart = progress.between(frames[name], frames[base], "generation")
    if apart is None:
        document.say("They share no generation with a fitness.")
        return
    goal = float(pd.Series(progress.best_so_far(frames[base])).max())
    there = progress.reached(frames[name], goal)
    words = (
        f"Over generations {apart.edges[0]:.0f} to {apart.edges[-1] - 1:.0f}, {name} is on average {apart.mean:+.4g} from {base}, "
        f"and {apart.final:+.4g} at the end. It reached the baseline's best, {NUMBER.format(goal)}, {_when(there, found)}."
    )
    drawing = Drawing(area=(name, base), goal=goal, baseline=base)
    document.figure(overlay.draw(frames, drawing), f"Best fitness so far. {words}")
    keys = sorted({*run.config, *other.config})
    unlike = [
        (key, run.config.get(key), other.config.get(key))
        for key in keys
        if run.config.get(key) != other.config.get(key)
    ]
    if unlike:
        document.table(("setting", name, base), unlike)
    else:
        document.say("Their configurations do not differ.", "soft")


def _when(there: progress.Reached | None, found: RunFound) -> str:
    if there is None:
        return "not yet" if found.story.run.active else "never"
    told = [
        f"at generation {there.generation:.0f}" if there.generation is not None else "",
        f"after {SECONDS.format(there.seconds)}" if there.seconds is not None else "",
        f"after {there.evaluations:,.0f} evaluations" if there.evaluations is not None else "",
    ]
    return ", ".join(filter(None, told)) or "at a time that is not told"
