"""What the Alerts page is narrowed to, in which order it stands and by what it is grouped; the address alone holds it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.alerts import matchers as expressions
from dashboard.alerts.entry import STATES, AlertList, Entry
from dashboard.alerts.episodes import Episode
from dashboard.alerts.matchers import MatcherError
from dashboard.shell import address
from dashboard.shell.view import View
from dashboard.sources import current

SHOWN_SEVERITIES = ("critical", "warning")
SORTS = {
    "": "what wants attention first",
    "newest": "newest first",
    "oldest": "longest first",
    "name": "by name",
    "value": "highest value first",
}
MOST_LABELS = 30  # offered for grouping; the address may hold any


def controls(view: View) -> None:
    """An expression over labels or plain words, states, one-click filters, order, grouping, and a moment."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        address.text("Filter", "q", placeholder='words, or severity="critical", run_id=~"r.*"', width=340)
        address.select("State", {"": "every state"} | {state: state for state in STATES}, "state", width=160)
        address.select(
            "Severity",
            {"": "every severity"} | {name: name for name in SHOWN_SEVERITIES},
            "severity",
            width=160,
        )
        address.switch("Not silenced", "unsilenced")
        address.switch("Not acknowledged", "unowned")
        # on a telephone the list itself must not stand under a screen of controls
        with st.popover("Order, groups, a moment", icon=":material/tune:"):
            address.select("Order", SORTS, "sort", width=260)
            address.select(
                "Group by", {"": "nothing"} | {name: name for name in _labels()}, "group", width=260
            )
            address.moment(
                "What was there at",
                "at",
                view.zone,
                width=260,
                why="Shows what was pending or firing at that time as well.",
            )


def chosen(known: AlertList) -> tuple[Entry, ...]:
    """The entries the address asks for, in the order it asks for.

    Raises:
        MatcherError: the filter is an expression that cannot be read.
    """
    expression, spoken = _asked()
    state = address.held("state")
    found = known.chosen(
        expression,
        not_silenced=address.held("unsilenced") == "1",
        not_acknowledged=address.held("unowned") == "1",
        states=frozenset({state} if state else ()),
    )
    severity = address.held("severity")
    return ordered(
        [
            entry
            for entry in found
            if (not severity or entry.severity == severity)
            and (
                not spoken
                or _mentions([entry.name, *entry.labels.values(), *entry.annotations.values()], spoken)
            )
        ]
    )


def past(episodes: Sequence[Episode]) -> tuple[Episode, ...]:
    """The episodes that the filter and the severity let pass; all of them where the filter cannot be read."""
    try:
        expression, spoken = _asked()
        wanted = tuple(one for one in expressions.parse(expression) if one.name != "state")
    except MatcherError:
        wanted, spoken = (), []
    severity = address.held("severity")
    return tuple(
        one
        for one in episodes
        if (not severity or one.labels.get("severity") == severity)
        and expressions.matches(wanted, one.labels)
        and (not spoken or _mentions(one.labels.values(), spoken))
    )


def ordered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """As the address asks, with what is grouped together side by side; the list itself comes by attention."""
    never = float("inf")
    sorts: dict[str, Callable[[Entry], Any]] = {
        "newest": lambda entry: -(entry.since or entry.fired_at or 0.0),
        "oldest": lambda entry: entry.since or entry.fired_at or never,
        "name": lambda entry: (entry.name, sorted(entry.labels.items())),
        "value": lambda entry: never if entry.value is None or entry.value != entry.value else -entry.value,
    }
    asked = sorts.get(address.held("sort"))
    found = sorted(entries, key=asked) if asked else list(entries)
    label = address.held("group")
    if label:
        places: dict[str, int] = {}
        for entry in found:
            places.setdefault(value(entry, label), len(places))
        found.sort(key=lambda entry: places[value(entry, label)])
    return tuple(found)


def value(entry: Entry, label: str) -> str:
    """What an alert is grouped under; empty where it has no such label."""
    if label == "state":
        return entry.state
    return entry.labels.get(label, "")


def groups(entries: Sequence[Entry], label: str) -> Mapping[str, Counter[str]]:
    """How many there are of each state under each value, in the order of the entries."""
    found: dict[str, Counter[str]] = {}
    for entry in entries:
        found.setdefault(value(entry, label), Counter())[entry.state] += 1
    return found


def _labels() -> list[str]:
    """Names of labels there are now, the most frequent first, and the state."""
    counted = Counter(name for entry in current().alerts.glance().entries for name in entry.labels)
    return ["state", *(name for name, _ in counted.most_common(MOST_LABELS))]


def _asked() -> tuple[str, list[str]]:
    """The filter as (an expression, words to be mentioned): one of them is empty."""
    text = address.held("q")
    if any(sign in text for sign in "=~{"):
        return text, []
    return "", text.lower().split()


def _mentions(texts: Iterable[str], spoken: Sequence[str]) -> bool:
    everything = " ".join(texts).lower()
    return all(word in everything for word in spoken)
