"""Blocks of the Benchmark page: choose and start, watch and cancel, results with their intervals, earlier runs.

The browser names a configured target and never code. Nothing is measured here: a run is a directory that another
process writes, and this page only reads it.
"""

import secrets
import time

import pandas as pd
import streamlit as st

from collectors.unavailable import Unavailable
from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.index import RunSummary
from dashboard.benchmark.runs import NoSuchRun, RunView
from dashboard.benchmark.spec import PROFILES
from dashboard.benchmark.starting import CannotStart
from dashboard.catalogue.units import HERTZ, SAMPLES_PER_SECOND, SECONDS, WATTS
from dashboard.people import Refused
from dashboard.shell import address, person, states
from dashboard.shell import benchmark_places as places
from dashboard.shell import benchmark_result as results
from dashboard.shell.look import Look
from dashboard.shell.text import ago, plain
from dashboard.shell.view import View
from dashboard.sources import Sources, current
from dashboard.store import Author

LIVE_SECONDS = 1.0  # how often a run that is under way is looked at
LISTED = 200  # runs in the table; older ones keep their address
# State -> (Streamlit colour, icon); the word always stands beside them.
SIGNS = {
    "queued": ("gray", ":material/hourglass_empty:"),
    "running": ("blue", ":material/play_circle:"),
    "done": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("gray", ":material/cancel:"),
    "timed out": ("orange", ":material/timer_off:"),
    "died": ("red", ":material/dangerous:"),
}
ABOUT = {
    "quick": "one process, about a minute: to look at, not to judge by",
    "standard": "five processes, up to five minutes: to compare",
    "full": "seven processes, up to half an hour: every routing skew",
}


def start(view: View) -> None:
    """Choose a configured target, a profile and a device, and start."""
    del view
    sources = current()
    wheres = places.all_of(sources)
    if not any(where.targets for where in wheres.values()):
        states.empty("No benchmark target is configured (MOE_DASHBOARD_BENCHMARK_TARGETS).")
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            where = wheres[places.HERE]
            if len(wheres) > 1:
                named = {key: place.name for key, place in wheres.items()}
                where = wheres[
                    st.selectbox(
                        "Where",
                        list(named),
                        format_func=lambda key: named.get(key, key),
                        key="benchmark-where",
                        width=240,
                    )
                ]
            target = st.selectbox("Target", list(where.targets), key="benchmark-target", width=210)
            st.selectbox("Profile", list(PROFILES), key="benchmark-profile", width=130)
            devices = where.devices
            st.selectbox(
                "Device",
                list(devices),
                format_func=lambda name: devices.get(name, name),
                key="benchmark-device",
                width=280,
            )
            may = person.allowed(sources)
            if may:
                with st.container(width=180):
                    person.name("benchmark")
            st.button(
                "Start",
                type="primary",
                icon=":material/play_arrow:",
                on_click=_start,
                key="benchmark-start",
                disabled=not (may and target in where.targets and not where.why_not(target)),
            )
        st.caption(
            plain(
                f"{where.about(target)} Profile {st.session_state['benchmark-profile']}: {ABOUT.get(st.session_state['benchmark-profile'], '')}."
            )
        )
        if where.why_not(target):
            st.warning(plain(where.why_not(target)), icon=":material/block:")
        for who, why in where.refused:
            st.warning(
                plain(f"{where.name} did not start what {who} asked for: {why}"), icon=":material/block:"
            )
        person.may_write(sources)
        asked = wheres.get(st.session_state.pop("benchmark-asked", "nowhere"))
        if asked is not None:
            st.info(plain(f"{asked.name} was asked to start it; the run appears below when it did."))
        problem = st.session_state.pop("benchmark-problem", "")
        if problem:
            st.error(plain(problem), icon=":material/error:")


def runs(look: Look) -> None:
    """Which run is shown, what it is compared with, and all runs in a table."""
    known = look.sources.benchmark_hosts.runs()
    if (why := look.sources.benchmark_hosts.unavailable) is not None:
        st.caption(plain(f"Runs of other hosts are shown as they were last seen: {why.reason}"))
    if not known:
        states.empty("No benchmark has run here yet. Start one above.")
        return
    names = {run.run_id: _named(run, look) for run in known}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        address.select("Run", {"": "Newest run"} | names, "run", width=460)
        address.select("Compare with", {"": "nothing"} | names, "compare", width=460)
    with st.expander(
        f"All runs ({len(known)})" if len(known) <= LISTED else f"The newest {LISTED} of {len(known)} runs"
    ):
        st.dataframe(
            _table(known[:LISTED], look),
            hide_index=True,
            alt="Benchmark runs, newest first",
            column_config={
                "started": st.column_config.DatetimeColumn(format="DD MMM YYYY HH:mm:ss"),
                "median (ms)": st.column_config.NumberColumn(format="%.4g"),
                "samples/s": st.column_config.NumberColumn(format="%.4g"),
            },
        )


