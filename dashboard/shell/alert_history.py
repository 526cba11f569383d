"""What fired before: every episode in the window with its beginning and end, who had it, and a timeline."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import streamlit as st

from collectors.unavailable import Unavailable
from dashboard.alerts.episodes import Episode, History
from dashboard.alerts.past import Past
from dashboard.catalogue.units import SECONDS
from dashboard.figures import episodes as figure
from dashboard.shell import address, charts, states
from dashboard.shell import alert_detail as detail
from dashboard.shell.look import Look
from dashboard.shell.text import clock, visible
from dashboard.store import Acknowledgement

MOST_ROWS = 1000
AFTERWARDS_SECONDS = 60.0  # somebody may take an alert that has just ended
Owners = dict[tuple[str, float], list[str]]  # (fingerprint, since) -> names
AROUND_SECONDS = 600.0  # read before and after a moment: enough to see the evaluations on both sides of it


def then(look: Look) -> None:
    """What was pending or firing at the moment the address names; nothing where it names none."""
    moment = address.at("at")
    if moment is None:
        return
    charts.heading(f"At {clock(moment, look.view.zone)}", "What Prometheus recorded for that moment.")
    past = look.sources.past
    if past is None:
        states.empty("No Prometheus is configured, and it alone remembers what fired.")
        return
    if moment > look.sources.feed.now():
        states.empty("This moment has not come yet.")
        return
    looked = look.sources.episodes.get(
        ("at", moment), lambda: _read(past, moment - AROUND_SECONDS, moment + AROUND_SECONDS)
    )
    if looked.value is None:
        if looked.unavailable is not None:
            states.unavailable(looked.unavailable)
        return
    there = looked.value.at(moment)
    if not there:
        states.empty("No alert was pending or firing at that moment, as far as Prometheus recorded.")
        return
    st.dataframe(
        pd.DataFrame([_as_it_was(episode, moment, look) for episode in there]),
        hide_index=True,
        alt=f"Alerts at {clock(moment, look.view.zone)}",
    )


def _as_it_was(episode: Episode, moment: float, look: Look) -> dict[str, str]:
    fired = episode.fired_at is not None and episode.fired_at <= moment
    return {
        "alert": visible(episode.name),
        "state": "firing" if fired else "pending",
        "severity": visible(episode.labels.get("severity", "")),
        "condition true": clock(episode.since, look.view.zone),
        "by then for": SECONDS.format(float(round(moment - episode.since))),
        "labels": visible(detail.words(episode.labels)),
    }


def history(look: Look) -> None:
    """Episodes in the window, newest first."""
    charts.heading(
        "Before",
        "Read from what Prometheus recorded at each evaluation, so a short episode is not lost between two points of a chart.",
    )
    past = look.sources.past
    if past is None:
        states.empty("No Prometheus is configured, and it alone remembers what fired.")
        return
    window = look.view.window
    start, end = window.bounds(look.sources.feed.now())
    looked = look.sources.episodes.get((window.from_, window.to), lambda: _read(past, start, end))
    if looked.unavailable is not None and looked.value is None:
        states.unavailable(looked.unavailable)
        return
    if looked.unavailable is not None:
        states.stale(looked.unavailable, looked.looked_at, look.now, look.view.zone)
    known = looked.value
    if known is None or not known.episodes:
        states.empty(f"No alert was pending or firing in the {window.label()}.")
        return
    if known.step_seconds is not None:
        st.caption(
            f"In a window this long, episodes shorter than {SECONDS.format(known.step_seconds)} may be missing."
        )
    drawn = figure.draw(
        known.episodes, start, end, zone=look.view.zone, revision=f"{window.from_}|{window.to}"
    )
    charts.show(drawn, key="alert-history", alt=f"{len(known.episodes)} episodes in the {window.label()}")
    owners = owners_of(known.episodes, _taken(look))
    often = Counter(episode.fingerprint for episode in known.episodes)
    st.dataframe(
        pd.DataFrame([_row(episode, often, owners, look) for episode in known.episodes[:MOST_ROWS]]),
        hide_index=True,
        alt="Episodes of alerts, newest first",
    )


def _read(past: Past, start: float, end: float) -> History:
    found = past.between(start, end)
    if found.unavailable is not None:
        raise found.unavailable
    return found


def _taken(look: Look) -> tuple[Acknowledgement, ...]:
    try:
        return look.sources.store.acknowledgements(ended=True)
    except Unavailable:
        return ()


def owners_of(episodes: Sequence[Episode], taken: Iterable[Acknowledgement]) -> Owners:
    """Who had each of these episodes (newest first): an acknowledgement belongs to the newest that had begun by then."""
    found: Owners = {}
    for one in taken:
        for episode in episodes:
            if episode.fingerprint == one.fingerprint and episode.since <= one.at:
                if episode.ended_at is None or one.at <= episode.ended_at + AFTERWARDS_SECONDS:
                    names = found.setdefault((episode.fingerprint, episode.since), [])
                    names += [one.who] if one.who not in names else []
                break
    return found


def _row(episode: Episode, often: Mapping[str, int], owners: Owners, look: Look) -> dict[str, str | int]:
    fired = episode.firing_seconds
    return {
        "alert": visible(episode.name),
        "condition true": clock(episode.since, look.view.zone),
        "fired": "never" if episode.fired_at is None else clock(episode.fired_at, look.view.zone),
        "ended": "goes on" if episode.ended_at is None else clock(episode.ended_at, look.view.zone),
        "fired for": SECONDS.format(float(round(fired))) if fired is not None else "",
        "times in window": often[episode.fingerprint],
        "who had it": visible(", ".join(owners.get((episode.fingerprint, episode.since), ()))),
        "labels": visible(detail.words(episode.labels)),
    }
