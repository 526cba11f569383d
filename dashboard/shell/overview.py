"""What fires, and whether silence can be believed: is Prometheus there, does it scrape, do its rules run?"""

from collections import Counter
from typing import Literal

import streamlit as st

from dashboard.feed import Reading
from dashboard.shell import links, states
from dashboard.shell.look import Look
from dashboard.shell.text import ago, plain

MOST = 5
RANK = {"critical": 0, "warning": 1}
# Severity -> (colour, icon) of Streamlit; the word always stands beside them.
SIGNS: dict[str, tuple[Literal["red", "orange", "gray"], str]] = {
    "critical": ("red", ":material/error:"),
    "warning": ("orange", ":material/warning:"),
}
WATCHDOG = "Watchdog"


def firing(look: Look) -> None:
    """How many alerts fire, and the worst of them."""
    with st.container(border=True):
        st.subheader("What fires", anchor=False)
        if look.sources.prometheus is None:
            states.empty(
                "No Prometheus is configured, so no alert can fire: set MOE_DASHBOARD_PROMETHEUS_URL."
            )
            return
        reading = look.sources.feed.instant("ALERTS")
        if _unreadable(reading, look):
            return
        alerts = [sample.labels for sample in reading.samples if sample.labels.get("severity") != "none"]
        burning = sorted(
            (labels for labels in alerts if labels.get("alertstate") == "firing"),
            key=lambda labels: (RANK.get(labels.get("severity", ""), 2), labels.get("alertname", "")),
        )
        pending = sum(labels.get("alertstate") == "pending" for labels in alerts)
        counts = Counter(labels.get("severity", "") for labels in burning)
        with st.container(horizontal=True, gap="large"):
            for word in ("critical", "warning"):
                st.metric(word.capitalize(), counts[word], width="content")
            st.metric("Pending", pending, width="content")
        for labels in burning[:MOST]:
            _alert(labels)
        if not burning:
            st.caption("Nothing fires.")
        elif len(burning) > MOST:
            st.caption(f"and {len(burning) - MOST} more")
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
        _watchdog(look)
        links.to("health", "Health checks", icon=":material/health_and_safety:")


def _scraped(look: Look) -> None:
    ages = look.sources.feed.instant("max(time() - timestamp(up))").samples
    if ages:
        seconds = ages[0].value
        _said(ok=seconds < 120, words=f"The oldest scrape is {seconds:.0f} s old.")


def _watchdog(look: Look) -> None:
    """An alert that always fires: where it does not, the rules are not loaded or not evaluated, and silence means nothing."""
    found = look.sources.feed.instant("ALERTS").samples
    barks = any(
        sample.labels.get("alertname") == WATCHDOG and sample.labels.get("alertstate") == "firing"
        for sample in found
    )
    words = "Watchdog fires, as it always should: the rules are evaluated."
    _said(
        ok=barks,
        words=words if barks else "Watchdog does not fire: the alert rules are not loaded or not evaluated.",
    )


def _unreadable(reading: Reading, look: Look) -> bool:
    """Say so when the source is off; old samples are no answer to "is anything on fire"."""
    if reading.unavailable is None:
        return False
    states.unavailable(reading.unavailable)
    if reading.looked_at is not None:
        st.caption(plain(f"Last good look {ago(reading.looked_at, look.now)}. What fires now is not known."))
    return True


def _alert(labels: dict[str, str]) -> None:
    severity = labels.get("severity", "")
    with st.container(horizontal=True, vertical_alignment="center"):
        colour, icon = SIGNS.get(severity, ("gray", ":material/notifications:"))
        st.badge(plain(severity or "no severity"), icon=icon, color=colour)
        name = labels.get("alertname", "")
        about = " · ".join(
            f"{key} {labels[key]}" for key in ("run_id", "instance", "layer", "gpu_id") if labels.get(key)
        )
        st.markdown(f"**{plain(name)}**", width="content")
        st.caption(plain(about), width="stretch")
        links.to("runbooks", "Runbook", icon=":material/menu_book:", alert=name)


def _said(*, ok: bool, words: str) -> None:
    icon = ":green[:material/check_circle:]" if ok else ":orange[:material/warning:]"
    st.markdown(f"{icon} {plain(words)}")
