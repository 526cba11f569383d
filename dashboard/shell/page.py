"""A page is a question, a few rows and nothing else. Rows hold panels, curves, or a block: a function of one look."""

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import streamlit as st
import structlog
from streamlit.runtime.scriptrunner_utils.exceptions import RerunException, StopException

from collectors.unavailable import Unavailable
from dashboard.catalogue.spec import Curves, Panel
from dashboard.shell import charts, pipeline, runs, states, steady, view
from dashboard.shell.charts import Stack
from dashboard.shell.look import Look
from dashboard.shell.text import plain
from dashboard.sources import current

Block = Callable[[Look], None]
Item = Panel | Curves | Stack | Block
Control = Literal["window", "run", "axis"]

log = structlog.get_logger("dashboard.shell")


def page(
    *, title: str, question: str, rows: Sequence[Sequence[Item]], controls: Sequence[Control] = ("window",), above: Callable[[view.View], None] | None = None, own: Collection[str] = (), tells: Collection[str] = ()
) -> None:  # fmt: skip
    """Draw a page and look again as often as the viewer chose.

    Args:
        title: the page's name.
        question: what it answers, in one sentence.
        rows: strips of panels, curves, stacks or blocks, side by side; all of them refresh together.
        controls: which of the common controls stand at the top.
        above: drawn once, not at each refresh: forms and buttons of the page's own.
        own: query parameters of the common choice that mean something else on this page.
        tells: kinds of findings about the monitoring that a block of this page tells; the banner leaves them out.
    """
    chosen = view.read(own)
    st.title(title, anchor=False)
    st.caption(plain(question))
    if chosen.problem:
        st.warning(plain(chosen.problem))
    _controls(chosen, controls)
    if above is not None:
        _guarded(title, lambda: above(chosen))
    panels = [item for row in rows for item in row if isinstance(item, Panel)]

    def fresh() -> Look:
        look = Look.at(chosen, current(), panels)
        if "run" in controls:
            runs.keep_picker_fresh(look)
        return look

    shown, left_out = rows, 0
    if current().prometheus is None:  # one sentence instead of as many as there are charts
        shown = [row for row in rows if not all(isinstance(item, Panel) for item in row)]
        left_out = sum(len(row) for row in rows) - sum(len(row) for row in shown)
    known = [[_shows(item) for item in row] for row in shown]
    if shown and all(each is not None for row in known for each in row):
        _guarded(title, lambda: _in_parts(title, shown, chosen.refresh_seconds, fresh, tells))
    else:
        _guarded(title, lambda: _at_once(title, shown, chosen.refresh_seconds, fresh, tells))
    if left_out:
        states.empty(
            f"{left_out} more charts of this page come from a Prometheus, and none is configured (MOE_DASHBOARD_PROMETHEUS_URL)."
        )


def _at_once(
    title: str, rows: Sequence[Sequence[Item]], every: float | None, fresh: Callable[[], Look], tells: Collection[str]
) -> None:  # fmt: skip
    """All rows are drawn at each refresh."""

    @st.fragment(run_every=every)
    def body() -> None:
        look = fresh()
        banner = st.container()
        for row in rows:
            _row(title, row, look)
        with banner:  # last, because only now is known what was looked at
            _banner(title, look, tells)

    body()


def _in_parts(
    title: str, rows: Sequence[Sequence[Item]], every: float | None, fresh: Callable[[], Look], tells: Collection[str]
) -> None:  # fmt: skip
    """Each row is drawn when what it shows has changed."""
    refreshing = steady.Refreshing(fresh)

    def add(key: str, draw: Callable[[Look], bool], shows: steady.Shows) -> None:
        part = steady.Part(key, draw, shows)
        refreshing.parts.append(part)

        @st.fragment(key=key)
        def drawn() -> None:
            _guarded(title, lambda: part.redraw(refreshing.look()))

        drawn()

    banner = st.container()
    for i, row in enumerate(rows):
        add(f"row-{i}", lambda look, row=row: _row(title, row, look), lambda look, row=row: _shown(row, look))  # type: ignore[misc]  # defaults bind the loop variable
    with banner:  # last, because only now is known what was looked at
        add("banner", lambda look: _banner(title, look, tells), lambda look: _said(look, tells))
    st.fragment(lambda: _guarded(title, refreshing.beat), run_every=every)()


def _row(title: str, row: Sequence[Item], look: Look) -> bool:
    """Whether all of it could be drawn."""
    well = True
    columns = st.columns(len(row), gap="medium") if len(row) > 1 else [st.container()]
    for column, item in zip(columns, row, strict=True):
        with column:
            well &= _guarded(title, lambda item=item: draw(item, look))  # type: ignore[misc]  # a default binds the loop variable
    return well


def _banner(title: str, look: Look, tells: Collection[str]) -> bool:
    charts.freshness(look)
    return _guarded(title, lambda: pipeline.banner(look, tells))


def _shows(item: Item) -> steady.Shows | None:
    """What tells whether an item changed; None where nothing does."""
    if isinstance(item, Stack):
        return lambda look: charts.stack_shows(item, look)
    if isinstance(item, Panel | Curves):
        return None
    return steady.shown_by(item)


def _shown(row: Sequence[Item], look: Look) -> object:
    found = [shows(look) if (shows := _shows(item)) is not None else None for item in row]
    return None if any(one is None for one in found) else found


def _said(look: Look, tells: Collection[str]) -> object:
    """What the banner says; nobody can tell while something is old, since it says for how long."""
    if look.stale() or look.missed():
        return None
    return look.runs_are_partial, pipeline.findings(look, tells)


def draw(item: Item, look: Look) -> None:
    """Draw one item of a row."""
    if isinstance(item, Panel):
        charts.panel(item, look)
    elif isinstance(item, Curves):
        charts.curves(item, look)
    elif isinstance(item, Stack):
        charts.stack(item, look)
    else:
        item(look)


def _guarded(title: str, part: Callable[[], object]) -> bool:
    """No traceback on screen: a source that is off says so, a mistake of ours goes to the log under a reference.

    Returns:
        Whether it went well.
    """
    try:
        part()
        return True
    except Unavailable as why:
        states.unavailable(why)
    except (StopException, RerunException):  # Streamlit's own control flow
        raise
    except Exception:  # one broken block must not take the page of an incident with it
        reference = secrets.token_hex(4)
        log.exception("A part of a page could not be drawn", page=title, reference=reference)
        states.failed(reference)
    return False


def _controls(chosen: view.View, controls: Sequence[Control]) -> None:
    if not controls:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        if "run" in controls:
            runs.picker(chosen)
        if "axis" in controls:
            view.axis_control(chosen)
        if "window" in controls:
            view.window_controls(chosen)
        if "window" in controls or "axis" in controls:
            view.more(chosen, curves="axis" in controls, window="window" in controls)
