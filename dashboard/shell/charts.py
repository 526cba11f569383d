"""Panels and curves on screen: title, what to read out of it, figure, age, and the queries behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.catalogue.spec import Curves, Panel
from dashboard.catalogue.units import Unit
from dashboard.feed import Answer, Evolution, Exemplars, thin
from dashboard.figures import dots, lines, marks
from dashboard.figures import evolution as evolution_figure
from dashboard.figures import look as look_of
from dashboard.figures.marks import Mark
from dashboard.shell import address, noted, states, steady, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.look import Look
from dashboard.shell.text import plain

__all__ = ["Stack", "curves", "freshness", "heading", "panel", "show", "spoken", "stack"]

POINTS = 2000  # about one a pixel column
ZOOM = "zoom"  # query parameter: unix milliseconds, first-last


@dataclass(frozen=True, slots=True)
class Stack:
    """Several curves under one title, on one x axis with one cursor, drawn as one figure."""

    key: str
    title: str
    rows: tuple[Curves, ...]


def heading(title: str, why: str) -> None:
    """Title of a panel; what to read out of it on request."""
    st.markdown(f"**{plain(title)}**", help=plain(why))


def panel(item: Panel, look: Look) -> None:
    """One panel over clock time."""
    answer = look.answers[item.key]
    with st.container(border=True):
        heading(item.title, item.why)
        if answer.empty:
            if answer.unavailable is not None:
                states.unavailable(answer.unavailable)
            else:
                states.empty(item.empty or "No data in this window.")
            return
        zone, revision = (
            look.view.zone,
            f"{look.view.window.from_}|{look.view.window.to}|{look.view.run}|{look.view.instance}",
        )
        requests = _traced(item, look)
        measured = noted.benchmarks(look.sources, look.view.window, look.now)
        figure = drawn(
            (item.key, zone, revision, requests, measured), answer.frame,
            lambda: _lines(item, answer, requests, measured, zone, revision),
        )  # fmt: skip
        show(figure, key=f"panel-{item.key}", alt=spoken(item, answer), name=item.key)
        _footnote(item, answer, look)


def _traced(item: Panel, look: Look) -> Exemplars | None:
    """Requests behind the panel that carry a trace; None where there are none."""
    if not item.exemplars:
        return None
    found = look.sources.feed.exemplars(item, look.view.window, instance=look.view.instance)
    return found if len(found) else None


def _lines(
    item: Panel,
    answer: Answer,
    requests: Exemplars | None,
    measured: tuple[Mark, ...],
    zone: str,
    revision: str,
) -> go.Figure:
    figure = lines.draw(item, answer.frame, zone=zone, revision=revision)
    first = answer.frame.index[0].timestamp()  # a region never makes the axis longer than its curve
    marks.add(
        figure, marks.since(measured, first), lambda moment: float(look_of.local(np.array([moment]), zone)[0])
    )
    if requests is not None:
        dots.add(figure, requests.times, requests.values, requests.trace_ids, zone=zone)
    return figure


def spoken(item: Panel, answer: Answer) -> str:
    """The figure in words: each line's last value."""
    last = answer.frame.ffill().iloc[-1]
    said = "; ".join(f"{name} {item.unit.format(float(value))}" for name, value in list(last.items())[:8])
    return f"{item.title}. Now: {said}."


def curves(item: Curves, look: Look) -> None:
    """One figure on the evolution axis of the chosen run."""
    stack(Stack(item.key, item.title, (item,)), look)


