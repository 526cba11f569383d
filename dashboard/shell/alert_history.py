"""What fired before: every episode in the window with what became of it, who had it and what was said, and a timeline."""

import pandas as pd
import streamlit as st

from dashboard.alerts import reached
from dashboard.alerts.episodes import Episode, History
from dashboard.alerts.past import Past
from dashboard.alerts.reached import Reaches
from dashboard.catalogue.units import SECONDS
from dashboard.figures import episodes as figure
from dashboard.shell import address, alert_filter, charts, states, take
from dashboard.shell import alert_detail as detail
from dashboard.shell import alert_table as tables
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain, short

A_PAGE = 50
AROUND_SECONDS = 600.0  # read before and after a moment: enough to see the evaluations on both sides of it
NO_PROMETHEUS = "No Prometheus is configured, and it alone remembers what fired."


def then(look: Look) -> None:
    """What was pending or firing at the moment the address names; nothing where it names none."""
    moment = address.at("at")
    if moment is None:
        return
    charts.heading(f"At {clock(moment, look.view.zone)}", "What Prometheus recorded for that moment.")
    past = look.sources.past
    if past is None:
        states.empty(NO_PROMETHEUS)
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
        "alert": short(episode.name),
        "state": "firing" if fired else "pending",
        "severity": short(episode.labels.get("severity", "")),
        "condition true": clock(episode.since, look.view.zone),
        "by then for": SECONDS.format(float(round(moment - episode.since))),
        "labels": short(detail.words(episode.labels)),
    }


def history(look: Look) -> None:
    """Episodes in the window, newest first, of the alerts that the filter lets pass."""
    charts.heading(
        "Before",
        "Read from what Prometheus recorded at each evaluation, so a short episode is not lost between two points of a chart.",
    )
    past = look.sources.past
    if past is None:
        states.empty(NO_PROMETHEUS)
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
    episodes = alert_filter.past(known.episodes)
    if not episodes:
        states.empty(f"None of the {len(known.episodes)} episodes in the {window.label()} passes the filter.")
        return
    if known.step_seconds is not None:
        st.caption(
            f"In a window this long, episodes shorter than {SECONDS.format(known.step_seconds)} may be missing."
        )
    drawn = figure.draw(episodes, start, end, zone=look.view.zone, revision=f"{window.from_}|{window.to}")
    charts.show(drawn, key="alert-history", alt=f"{len(episodes)} episodes in the {window.label()}")
    _table(episodes, known, look)


def _table(episodes: tuple[Episode, ...], known: History, look: Look) -> None:
    said = tables.said(look.sources, episodes)
    pages = -(-len(episodes) // A_PAGE)
    page = address.page("before", pages)
    shown = episodes[(page - 1) * A_PAGE : page * A_PAGE]
    looked = look.sources.reached.get(
        tuple((reached.key(one), one.ended_at) for one in shown), lambda: _reached(look, shown, known)
    )
    reaches = looked.value or Reaches({}, looked.unavailable)
    st.dataframe(
        pd.DataFrame([tables.row(one, said, reaches, look) for one in shown]),
        hide_index=True,
        column_config={name: st.column_config.TextColumn(help=why) for name, why in tables.WHY.items()},
        alt="Episodes of alerts, newest first",
    )
    if reaches.unavailable is not None:
        st.caption(plain(f"Worst values and generations are not known: {reaches.unavailable}"))
    with st.container(horizontal=True, vertical_alignment="center"):
        address.pages("before", pages, "Pages of episodes")
        st.caption(f"{len(episodes):,} episodes", width="stretch")
        st.download_button(
            "Download CSV",
            lambda: take.csv(
                "alert-episodes", tables.whole(episodes, said, _reached(look, episodes, known)), look
            ),
            file_name="alert-episodes.csv",
            mime="text/csv",
            key="csv-alert-episodes",
            on_click="ignore",
            icon=":material/download:",
            type="tertiary",
        )


def _reached(look: Look, episodes: tuple[Episode, ...], known: History) -> Reaches:
    prometheus = look.sources.prometheus
    if prometheus is None:
        return Reaches({})
    return reached.read(prometheus, episodes, look.alerts.rules, known, look.sources.feed.now())


def _read(past: Past, start: float, end: float) -> History:
    found = past.between(start, end)
    if found.unavailable is not None:
        raise found.unavailable
    return found
