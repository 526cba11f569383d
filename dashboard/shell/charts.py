"""Panels and curves on screen: title, what to read out of it, figure, age. A drawn figure is shared by all sessions."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import plotly.graph_objects as go
import streamlit as st

from dashboard.catalogue.spec import Curves, Panel
from dashboard.feed import Answer, thin
from dashboard.figures import evolution as evolution_figure
from dashboard.figures import lines
from dashboard.shell import states, view
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain
from dashboard.sources import current

CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}
POINTS = 2000  # about one a pixel column


class _Drawn:
    """The last few hundred figures, by what they show. The frame is kept with its figure, so that an id stays its own."""

    def __init__(self, most: int = 400) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._figures: OrderedDict[tuple[object, ...], tuple[object, go.Figure]] = OrderedDict()

    def get(self, key: tuple[object, ...], source: object, draw: Callable[[], go.Figure]) -> go.Figure:
        key = (*key, id(source))
        with self._lock:
            if key in self._figures:
                self._figures.move_to_end(key)
                return self._figures[key][1]
        figure = draw()
        with self._lock:
            self._figures[key] = (source, figure)
            while len(self._figures) > self._most:
                self._figures.popitem(last=False)
        return figure


_drawn = _Drawn()


def show(figure: go.Figure, *, key: str, alt: str) -> None:
    """A figure at its place; `alt` is read by a screen reader instead of it."""
    st.plotly_chart(figure, key=key, config=CONFIG, alt=alt)


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
        revision = f"{look.view.window.from_}|{look.view.window.to}|{look.view.run}"
        figure = _drawn.get(
            (item.key, look.view.zone, revision),
            answer.frame,
            lambda: lines.draw(item, answer.frame, zone=look.view.zone, revision=revision),
        )
        show(figure, key=f"panel-{item.key}", alt=spoken(item, answer))
        _footnote(answer, look)


def spoken(item: Panel, answer: Answer) -> str:
    """The figure in words: each line's last value."""
    frame = answer.frame.ffill()
    last = frame.iloc[-1] if len(frame) else {}
    said = "; ".join(
        f"{name} {item.unit.format(float(value))}" for name, value in list(dict(last).items())[:8]
    )
    return f"{item.title}. Now: {said}."


def curves(item: Curves, look: Look) -> None:
    """One figure on the evolution axis of the chosen run."""
    evolution = look.evolution
    with st.container(border=True):
        heading(item.title, item.why)
        if evolution is None:
            states.empty("No run is known in this window.")
            return
        known = [
            curve
            for curve in item.curves
            if curve.metric.name in evolution.frame and evolution.frame[curve.metric.name].notna().any()
        ]
        if not known:
            for why in evolution.unavailable if evolution.frame.empty else ():
                states.unavailable(why)
            states.empty(item.empty or "Nothing of this was reported in this window.")
            return
        revision = f"{evolution.run.run_id if evolution.run else ''}"
        figure = _drawn.get(
            (item.key, look.view.axis, look.view.zone, revision),
            evolution.frame,
            lambda: evolution_figure.draw(
                item,
                thin(evolution.frame, POINTS),
                axis=look.view.axis,
                zone=look.view.zone,
                revision=revision,
            ),
        )
        last = evolution.frame.iloc[-1]
        said = "; ".join(
            f"{curve.legend} {item.unit.format(float(last[curve.metric.name]))}" for curve in known
        )
        show(
            figure,
            key=f"curves-{item.key}",
            alt=f"{item.title}, {len(evolution.frame)} points. Last: {said}.",
        )


def freshness(look: Look, panels: Sequence[Panel]) -> None:
    """One banner for the page when what it shows is old: since when, and why."""
    old = [
        answer
        for item in panels
        if (answer := look.answers[item.key]).unavailable is not None and not answer.empty
    ]
    if old:
        oldest = min(old, key=lambda answer: answer.looked_at or 0.0)
        if oldest.unavailable is not None:
            states.stale(oldest.unavailable, oldest.looked_at, look.now, look.view.zone)


def run_picker(chosen: view.View) -> None:
    """Which run: the one that evolves now unless the viewer chose another."""
    known = current().feed.runs(chosen.window).runs
    names = {"": "Newest run"} | {run.run_id: f"{run.name} · {run.state} · {run.run_id}" for run in known}
    if chosen.run and chosen.run not in names:
        names[chosen.run] = f"{chosen.run} (not seen in this window)"
    options = list(names)
    key = f"run-picker-{chosen.run or ''}"
    st.selectbox(
        "Run", options, index=options.index(chosen.run or ""), format_func=lambda name: names.get(name, name), key=key,
        on_change=lambda: view.choose(run=st.session_state[key] or None), width=320,
    )  # fmt: skip


def _footnote(answer: Answer, look: Look) -> None:
    warnings = [text for asked in answer.asked for text in asked.warnings]
    step = f"one point every {answer.step_seconds:g} s · " if answer.step_seconds else ""
    st.caption(
        f"{step}looked at {clock(answer.looked_at, look.view.zone)}"
        + (f" · {plain(warnings[0])}" if warnings else "")
    )