def stack(item: Stack, look: Look, evolution: Evolution | None = None) -> None:
    """Several figures on one evolution axis, of the chosen run or as given; what the run does not report is said once."""
    evolution = evolution or look.evolution
    with st.container(border=True):
        if evolution is None:
            states.empty("No run is known in this window.")
            return
        frame = evolution.frame
        known = tuple(row for row in item.rows if evolution_figure.drawable(row, frame))
        if not known:
            for why in evolution.unavailable if frame.empty else ():
                states.unavailable(why)
            states.empty(_nothing(item))
            return
        options, revision = look.view.options, f"{item.key}|{evolution.run.run_id if evolution.run else ''}"
        metrics = evolution_figure.columns(known, frame)
        noted = look.noted
        figure = drawn(
            (item.key, options, revision, tuple(row.key for row in known), noted),
            frame,
            lambda: evolution_figure.draw(
                known, thin(frame, POINTS, metrics), options, noted=noted, revision=revision
            ),
        )
        show(
            figure,
            key=f"curves-{item.key}",
            alt=_told(item.title, known, evolution),
            name=f"{item.key}-{look.run_id}",
            zoom=_zoom(revision),
            on_zoom=_hold_zoom,
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(plain(_about(item, known, evolution)), width="stretch")
            take.away(item.key, lambda: _table(frame, metrics), evolution.asked, look)


def stack_shows(item: Stack, look: Look) -> object:
    """What a stack shows, to compare; while a source is off nobody can tell."""
    evolution = look.evolution
    if evolution is None or evolution.unavailable:
        return None
    return (
        item.key,
        look.run_id,
        steady.Itself(evolution.frame),
        _about(item, item.rows, evolution),
        look.noted,
    )


def _nothing(item: Stack) -> str:
    """An empty stack in one sentence."""
    if len(item.rows) == 1:
        return item.rows[0].empty or "Nothing of this was reported in this window."
    titles = ", ".join(row.title.lower() for row in item.rows)
    return f"Nothing was reported in this window of: {titles}."


def _zoom(revision: str) -> tuple[int, int] | None:
    """The stretch of time that the address asks for, in unix milliseconds; another run is seen whole."""
    before = st.session_state.get("zoomed")
    st.session_state["zoomed"] = revision
    if before not in (None, revision):
        address.hold(ZOOM, "")
    first, _, last = address.held(ZOOM).partition("-")
    return (
        (int(first), int(last)) if first.isdecimal() and last.isdecimal() and int(first) < int(last) else None
    )


def _hold_zoom(stretch: tuple[int, int] | None) -> None:
    address.hold(ZOOM, "" if stretch is None else f"{stretch[0]}-{stretch[1]}")


def _about(item: Stack, known: Sequence[Curves], evolution: Evolution) -> str:
    """What the curves stand on, in words: coverage, sources, what is missing."""
    silent = [row.title.lower() for row in item.rows if row not in known]
    parts = [
        evolution.coverage,
        "Open points were sampled by Prometheus, filled ones come from the run's log."
        if len(evolution.frame["source"].unique()) > 1
        else "",
        *(
            f"{why.reason} The newest points come from the run's log."
            for why in evolution.unavailable
            if _logged(evolution)
        ),
        f"This run does not report: {', '.join(silent)}." if silent else "",
        f"Log and Prometheus disagree on {evolution.disagreements} generations."
        if evolution.disagreements
        else "",
    ]
    return " ".join(filter(None, parts))


def _logged(evolution: Evolution) -> bool:
    return not evolution.frame.empty and evolution.frame["source"].iloc[-1] == "log"


def _told(title: str, rows: Sequence[Curves], evolution: Evolution) -> str:
    """The figure in words: the last value of each curve."""
    said = "; ".join(
        f"{curve.legend} {_last(evolution.frame, curve.metric.name, row.unit)}"
        for row in rows
        for curve in row.curves
        if curve.metric.name in evolution.frame
    )
    return f"{title}, {len(evolution.frame)} points. Last known: {said}."


def _last(frame: pd.DataFrame, name: str, unit: Unit) -> str:
    known = frame[name].dropna()
    return unit.format(float(known.iloc[-1]) if len(known) else None)


def _table(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """What a download of curves holds: every point, not only those drawn; times as UTC."""
    there = [name for name in dict.fromkeys(metrics) if name in frame]
    head = frame[["generation", "elapsed_seconds", "segment", "source"]]
    return pd.concat(
        [pd.to_datetime(frame["time"], unit="s", utc=True).rename("time_utc"), head, frame[there]], axis=1
    )


def freshness(look: Look) -> None:
    """One banner for the page when something it shows is old: since when, and why."""
    old = sorted(look.stale(), key=lambda pair: pair[1] or 0.0)
    if old:
        why, looked_at = old[0]
        states.stale(why, looked_at, look.now, look.view.zone)
    elif look.runs_are_partial:
        for why in look.runs.unavailable:
            states.unavailable(why)


def _footnote(item: Panel, answer: Answer, look: Look) -> None:
    warnings = [text for asked in answer.asked for text in asked.warnings]
    step = f"one point every {answer.step_seconds:g} s" if answer.step_seconds else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(" · ".join(filter(None, [step, plain(warnings[0]) if warnings else ""])), width="stretch")
        take.away(item.key, _wide(answer.frame), answer.asked, look)


def _wide(frame: pd.DataFrame) -> Callable[[], pd.DataFrame]:
    return lambda: frame.rename_axis("time_utc").reset_index()
