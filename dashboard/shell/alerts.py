"""Blocks of the Alerts page: one list, worst first, narrowed by the address, and never "no alerts" while nobody can tell.

Names, labels and annotations come from outside: they are escaped or shown as text; only http(s) links are links.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.catalogue.units import NUMBER
from dashboard.feed.source import Looked, Shared
from dashboard.shell import address, links, runbooks, states
from dashboard.shell.health import moment
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, is_link, plain, visible
from dashboard.shell.view import View

A_PAGE = 20  # cards; the table below holds all
WATCHDOG = "Watchdog"
# Severity and state -> (Streamlit colour, icon); the word always stands beside them.
SEVERITIES = {"critical": ("red", ":material/error:"), "warning": ("orange", ":material/warning:")}
STATES = {
    "firing": ("red", ":material/local_fire_department:"),
    "pending": ("yellow", ":material/hourglass_top:"),
}
ORDER = ("firing", "pending")

_rules: Shared[list[dict[str, Any]]] = Shared(2.0, time.time, most=4)  # one question serves every session


@dataclass(frozen=True, slots=True)
class Shown:
    """One alert on screen."""

    name: str
    state: str
    severity: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    since: float | None  # unix seconds
    value: float | None


def filters(_: View) -> None:
    """Text or label=value, state and severity; the address holds them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        address.text("Filter", "q", placeholder="words, label=value, label!=value", width=360)
        address.select("State", {"": "every state"} | {state: state for state in ORDER}, "state", width=160)
        address.select(
            "Severity", {"": "every severity"} | {name: name for name in SEVERITIES}, "severity", width=160
        )


def now(look: Look) -> None:
    """Whether the list can be believed, and how many there are of what."""
    looked = _looked(look)
    if looked is None:
        return
    if looked.unavailable is not None:
        states.unavailable(looked.unavailable)
        if looked.value is None:
            st.error("What fires now is not known.", icon=":material/help:")
            return
        st.error(
            f"What fires now is not known. Below is what fired at {clock(looked.looked_at, look.view.zone)}, {ago(looked.looked_at, look.now)}.",
            icon=":material/history:",
        )
    known = _alerts(looked.value or [])
    _watchdog(known, looked.value or [])
    counted = [alert for alert in known if alert.name != WATCHDOG]
    firing = [alert for alert in counted if alert.state == "firing"]
    severities = Counter(alert.severity for alert in firing)
    with st.container(horizontal=True, gap="large"):
        st.metric("Firing", len(firing), width="content")
        for severity in SEVERITIES:
            st.metric(severity.capitalize(), severities[severity], width="content")
        st.metric("Pending", sum(alert.state == "pending" for alert in counted), width="content")
    st.caption(f"looked at {clock(looked.looked_at, look.view.zone)}")