def progress(look: Look) -> None:
    """How the chosen run stands; while it is under way, looked at every second."""
    run_id = chosen(look)
    if run_id is None:
        return
    seen = _view(look.sources, run_id)
    if seen is None:
        states.empty(
            f"There is no benchmark run {run_id} here. It may have been deleted, or belong to another dashboard."
        )
        return
    if seen.state in TERMINAL:
        _headline(seen, look)
        _ended_badly(seen)
        return

    @st.fragment(run_every=LIVE_SECONDS)
    def live() -> None:
        now = _view(look.sources, run_id)
        if now is None or now.state in TERMINAL:
            st.rerun()  # the result belongs to the whole page
        else:
            _headline(now, look)
            _under_way(now, time.time())
            _cancel(now, look)

    live()


def result(look: Look) -> None:
    """The measured cells with their intervals, beside another run where one was chosen, and what to take away."""
    run_id = chosen(look)
    seen = _view(look.sources, run_id) if run_id else None
    if seen is None or seen.report is None:
        return
    other = address.held("compare")
    beside = _view(look.sources, other) if other and other != run_id else None
    if other and other != run_id and (beside is None or beside.report is None):
        states.empty(f"The run {other} has no result to compare with.")
        beside = None
    results.show(seen, beside, look)


def chosen(look: Look) -> str | None:
    """The run in the address, else the newest; an evolution run's id that came along in a link is not meant."""
    asked = address.held("run")
    known = look.sources.benchmark_hosts.runs()
    if asked and asked != st.session_state.get("view.run"):
        return asked
    return known[0].run_id if known else None


def _start() -> None:
    """Start what is chosen. A second click while that run is under way gives the same run."""
    sources = current()
    state = st.session_state
    try:
        who = person.author(sources, "benchmark", "start benchmark")
    except Refused as why:
        state["benchmark-problem"] = str(why)
        return
    person.remember(who.name)
    where = state.get("benchmark-where", places.HERE)
    asked = (state["benchmark-target"], state["benchmark-profile"], state["benchmark-device"], where)
    earlier = state.get("benchmark-started", {}).get(asked)
    if earlier is not None and (seen := _view(sources, earlier[1])) is not None and seen.state in TERMINAL:
        earlier = None
    key = earlier[0] if earlier is not None else state.setdefault("benchmark-next-key", secrets.token_hex(8))
    try:
        run_id = places.start(sources, *asked, who=who, idempotency_key=f"{key} {' '.join(asked)}")
    except (CannotStart, Unavailable) as why:
        state["benchmark-problem"] = str(why)
        return
    if run_id is None:  # asked of another host, which shows it in the list once it took it up
        _audited(sources, who, "ask for benchmark", where)
        state["benchmark-asked"] = where
        state.pop("benchmark-next-key", None)
        address.hold("run", "")
        return
    if earlier is None:
        _audited(sources, who, "start benchmark", run_id)
        state.setdefault("benchmark-started", {})[asked] = (key, run_id)
        del state["benchmark-next-key"]
    address.hold("run", run_id)


def _audited(sources: Sources, who: Author, action: str, run_id: str) -> None:
    """Write down who did what; a store that is off takes no benchmark with it."""
    try:
        sources.store.record(who=who, action=action, subject=run_id)
    except Unavailable as why:
        st.session_state["benchmark-problem"] = f"Done, but it could not be written into the audit log: {why}"


def _view(sources: Sources, run_id: str) -> RunView | None:
    try:
        seen: RunView = sources.benchmark_hosts.run(run_id)
    except NoSuchRun:
        return None
    return seen


