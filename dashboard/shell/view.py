"""What a person chose to look at: window, refresh, run, axis and how curves are drawn.

Chosen once, it holds on every page and stands in the URL, so that an address sent to somebody shows the same.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dashboard.feed import Window
from dashboard.figures.evolution import AXES, Axis, Options
from dashboard.sources import current

WINDOWS = {
    "now-5m": "Last 5 minutes", "now-15m": "Last 15 minutes", "now-1h": "Last hour", "now-6h": "Last 6 hours",
    "now-24h": "Last 24 hours", "now-7d": "Last 7 days", "now-30d": "Last 30 days",
}  # fmt: skip
REFRESHES = {"off": None, "2s": 2.0, "5s": 5.0, "15s": 15.0, "1m": 60.0}
HALF_LIVES = {
    "": "Off",
    "3": "3 generations",
    "10": "10 generations",
    "30": "30 generations",
    "100": "100 generations",
}
KEPT = ("from", "to", "refresh", "run", "axis", "smooth", "log")  # query parameters that hold on every page


@dataclass(frozen=True, slots=True)
class View:
    """One viewer's choice, as of this script run."""

    window: Window
    refresh_seconds: float | None  # None: this page does not look again by itself
    run: str | None  # run_id; None: the newest
    axis: Axis
    zone: str  # IANA name of the viewer's time zone
    problem: str = ""  # what of the URL could not be used, in a sentence
    log: bool = False  # logarithmic values
    half_life: float | None = None  # of the smoothing, in generations
    instance: str | None = None  # the one instance that panels are about; it holds on its page alone

    @property
    def options(self) -> Options:
        """How curves are drawn."""
        return Options(self.axis, self.zone, self.log, self.half_life)


def read(own: Collection[str] = ()) -> View:
    """The choice as the URL and this session hold it; the URL wins, and is completed.

    `own` names query parameters that mean something else on this page: `run` is a benchmark's on the Benchmark page.
    """
    _complete_the_url(own)
    problem = ""
    settings = current().settings
    try:
        window = Window.parse(_kept("from"), _kept("to"), default=settings.window)
    except ValueError as why:
        problem = f"The time window in the address cannot be used: {why} Showing the last {settings.window} instead."
        window = Window.parse(None, None, default=settings.window)
    refresh = REFRESHES.get(_kept("refresh") or "", settings.refresh_seconds)
    axis, smooth = _kept("axis"), _kept("smooth") or ""
    return View(
        window=window,
        refresh_seconds=refresh if window.live else None,
        run=_kept("run") or None,
        axis=axis if axis in AXES else "generation",
        zone=zone(),
        problem=problem,
        log=_kept("log") == "1",
        half_life=float(smooth) if smooth and smooth in HALF_LIVES else None,
        instance=st.query_params.get("instance") or None,
    )


def zone() -> str:
    """The viewer's time zone, or UTC where the browser does not tell a known one."""
    name = st.context.timezone
    try:
        return ZoneInfo(name).key if name else "UTC"
    except (ZoneInfoNotFoundError, ValueError):
        return "UTC"


def choose(**chosen: str | None) -> None:
    """Hold a choice in this session and in the URL; None forgets it."""
    for name, value in chosen.items():
        key = name.rstrip("_")
        if value:
            st.session_state[f"view.{key}"] = value
            st.query_params[key] = value
        else:
            st.session_state.pop(f"view.{key}", None)
            st.query_params.pop(key, None)


def address(**others: str) -> dict[str, str]:
    """Query parameters of a link to another page that keeps this choice; `others` are added or replaced."""
    return {name: str(kept) for name in KEPT if (kept := _kept(name))} | others


def window_controls(view: View) -> None:
    """Pickers for window and refresh."""
    live = view.window.live and view.window.from_ in WINDOWS
    known = dict(WINDOWS) if live else {"": view.window.label().capitalize()} | WINDOWS
    st.session_state["window-picker"] = view.window.from_ if live else ""
    st.selectbox(
        "Time window", list(known), format_func=lambda name: known.get(name, name), key="window-picker", on_change=_window_chosen, width=170
    )  # fmt: skip
    refresh = next((name for name, seconds in REFRESHES.items() if seconds == view.refresh_seconds), None)
    choices = list(REFRESHES) if refresh else [f"{view.refresh_seconds:g}s", *REFRESHES]
    st.session_state["refresh-picker"] = refresh or choices[0]
    st.selectbox(
        "Refresh", choices, key="refresh-picker", on_change=_refresh_chosen, disabled=not view.window.live, width=90,
        help="How often this page looks again. A window that ended in the past does not change.",
    )  # fmt: skip


def axis_control(view: View) -> None:
    """Generation, elapsed or clock time."""
    st.session_state["axis-picker"] = view.axis
    st.segmented_control(
        "Axis", list(AXES), required=True, format_func=lambda name: AXES[name], key="axis-picker", on_change=_axis_chosen
    )  # fmt: skip


def more(view: View, *, curves: bool, window: bool) -> None:
    """What is changed less often: how curves are drawn, and exact times."""
    with st.popover("More", icon=":material/tune:", help="Smoothing, logarithmic values, exact times"):
        if curves:
            _drawing(view)
        if window:
            _exact_times(view)


def _drawing(view: View) -> None:
    st.session_state["smooth-picker"] = f"{view.half_life:g}" if view.half_life else ""
    st.selectbox(
        "Smoothing", list(HALF_LIVES), format_func=lambda name: HALF_LIVES[name], key="smooth-picker", on_change=_smooth_chosen,
        help="Exponential moving average: a generation's weight halves after as many generations as chosen. The raw points stay visible.",
    )  # fmt: skip
    st.session_state["log-picker"] = view.log
    st.toggle(
        "Logarithmic values", key="log-picker", on_change=_log_chosen, help="Rows with a value at or below zero stay linear."
    )  # fmt: skip


def _exact_times(view: View) -> None:
    start, end = view.window.bounds(time.time())
    viewer = ZoneInfo(view.zone)
    with st.form("exact-times", border=False):
        since = st.datetime_input("From", _wall(start, viewer), key="exact-from", step=60)
        until = st.datetime_input("To", _wall(end, viewer), key="exact-to", step=60)
        st.caption(f"Times are in {view.zone}.")
        if not st.form_submit_button("Look at this time") or since is None or until is None:
            return
        first, last = (int(moment.replace(tzinfo=viewer).timestamp() * 1000) for moment in (since, until))
        if last <= first:
            st.error("The end must be after the start.")
            return
        choose(from_=str(first), to=str(last))
        st.rerun()


def _wall(moment: float, viewer: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(moment, viewer).replace(tzinfo=None, second=0, microsecond=0)


def _window_chosen() -> None:
    if st.session_state["window-picker"]:
        choose(from_=st.session_state["window-picker"], to="now")


def _refresh_chosen() -> None:
    choose(refresh=st.session_state["refresh-picker"])


def _axis_chosen() -> None:
    choose(axis=st.session_state["axis-picker"])


def _smooth_chosen() -> None:
    choose(smooth=st.session_state["smooth-picker"])


def _log_chosen() -> None:
    choose(log="1" if st.session_state["log-picker"] else None)


def _kept(name: str) -> str | None:
    return st.session_state.get(f"view.{name}")


def _complete_the_url(own: Collection[str]) -> None:
    """A page change empties the URL: what the session holds is written back; what the URL says anew is held."""
    for name in KEPT:
        if name in own:
            continue
        if name in st.query_params:
            st.session_state[f"view.{name}"] = st.query_params[name]
        elif _kept(name):
            st.query_params[name] = str(_kept(name))
