"""The steps of a runbook on screen: ticked off once for everybody who looks at this episode, with who, when and a note."""

from collections.abc import Mapping

import streamlit as st

from collectors.unavailable import Unavailable
from dashboard.alerts.entry import Entry
from dashboard.people import Refused
from dashboard.runbooks import Runbook, Step
from dashboard.shell import person, states
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain
from dashboard.sources import current
from dashboard.store import Tick

PLACE = "runbook"  # of the name and of what went wrong


def known(entry: Entry | None, runbook: Runbook, look: Look) -> Mapping[str, Tick]:
    """What is done in this episode, by step; a store that cannot be read is said and takes no page with it."""
    if entry is None or not runbook.steps:
        return {}
    try:
        return look.sources.store.ticks(entry.episode)
    except Unavailable as why:
        states.unavailable(why)
        return {}


def head(entry: Entry | None, runbook: Runbook, ticks: Mapping[str, Tick], look: Look) -> None:
    """How many steps are done, and the name and note the next tick is kept with."""
    if entry is None or not runbook.steps:
        return
    if person.may_write(look.sources):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            with st.container(width=220):
                person.name(PLACE)
            st.text_input("Note for the next tick", key="tick-note", placeholder="optional", width=420)
    problem = st.session_state.pop("runbook-problem", "")
    if problem:
        st.error(plain(problem))
    done = sum(step.id in ticks for step in runbook.steps)
    st.caption(f"{done} of {len(runbook.steps)} steps done in this episode")


def show(step: Step, words: str, entry: Entry | None, ticks: Mapping[str, Tick], look: Look) -> None:
    """A step with its tick; without an episode there is nothing to tick it off in."""
    if entry is None:
        st.markdown(f"- {words}")
        return
    done = ticks.get(step.id)
    key = f"tick-{entry.episode}-{step.id}"
    st.session_state[key] = done is not None
    st.checkbox(
        words,
        key=key,
        disabled=not person.allowed(look.sources),
        on_change=_ticked,
        args=(key, entry.episode, step.id),
    )
    if done is not None:
        note = f": {done.note}" if done.note else ""
        st.caption(plain(f"done by {done.who}, {clock(done.at, look.view.zone)}{note}"))


def _ticked(key: str, episode: str, step: str) -> None:
    """Keep what was ticked or taken back. Without a name nothing is kept, and the page says so."""
    sources, done = current(), bool(st.session_state[key])
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