def _headline(seen: RunView, look: Look) -> None:
    summary = seen.summary
    colour, icon = SIGNS.get(summary.shown_state, ("gray", ":material/help:"))
    facts = [f"{summary.target}, {summary.profile}", summary.device_name or summary.device]
    if summary.host:
        facts.append(f"on {summary.host}")
    if summary.owner:
        facts.append(f"started by {summary.owner}")
    facts.append(ago(summary.created_at.timestamp(), look.now))
    if summary.started_at and summary.ended_at:
        facts.append(f"took {SECONDS.format((summary.ended_at - summary.started_at).total_seconds())}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(summary.shown_state, icon=icon, color=colour)  # type: ignore[arg-type]  # one of Streamlit's colours
        st.markdown(plain(" · ".join(facts)), width="content")
    st.caption(plain(summary.run_id))


def _ended_badly(seen: RunView) -> None:
    if seen.state == "done":
        return
    sentence = seen.summary.sentence or "It said nothing about why."
    by = f" Asked by {seen.cancel_asked_by}." if seen.state == "cancelled" and seen.cancel_asked_by else ""
    (st.info if seen.state == "cancelled" else st.error)(
        plain(f"{seen.summary.shown_state.capitalize()}: {sentence}{by}")
    )
    details = seen.error.partition("\n\n")[2].strip()
    if details:
        with st.expander("The end of its log"):
            st.code(details, language=None)


def _waiting(seen: RunView, now: float) -> str:
    """Place in the queue, who has the device since when, and how long that may last."""
    progress = seen.progress
    if progress.queue_position is None:
        return f"{progress.phase.capitalize()}."
    where = "the queue" if seen.progress.phase == "waiting for the device" else "Slurm's queue"
    said = [f"Place {progress.queue_position} in {where}."]
    holder = progress.queue_holder or {}
    if holder.get("run_id"):
        since = (
            f", for {SECONDS.format(float(round(now - float(holder['since']))))}"
            if holder.get("since")
            else ""
        )
        said.append(f"{holder.get('owner') or 'Somebody'} has the device with {holder['run_id']}{since}.")
    if progress.seconds_to_start is not None:
        said.append(f"Its turn comes in about {SECONDS.format(float(round(progress.seconds_to_start)))}.")
    return " ".join(said)


def _under_way(seen: RunView, look_at: float) -> None:
    now = seen.progress
    if seen.summary.sentence:  # of a host that fell silent: nothing below is news
        st.warning(
            plain(f"{seen.summary.sentence}. What follows is how it was then."), icon=":material/sensors_off:"
        )
    if seen.state == "queued":
        st.info(plain(_waiting(seen, look_at)), icon=":material/hourglass_empty:")
        return
    done = f"{now.cells_done} of {now.cells_total} cells" if now.cells_total else f"{now.cells_done} cells"
    left = (
        f"about {SECONDS.format(float(round(now.seconds_left)))} left"
        if now.seconds_left is not None
        else "time left not known yet"
    )
    launch = (
        f", process {now.launch + 1} of {now.launches_total}"
        if now.launch is not None and now.launches_total > 1
        else ""
    )
    st.progress(now.share or 0.0, text=plain(f"{now.phase}: {done}{launch}, {left}"))
    if now.cell:
        st.caption(plain(f"now: {now.cell}{_live_median(seen)}"))
    board = [
        f"SM clock {HERTZ.format(now.sm_clock_hertz)}" if now.sm_clock_hertz is not None else "",
        f"power {WATTS.format(now.power_watts)}" if now.power_watts is not None else "",
    ]
    if any(board):
        st.caption(plain(f"GPU: {', '.join(filter(None, board))}"))
    if seen.cancel_asked_by is not None:
        st.caption(plain(f"{seen.cancel_asked_by or 'Somebody'} asked to cancel; it stops within seconds."))


def _live_median(seen: RunView) -> str:
    now = seen.progress
    if now.p50_seconds is None:
        return ""
    between = (
        f" ({SECONDS.format(now.p50_low)} to {SECONDS.format(now.p50_high)}, 95 %, n = {now.n})"
        if now.p50_low is not None
        else ""
    )
    return f" · median {SECONDS.format(now.p50_seconds)}{between}"


def _cancel(seen: RunView, look: Look) -> None:
    run_id = seen.summary.run_id
    if not person.allowed(look.sources):
        return
    if st.button(
        "Cancel this run",
        icon=":material/stop:",
        key=f"cancel-{run_id}",
        disabled=seen.cancel_asked_by is not None,
    ):
        try:
            who = person.author(look.sources, "benchmark", "cancel benchmark")
        except Refused as why:
            st.error(plain(str(why)))
            return
        try:
            look.sources.benchmark_hosts.cancel(run_id, who.name)
        except (Unavailable, NoSuchRun) as why:
            st.error(plain(f"It could not be cancelled: {why}"))
            return
        _audited(look.sources, who, "cancel benchmark", run_id)


def _named(run: RunSummary, look: Look) -> str:
    when = pd.Timestamp(run.created_at).tz_convert(look.view.zone).strftime("%d %b %H:%M:%S")
    median = f" · {SECONDS.format(run.p50_seconds)}" if run.p50_seconds is not None else ""
    return f"{when} · {run.target} {run.profile} {run.device} · {run.shown_state}{median}"


def _table(known: "tuple[RunSummary, ...]", look: Look) -> pd.DataFrame:
    created = pd.to_datetime([run.created_at for run in known], utc=True)
    return pd.DataFrame(
        {
            "started": created.tz_convert(look.view.zone).tz_localize(None),
            "state": [run.shown_state for run in known],
            "verdict": [run.verdict for run in known],
            "target": [run.target for run in known],
            "profile": [run.profile for run in known],
            "device": [run.device_name or run.device for run in known],
            "median (ms)": [None if run.p50_seconds is None else 1000 * run.p50_seconds for run in known],
            SAMPLES_PER_SECOND.symbol: [run.samples_per_second for run in known],
            "of cell": [run.headline for run in known],
            "cells failed": [run.failed_cells for run in known],
            "by": [run.owner for run in known],
            "where": [run.host or "this host" for run in known],
            "why": [run.sentence for run in known],
            "id": [run.run_id for run in known],
        }
    )