def listed(look: Look) -> None:
    """The alerts that pass the filter: a page of cards, and all of them as a table."""
    looked = _looked(look)
    if looked is None or looked.value is None:
        return
    known = [alert for alert in _alerts(looked.value) if alert.name != WATCHDOG]
    passing = sorted((alert for alert in known if passes(alert)), key=rank)
    if not known:
        if looked.unavailable is None:
            states.empty("Nothing is pending or firing.")
        return
    if not passing:
        states.empty(f"None of the {len(known)} alerts passes this filter.")
        return
    if len(passing) < len(known):
        st.caption(f"{len(passing)} of {len(known)} alerts pass the filter")
    page = 1
    if len(passing) > A_PAGE:
        page = st.pagination(-(-len(passing) // A_PAGE), key="alerts-page")
    for alert in passing[(page - 1) * A_PAGE : page * A_PAGE]:
        _card(alert, look)
    with st.expander(f"All {len(passing)} as a table"):
        st.dataframe(table(passing, look), hide_index=True, alt="Alerts, worst first")


def history(look: Look) -> None:
    """What fired before."""
    del look


def passes(alert: Shown) -> bool:
    """Whether the alert is what the address asks for."""
    state, severity = address.held("state"), address.held("severity")
    return (
        (not state or alert.state == state)
        and (not severity or alert.severity == severity)
        and _said(alert, address.held("q"))
    )


def _said(alert: Shown, wanted: str) -> bool:
    """Every word stands somewhere in the alert; label=value and label!=value compare one label."""
    everything = " ".join([alert.name, *alert.labels.values(), *alert.annotations.values()]).lower()
    for word in wanted.replace(",", " ").split():
        name, sign, value = word.partition("!=") if "!=" in word else word.partition("=")
        if (sign and name in alert.labels) or sign == "!=":
            if (alert.labels.get(name, "") == value.strip('"')) == (sign == "!="):
                return False
        elif word.lower() not in everything:
            return False
    return True


def rank(alert: Shown) -> tuple[int, int, float]:
    """Worst first: firing before pending, critical before warning, the newest first among equals."""
    known = [*SEVERITIES]
    severity = known.index(alert.severity) if alert.severity in known else len(known)
    state = ORDER.index(alert.state) if alert.state in ORDER else len(ORDER)
    return state, severity, -(alert.since or 0.0)


def table(alerts: Sequence[Shown], look: Look) -> pd.DataFrame:
    """One row an alert, as text."""
    return pd.DataFrame(
        [
            {
                "state": alert.state,
                "severity": visible(alert.severity),
                "alert": visible(alert.name),
                "since": clock(alert.since, look.view.zone),
                "value": "" if alert.value is None else NUMBER.format(alert.value),
                "summary": visible(alert.annotations.get("summary", "")),
                "labels": visible(words(alert.labels)),
            }
            for alert in alerts
        ]
    )


def words(labels: Mapping[str, str]) -> str:
    """Labels as text, without the name."""
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")


def _card(alert: Shown, look: Look) -> None:
    key = "-".join(f"{name}.{value}" for name, value in sorted(alert.labels.items()))
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            _badge(alert.state, STATES)
            _badge(alert.severity or "no severity", SEVERITIES)
            st.markdown(f"**{plain(alert.name)}**", width="content")
            facts = [f"since {clock(alert.since, look.view.zone)}, {ago(alert.since, look.now)}"]
            if alert.value is not None:
                facts.append(f"value {NUMBER.format(alert.value)}")
            st.caption(plain(" · ".join(facts)), width="stretch")
            links.to(
                "runbooks",
                "Runbook",
                icon=":material/menu_book:",
                **runbooks.address_of(alert.name, alert.labels),
            )
        st.markdown(
            plain(
                alert.annotations.get("summary")
                or alert.annotations.get("description")
                or "This alert has no summary."
            )
        )
        st.caption(plain(words(alert.labels)))
        details = st.expander("Details", key=f"details-{key}", on_change="rerun")
        if details.open:
            with details:
                _details(alert)


def _details(alert: Shown) -> None:
    for name, text in alert.annotations.items():
        st.caption(plain(name))
        st.text(visible(text))
        if name == "runbook_url" and is_link(text):
            st.link_button("Open this address", text, icon=":material/open_in_new:")


def _badge(word: str, signs: Mapping[str, tuple[str, str]]) -> None:
    colour, icon = signs.get(word, ("gray", ":material/help:"))
    st.badge(plain(word), icon=icon, color=colour)  # type: ignore[arg-type]  # one of Streamlit's colours


def _watchdog(known: Sequence[Shown], groups: Sequence[Mapping[str, Any]]) -> None:
    """An alert that always fires: where it does not, silence means nothing."""
    if not any(group.get("rules") for group in groups):
        st.error(
            "Prometheus has loaded no alert rule, so no alert can ever fire. Load the rules of `moe-dashboard export rules`.",
            icon=":material/notifications_off:",
        )
    elif not any(alert.name == WATCHDOG and alert.state == "firing" for alert in known):
        st.error(
            "The Watchdog alert, which always fires, does not: the rules are not loaded or not evaluated. Do not believe that nothing is wrong.",
            icon=":material/notifications_off:",
        )


def _looked(look: Look) -> Looked[list[dict[str, Any]]] | None:
    prometheus: Prometheus | None = look.sources.prometheus
    if prometheus is None:
        off = Unavailable(
            "No Prometheus is configured, so what fires is not known.",
            advice="Set MOE_DASHBOARD_PROMETHEUS_URL.",
        )
        return Looked(None, None, off)
    return _rules.get(id(prometheus), prometheus.rules)


def _alerts(groups: Sequence[Mapping[str, Any]]) -> list[Shown]:
    found = []
    for group in groups:
        for rule in group.get("rules", []):
            for alert in rule.get("alerts", []):
                labels = dict(alert.get("labels", {}))
                found.append(
                    Shown(
                        name=labels.get("alertname", rule.get("name", "")),
                        state=str(alert.get("state", "unknown")),
                        severity=labels.get("severity", ""),
                        labels=labels,
                        annotations=dict(alert.get("annotations", {})),
                        since=moment(alert.get("activeAt")),
                        value=_number(alert.get("value")),
                    )
                )
    return found


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return None if math.isnan(value) else value
