"""Blocks of the Alerts page: one list, what wants attention first, narrowed by the address; never "no alerts" when nobody can tell.

Names, labels and annotations come from outside: they are escaped or shown as text; only http(s) links are links.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from collectors.alertmanager import Matcher
from dashboard.alerts.entry import STATES, AlertList, Entry, Finding
from dashboard.alerts.matchers import MatcherError, parse, written
from dashboard.catalogue.units import NUMBER
from dashboard.shell import address, alert_filter, links, runbooks, states
from dashboard.shell import alert_detail as detail
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, plain, short

A_PAGE = 20  # cards; the table below holds all
# Severity and state -> (Streamlit colour, icon); the word always stands beside them.
SEVERITIES = {"critical": ("red", ":material/error:"), "warning": ("orange", ":material/warning:")}
SIGNS = {
    "firing": ("red", ":material/local_fire_department:"),
    "unknown": ("gray", ":material/help:"),
    "source gone": ("violet", ":material/link_off:"),
    "acknowledged": ("blue", ":material/person_check:"),
    "pending": ("yellow", ":material/hourglass_top:"),
    "inhibited": ("gray", ":material/low_priority:"),
    "silenced": ("gray", ":material/notifications_off:"),
}
LEVELS = {
    "bad": (st.error, ":material/error:"),
    "warn": (st.warning, ":material/warning:"),
    "info": (st.info, ":material/info:"),
}


def now(look: Look) -> None:
    """Whether the list can be believed, and how many there are of what."""
    known = look.alerts
    for finding in known.findings:
        said(finding)
    for why in known.unavailable:
        if why.kind == "store":  # the others are findings; without the store nobody is known to have an alert
            states.unavailable(why)
    counts = known.counts
    firing = [entry for entry in known.entries if entry.active and entry.severity != "none"]
    with st.container(horizontal=True, gap="large"):
        for severity in SEVERITIES:
            number = sum(entry.severity == severity for entry in firing)
            st.metric(severity.capitalize(), number if _readable(known) else "not known", width="content")
        for state in STATES:
            if counts.get(state):
                st.metric(state.capitalize(), counts[state], width="content")
    if known.prometheus_at is not None and known.prometheus_at < known.looked_at:
        st.caption(
            f"The list is from {clock(known.prometheus_at, look.view.zone)}, {ago(known.prometheus_at, look.now)}."
        )
    else:
        st.caption(f"looked at {clock(known.looked_at, look.view.zone)}")


def listed(look: Look) -> None:
    """The alerts that pass the filter: a page of cards, and all of them as a table."""
    known = look.alerts
    entries = [entry for entry in known.entries if entry.severity != "none"]
    try:
        passing = [entry for entry in alert_filter.chosen(known) if entry.severity != "none"]
    except MatcherError as why:
        st.warning(plain(f"The filter cannot be read: {why}"), icon=":material/filter_alt_off:")
        passing = entries
    if not entries:
        _nothing(known)
        return
    if not passing:
        states.empty(f"None of the {len(entries):,} alerts passes this filter.")
        return
    if len(passing) < len(entries):
        st.caption(f"{len(passing):,} of {len(entries):,} alerts pass the filter")
    pages = -(-len(passing) // A_PAGE)
    page = address.page("page", pages)
    label = address.held("group")
    groups = alert_filter.groups(passing, label) if label else {}
    before: str | None = None
    for entry in passing[(page - 1) * A_PAGE : page * A_PAGE]:
        value = alert_filter.value(entry, label)
        if label and value != before:
            _group(label, value, groups[value])
            before = value
        _card(entry, known, look)
    address.pages("page", pages, "Pages of alerts")
    whole = st.expander(f"All {len(passing):,} as a table", key="alerts-table", on_change="rerun")
    if whole.open:
        with whole:
            st.dataframe(table(passing, look), hide_index=True, alt="Alerts, in the order of the list")


def _group(label: str, value: str, states_of: Counter[str]) -> None:
    """The head of a group: what its alerts have in common, and how many there are of each state."""
    name = f"{label}={value}" if value else f"no {label}"
    counted = ", ".join(f"{states_of[state]:,} {state}" for state in STATES if states_of[state])
    st.markdown(f"**{plain(name)}**  \n{plain(counted)}")


def said(finding: Finding) -> None:
    """One thing about the way alerts take, in words."""
    show, icon = LEVELS[finding.level]
    show(plain(f"{finding.words} {finding.advice}".strip()), icon=icon)


def table(entries: Sequence[Entry], look: Look) -> pd.DataFrame:
    """One row an alert, as text."""
    return pd.DataFrame(
        [
            {
                "state": entry.state,
                "severity": short(entry.severity),
                "alert": short(entry.name),
                "since": clock(entry.since or entry.fired_at, look.view.zone),
                "value": "" if entry.value is None else NUMBER.format(entry.value),
                "who has it": short(entry.acknowledgement.who) if entry.acknowledgement else "",
                "summary": short(entry.annotations.get("summary", "")),
                "labels": short(detail.words(entry.labels)),
            }
            for entry in entries
        ]
    )


def _readable(known: AlertList) -> bool:
    return known.prometheus_at is not None and known.prometheus_at >= known.looked_at


def _nothing(known: AlertList) -> None:
    """An empty list means something only where the way alerts take is sound."""
    if known.quiet and _readable(known):
        st.success(
            "Nothing is pending or firing, and the rules are evaluated.", icon=":material/check_circle:"
        )
    elif any(finding.level == "bad" for finding in known.findings) or not _readable(known):
        states.empty("What fires now is not known: see above.")
    else:
        states.empty("Nothing is pending or firing.")


def _card(entry: Entry, known: AlertList, look: Look) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            _badge(entry.state, SIGNS)
            _badge(entry.severity or "no severity", SEVERITIES)
            st.markdown(f"**{plain(entry.name, 200)}**", width="content")
            since = entry.since or entry.fired_at
            facts = [f"since {clock(since, look.view.zone)}, {ago(since, look.now)}"]
            if entry.value is not None:
                facts.append(f"value {NUMBER.format(entry.value)}")
            st.caption(plain(" · ".join(facts)), width="stretch")
            links.to(
                "runbooks",
                "Runbook",
                icon=":material/menu_book:",
                **runbooks.address_of(entry.name, detail.handy(entry.labels)),
            )
        summary = (
            entry.annotations.get("summary")
            or entry.annotations.get("description")
            or "This alert has no summary."
        )
        st.markdown(plain(summary))
        _labels(entry)
        if entry.note:
            st.caption(plain(entry.note))
        if entry.acknowledgement is not None:
            taken = entry.acknowledgement
            st.caption(
                plain(
                    f"{taken.who} has it since {clock(taken.at, look.view.zone)}{': ' + taken.comment if taken.comment else ''}"
                )
            )
        detail.expander(entry, known, look)


def _labels(entry: Entry) -> None:
    """Its labels; a click on one narrows the list to alerts that have it too."""
    labels = [(name, value) for name, value in sorted(entry.labels.items()) if name != "alertname"]
    if not labels:
        return
    key = f"labels-{entry.fingerprint}"
    st.pills(
        "Labels",
        range(len(labels)),
        format_func=lambda i: plain("=".join(labels[i]), 200),
        key=key,
        on_change=lambda: _narrowed(key, labels),
        label_visibility="collapsed",
    )
    if st.session_state.pop("narrowed", False):
        st.rerun()  # the filter stands outside of what refreshes by itself


def _narrowed(key: str, labels: Sequence[tuple[str, str]]) -> None:
    """Add the chosen label to the filter; words cannot stand beside matchers and make way for it."""
    chosen = st.session_state[key]
    st.session_state[key] = None
    if chosen is None or not detail.handy(dict([labels[chosen]])):
        return
    try:
        before = parse(address.held("q"))
    except MatcherError:
        before = ()
    st.session_state["q"] = written(dict.fromkeys([*before, Matcher(*labels[chosen])]))
    st.session_state["narrowed"] = True


def _badge(word: str, signs: Mapping[str, tuple[str, str]]) -> None:
    colour, icon = signs.get(word, ("gray", ":material/help:"))
    st.badge(plain(word), icon=icon, color=colour)  # type: ignore[arg-type]  # one of Streamlit's colours
