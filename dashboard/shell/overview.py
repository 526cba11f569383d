"""What fires, and whether silence can be believed: is Prometheus there, does it scrape, do its rules run?"""

from typing import Literal

import streamlit as st

from dashboard.alerts.entry import STATES, Entry, attention
from dashboard.feed import Reading
from dashboard.shell import links, states
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, plain

MOST = 5
ALWAYS = ("firing", "pending")  # shown even where there are none
# Severity -> (colour, icon) of Streamlit; the word always stands beside them.
SIGNS: dict[str, tuple[Literal["red", "orange", "gray"], str]] = {
    "critical": ("red", ":material/error:"),
    "warning": ("orange", ":material/warning:"),
}


def firing(look: Look) -> None:
    """How many alerts fire, and those that want attention most."""
    with st.container(border=True):
        st.subheader("What fires", anchor=False)
        if look.sources.prometheus is None and not look.sources.alertmanagers:
            states.empty(
                "No Prometheus is configured, so no alert can fire: set MOE_DASHBOARD_PROMETHEUS_URL."
            )
            return
        known = look.sources.alerts.look()
        if known.unavailable:
            _said(ok=False, words="What fires now is not known: not every source can be read.")
        counts = known.counts
        if not known.unavailable or counts:
            with st.container(horizontal=True, gap="large"):
                for state in STATES:
                    if state in counts or state in ALWAYS:
                        st.metric(state.capitalize(), counts.get(state, 0), width="content")
        urgent = sorted((entry for entry in known.entries if entry.severity != "none"), key=attention)
        for entry in urgent[:MOST]:
            _alert(entry, look)
        if not urgent and not known.unavailable:
            st.caption(
                "Nothing fires." if known.quiet else "Nothing fires, but see whether that can be believed."
            )
        elif len(urgent) > MOST:
            st.caption(f"and {len(urgent) - MOST} more")
        links.to("alerts", "All alerts", icon=":material/notifications:")


def monitoring(look: Look) -> None:
    """Whether the monitoring itself is sound."""
    with st.container(border=True):
        st.subheader("Is the monitoring sound?", anchor=False)
        if look.sources.prometheus is None:
            states.empty("No Prometheus is configured; runs are read from the runs directory alone.")
            links.to("health", "Health checks", icon=":material/health_and_safety:")
            return
        up = look.sources.feed.instant("up")
        if _unreadable(up, look):
            return
        _said(ok=True, words=f"Prometheus answers; last look {ago(up.looked_at, look.now)}.")
        down = [sample.labels for sample in up.samples if sample.value == 0]
        if not up.samples:
            _said(ok=False, words="Prometheus has no scrape target: nothing is watched.")
        elif down:
            names = ", ".join(
                f"{labels.get('job', '?')} at {labels.get('instance', '?')}" for labels in down[:4]
            )
            _said(ok=False, words=f"{len(down)} of {len(up.samples)} targets are down: {names}.")
        else:
            _said(ok=True, words=f"All {len(up.samples)} targets are up.")
        _scraped(look)
        _path_of_alerts(look)
        links.to("health", "Health checks", icon=":material/health_and_safety:")


def _scraped(look: Look) -> None:
    ages = look.sources.feed.instant("max(time() - timestamp(up))").samples
    if ages:
        seconds = ages[0].value
        _said(ok=seconds < 120, words=f"The oldest scrape is {seconds:.0f} s old.")


def _path_of_alerts(look: Look) -> None:
    """Whether an alert would reach anybody: Watchdog fires, rules evaluate, Alertmanager hears of it."""
    known = look.sources.alerts.look()
    bad = [finding for finding in known.findings if finding.level != "info"]
    for finding in bad:
        _said(ok=False, words=f"{finding.words} {finding.advice}".strip())
    if not bad and not known.unavailable:
        _said(ok=True, words="Alert rules are evaluated and Watchdog fires, as it always should.")


def _unreadable(reading: Reading, look: Look) -> bool:
    """Say so when the source is off; old samples are no answer to "is anything on fire"."""
    if reading.unavailable is None:
        return False
    states.unavailable(reading.unavailable)
    if reading.looked_at is not None:
        st.caption(plain(f"Last good look {ago(reading.looked_at, look.now)}. What fires now is not known."))
    return True


def _alert(entry: Entry, look: Look) -> None:
    colour, icon = SIGNS.get(entry.severity, ("gray", ":material/notifications:"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(plain(entry.severity or "no severity"), icon=icon, color=colour)
        st.markdown(f"**{plain(entry.name)}**", width="content")
        about = [
            f"{key} {entry.labels[key]}"
            for key in ("run_id", "instance", "layer", "gpu_id")
            if entry.labels.get(key)
        ]
        since = f"since {clock(entry.since, look.view.zone)}" if entry.since is not None else ""
        st.caption(plain(" · ".join(filter(None, [entry.state, since, *about]))), width="stretch")
        links.to("runbooks", "Runbook", icon=":material/menu_book:", alert=entry.name)


def _said(*, ok: bool, words: str) -> None:
    icon = ":green[:material/check_circle:]" if ok else ":orange[:material/warning:]"
    st.markdown(f"{icon} {plain(words)}")
