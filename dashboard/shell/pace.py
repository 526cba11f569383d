"""How fast the chosen run goes, when it will be done, and what its last generations spent their time on."""

import streamlit as st

from dashboard.catalogue.units import SECONDS
from dashboard.feed import Evolution
from dashboard.figures import timeline as figures
from dashboard.figures.timeline import Spans
from dashboard.shell import address, charts, runs, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.look import Look
from dashboard.shell.steady import Itself, stands_on
from dashboard.shell.text import clock, plain
from dashboard.verdict import progress

NEWEST = {"": "40 generations", "100": "100 generations", "300": "300 generations"}


def _shows(look: Look) -> object:
    evolution = look.evolution
    pace = runs.seconds_a_generation(look)
    if evolution is None or look.run is None or pace is None:
        return ()
    return look.run_id, Itself(evolution.frame), look.noted, _numbers(evolution, pace, look)


@stands_on(_shows)
def timeline(look: Look) -> None:
    """Rate, what is left, and a bar for each of the newest generations."""
    evolution = look.evolution
    if evolution is None or evolution.frame.empty or look.run is None:
        return
    pace = runs.seconds_a_generation(look)
    if pace is None:
        return
    with st.container(border=True):
        charts.heading(
            "Pace",
            "The rate of the last twenty generations. Below, a bar is a generation from its start to its end, with what it spent its time on where the run tells its phases; a space between bars is a pause.",
        )
        with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
            for label, value in _numbers(evolution, pace, look):
                st.metric(label, value, width="content")
            held = address.select("Timeline of the newest", NEWEST, "timeline", width=180)
        newest = int(held) if held in NEWEST and held else 40
        shown = figures.spans(evolution.frame, newest)
        if not len(shown):
            states.quiet(
                "How long each generation took is not told and cannot be derived: too few neighbouring generations were seen."
            )
            return
        _figure(shown, evolution, look)


def _numbers(evolution: Evolution, pace: float, look: Look) -> list[tuple[str, str]]:
    run = look.run
    assert run is not None  # noqa: S101  # timeline() has seen to it
    found = [("A generation takes", SECONDS.format(pace)), ("Rate", _rate(pace))]
    evaluations = _evaluations_a_second(evolution)
    if evaluations is not None:
        found.append(("Evaluations", f"{evaluations:,.3g} /s"))
    left = runs.left(run)
    if run.active and left is not None:
        seconds = left * pace
        found.append(("Generations left", f"{left:,}"))
        found.append(
            (
                "Done",
                f"in {SECONDS.format(float(round(seconds)))}, {clock(look.now + seconds, look.view.zone, seconds=False)}",
            )
        )
    elif run.active:
        found.append(("Done", "no end was planned"))
    return found


def _rate(pace: float) -> str:
    if pace <= 0:
        return "–"
    each = 1 / pace
    for size, unit in ((1.0, "s"), (60.0, "min"), (3600.0, "h")):
        if each * size >= 1 or unit == "h":
            return f"{each * size:,.3g} /{unit}"
    raise AssertionError("the last unit takes every rate")


def _evaluations_a_second(evolution: Evolution) -> float | None:
    """Over the last twenty points that tell them."""
    frame = (
        evolution.frame.assign(evaluations=progress.evaluations(evolution.frame))
        .dropna(subset=["evaluations"])
        .tail(20)
    )
    took = float(frame["time"].iloc[-1] - frame["time"].iloc[0]) if len(frame) > 1 else 0.0
    return float(frame["evaluations"].iloc[-1] - frame["evaluations"].iloc[0]) / took if took > 0 else None


def _figure(shown: Spans, evolution: Evolution, look: Look) -> None:
    options = look.view.options
    figure = drawn(
        ("timeline", options.axis == "elapsed", options.zone, len(shown), look.noted, look.run_id),
        evolution.frame,
        lambda: figures.draw(shown, evolution.frame, options, noted=look.noted, revision=look.run_id),
    )
    show(figure, key="timeline", alt=_spoken(shown), name=f"timeline-{look.run_id}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(plain(_spoken(shown)), width="stretch")
        take.away("timeline", lambda: figures.table(shown), evolution.asked, look)


def _spoken(shown: Spans) -> str:
    """Where the time went, in words."""
    whole = float((shown.ends - shown.starts).sum())
    told = (
        [f"{phase} {seconds.sum() / whole:.0%}" for phase, seconds in shown.parts.items()]
        if whole > 0
        else []
    )
    head = f"Generations {shown.generations[0]:.0f} to {shown.generations[-1]:.0f}, {SECONDS.format(whole)} together"
    return f"{head}: {', '.join(told)}." if told else f"{head}; this run does not tell its phases."
