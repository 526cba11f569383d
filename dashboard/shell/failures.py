"""Failures of the chosen run by error type: when, how often, and the log lines behind them."""

import pandas as pd
import streamlit as st

from collectors.run_events import RunEvent
from dashboard.feed import Evolution, failures
from dashboard.feed.failures import Failure
from dashboard.figures import failures as figures
from dashboard.shell import charts, links, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.steady import Itself, stands_on
from dashboard.shell.text import clock, plain, visible

MOST_LINKS = 6  # error types with a link to their lines
EVERYWHERE = {"evaluation": "an evaluation", "step": "a step"}


def _shows(look: Look) -> object:
    evolution = look.evolution
    if evolution is None or look.run is None:
        return ()
    events = look.sources.feed.failed_steps(look.run_id)
    return look.run_id, look.run.sources, Itself(evolution.frame), Itself(events), look.noted


@stands_on(_shows)
def by_type(look: Look) -> None:
    """Evaluations that raised and steps that failed, by error type; a quiet line where there are none."""
    evolution = look.evolution
    if evolution is None or look.run is None:
        return
    events = look.sources.feed.failed_steps(look.run_id)
    found = kept(("failures",), (evolution.frame, events), lambda: failures.of(evolution.frame, events))
    if not found:
        known = (
            "No failed evaluation was counted"
            if "log" in look.run.sources
            else "No failed evaluation was seen by Prometheus"
        )
        steps = " and no failed step was logged" if "log" in look.run.sources else ""
        states.quiet(f"{known}{steps} in this window.")
        return
    with st.container(border=True):
        charts.heading(
            "Failures",
            "Evaluations that raised, as the run counts them, and steps that failed, as its log tells them. A loop that swallows errors goes on as if nothing had happened; its fitness does not.",
        )
        st.caption(plain(said(found)))
        _figure(evolution, events, look)
        st.dataframe(
            pd.DataFrame([_row(one, look.view.zone) for one in found]), hide_index=True, height=min(250, 38 + 35 * len(found)),
            alt="Failures by error type",
        )  # fmt: skip
        with st.container(horizontal=True, vertical_alignment="center"):
            for one in found[:MOST_LINKS]:
                links.to(
                    "logs",
                    f"Log lines: {plain(one.error_type, 40)}",
                    icon=":material/article:",
                    run=look.run_id,
                    text=one.error_type,
                )
            take.away(
                "failures",
                lambda: failures.table(evolution.frame, events).assign(run_id=look.run_id),
                evolution.asked,
                look,
            )


def said(found: tuple[Failure, ...]) -> str:
    """All of it in a sentence."""
    evaluations = sum(one.count for one in found if one.where == "evaluation")
    steps = sum(one.count for one in found if one.where == "step")
    parts = [f"{evaluations:,} failed evaluation{'s' * (evaluations != 1)}"] if evaluations else []
    parts += [f"{steps:,} failed step{'s' * (steps != 1)}"] if steps else []
    kinds = len({one.error_type for one in found})
    return f"{' and '.join(parts)}, of {kinds} error type{'s' * (kinds != 1)}."


def _figure(evolution: Evolution, events: tuple[RunEvent, ...], look: Look) -> None:
    frame, options = evolution.frame, look.view.options
    if frame.empty:
        return
    steps = [
        (one.time, str(one.fields.get("error_type") or failures.UNTOLD))
        for one in events
        if one.time is not None
    ]
    figure = drawn(
        ("failures", options.axis, options.zone, look.noted, look.run_id, len(events)),
        frame,
        lambda: figures.draw(
            frame, failures.new(frame), steps, options, noted=look.noted, revision=look.run_id
        ),
    )
    show(
        figure,
        key="failures",
        alt="Failed evaluations by error type against the axis",
        name=f"failures-{look.run_id}",
    )


def _row(one: Failure, zone: str) -> dict[str, object]:
    first, last = (
        " · ".join(
            filter(
                None,
                [
                    f"generation {generation:.0f}" if generation is not None else "",
                    clock(moment, zone) if moment is not None else "",
                ],
            )
        )
        for generation, moment in (
            (one.first_generation, one.first_time),
            (one.last_generation, one.last_time),
        )
    )
    return {
        "error type": visible(one.error_type),
        "failed in": EVERYWHERE[one.where],
        "times": one.count,
        "first": first or "before this window",
        "last": last or "before this window",
    }
