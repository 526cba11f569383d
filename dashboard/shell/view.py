"""What a person chose to look at: window, refresh, run and axis. Chosen once, it holds on every page and stands in the URL."""

import time
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dashboard.feed import Window
from dashboard.figures.evolution import AXES, Axis
from dashboard.sources import current

WINDOWS = {
    "now-5m": "Last 5 minutes", "now-15m": "Last 15 minutes", "now-1h": "Last hour", "now-6h": "Last 6 hours",
    "now-24h": "Last 24 hours", "now-7d": "Last 7 days", "now-30d": "Last 30 days",
}  # fmt: skip
REFRESHES = {"off": None, "2s": 2.0, "5s": 5.0, "15s": 15.0, "1m": 60.0}
KEPT = ("from", "to", "refresh", "run", "axis")  # query parameters that hold on every page


@dataclass(frozen=True, slots=True)
class View:
    """One viewer's choice, as of this script run."""

    window: Window
    refresh_seconds: float | None  # None: this page does not look again by itself
    run: str | None  # run_id; None: the newest
    axis: Axis
    zone: str  # IANA name of the viewer's time zone
    problem: str = ""  # what of the URL could not be used, in a sentence


def read() -> View:
    """The choice as the URL and this session hold it; the URL wins, and is completed."""
    _complete_the_url()
    problem = ""
    settings = current().settings
    try:
        window = Window.parse(_kept("from"), _kept("to"), default=settings.window)
    except ValueError as why:
        problem = f"The time window in the address cannot be used: {why} Showing the last {settings.window} instead."
        window = Window.parse(None, None, default=settings.window)
    refresh = REFRESHES.get(_kept("refresh") or "", settings.refresh_seconds)
    axis = _kept("axis")
    return View(
        window=window,
        refresh_seconds=refresh if window.live else None,
        run=_kept("run") or None,
        axis=axis if axis in AXES else "generation",  # type: ignore[arg-type]  # AXES holds exactly the literals
        zone=zone(),
        problem=problem,
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


def window_controls(view: View) -> None:
    """Pickers for window and refresh."""
    window, refresh = st.columns([3, 2], gap="small")
    known = dict(WINDOWS)
    if view.window.from_ not in known or not view.window.live:
        known = {"custom": view.window.label().capitalize()} | known
    now_shown = "custom" if "custom" in known else view.window.from_
    window.selectbox(
        "Time window", list(known), index=list(known).index(now_shown), format_func=lambda name: known[name],
        key=f"window-picker-{view.window.from_}-{view.window.to}", on_change=_window_chosen,
        args=(f"window-picker-{view.window.from_}-{view.window.to}",),
    )  # fmt: skip
    options = list(REFRESHES)
    shown = next((name for name, seconds in REFRESHES.items() if seconds == view.refresh_seconds), None)
    refresh.selectbox(
        "Refresh", options, index=options.index(shown) if shown else None, key=f"refresh-picker-{shown}",
        placeholder=f"{view.refresh_seconds:g}s" if view.refresh_seconds else "off", on_change=_refresh_chosen,
        args=(f"refresh-picker-{shown}",), disabled=not view.window.live,
        help="How often this page looks again. A window that ended in the past does not change.",
    )  # fmt: skip
    with st.expander("Exact times", expanded=False), st.form("exact-times", border=False):
        start, end = view.window.bounds(time.time())
        viewer = ZoneInfo(view.zone)
        from datetime import datetime

        since = st.datetime_input(
            "From", datetime.fromtimestamp(start, viewer).replace(tzinfo=None), key="exact-from"
        )
        until = st.datetime_input(
            "To", datetime.fromtimestamp(end, viewer).replace(tzinfo=None), key="exact-to"
        )
        if st.form_submit_button("Look at this time") and since and until:
            first, last = (int(moment.replace(tzinfo=viewer).timestamp() * 1000) for moment in (since, until))
            if last <= first:
                st.error("The end must be after the start.")
            else:
                choose(from_=str(first), to=str(last))
                st.rerun()


def axis_control(view: View) -> None:
    """Generation, elapsed or clock time."""
    st.segmented_control(
        "Axis", list(AXES), default=view.axis, required=True, format_func=lambda name: AXES[name],
        key=f"axis-picker-{view.axis}", on_change=_axis_chosen, args=(f"axis-picker-{view.axis}",),
    )  # fmt: skip


def _window_chosen(key: str) -> None:
    chosen = st.session_state[key]
    if chosen != "custom":
        choose(from_=chosen, to="now")


def _refresh_chosen(key: str) -> None:
    choose(refresh=st.session_state[key])


def _axis_chosen(key: str) -> None:
    choose(axis=st.session_state[key])


def _kept(name: str) -> str | None:
    return st.session_state.get(f"view.{name}")


def _complete_the_url() -> None:
    """A page change empties the URL: what the session holds is written back; what the URL says anew is held."""
    for name in KEPT:
        if name in st.query_params:
            st.session_state[f"view.{name}"] = st.query_params[name]
        elif _kept(name):
            st.query_params[name] = str(_kept(name))
