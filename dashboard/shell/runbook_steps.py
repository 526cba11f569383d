"""The steps of a runbook on screen: ticked off once for everybody who looks at this episode, with who, when and a note."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from collectors.unavailable import Unavailable
from dashboard.alerts.entry import Entry
from dashboard.alerts.episodes import Episode
from dashboard.people import Refused
from dashboard.runbooks import Runbook, Step
from dashboard.runbooks.ticked import key
from dashboard.shell import person, states
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain
from dashboard.sources import current
from dashboard.store import Tick

PLACE = "runbook"  # of the name and of what went wrong


@dataclass(frozen=True, slots=True)
class Progress:
    """What is ticked off in one occurrence of an alert. `episode` is its key; "": there is none to tick anything off in."""

    episode: str = ""
    ticks: Mapping[str, Tick] = field(default_factory=dict)


def progress(entry: Entry | None, runbook: Runbook, look: Look) -> Progress:
    """What is done in this episode; a store that cannot be read is said and takes no page with it."""
    if entry is None or not runbook.steps:
        return Progress()
    store, past = look.sources.store, look.sources.past
    try:
        ticked = store.ticked(entry.fingerprint)
        recorded: tuple[Episode, ...] = ()
        if past is not None and ticked and entry.episode not in ticked:
            recorded = past.between(min(ticked.values()), look.now).episodes
        episode = key(entry, ticked, recorded)
        return Progress(episode, store.ticks(episode))
    except Unavailable as why:
        states.unavailable(why)
        return Progress()


def head(runbook: Runbook, done: Progress, look: Look) -> None:
    """How many steps are done, and the name and note the next tick is kept with."""
    if not done.episode:
        return
    if person.may_write(look.sources):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            with st.container(width=220):
                person.name(PLACE)
            st.text_input("Note for the next tick", key="tick-note", placeholder="optional", width=420)
    problem = st.session_state.get("runbook-problem", "")  # stays over refreshes, until the next tick
    if problem:
        st.error(plain(problem))
    number = sum(step.id in done.ticks for step in runbook.steps)
    st.caption(f"{number} of {len(runbook.steps)} steps done in this episode")


def show(step: Step, words: str, done: Progress, look: Look) -> None:
    """A step with its tick; without an episode there is nothing to tick it off in."""
    if not done.episode:
        st.markdown(f"- {words}")
        return
    tick = done.ticks.get(step.id)
    place = f"tick-{done.episode}-{step.id}"
    st.session_state[place] = tick is not None
    st.checkbox(
        words,
        key=place,
        disabled=not person.allowed(look.sources),
        on_change=_ticked,
        args=(place, done.episode, step.id),
    )
    if tick is not None:
        note = f": {tick.note}" if tick.note else ""
        st.caption(plain(f"done by {tick.who}, {clock(tick.at, look.view.zone)}{note}"))


def _ticked(place: str, episode: str, step: str) -> None:
    """Keep what was ticked or taken back. Without a name nothing is kept, and the page says so."""
    sources, done = current(), bool(st.session_state[place])
    st.session_state["runbook-problem"] = ""
    try:
        who = person.author(sources, PLACE, "tick" if done else "untick")
        if done:
            sources.store.tick(episode, step, who=who, note=str(st.session_state.get("tick-note") or ""))
            st.session_state["tick-note"] = ""
        else:
            sources.store.untick(episode, step, who=who)
        person.remember(who.name)
    except (Refused, ValueError, Unavailable) as why:
        st.session_state["runbook-problem"] = str(why)
