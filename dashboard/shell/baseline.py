"""The baseline: the run that others are measured against. Pinned by one who may write, it is everybody's."""

from collections.abc import Callable

import streamlit as st

from collectors.unavailable import Unavailable
from dashboard.feed import Run
from dashboard.people import Refused
from dashboard.shell import person
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain
from dashboard.sources import Sources, current
from dashboard.store import Author, Baseline

PLACE = "baseline"
STAR = "★"


def pinned(look: Look) -> Baseline | None:
    """The baseline as everybody sees it; None also while the store cannot be read, which the page says elsewhere."""
    try:
        return look.sources.store.baseline()
    except Unavailable:
        return None


def control(look: Look, offered: list[Run], baseline: Baseline | None) -> None:
    """Who pinned what, and the way to pin another of these runs or none."""
    menu = st.popover(
        "Baseline", key="baseline-menu", icon=":material/keep:", on_change="rerun", help="The run that others are measured against, for everybody"
    )  # fmt: skip
    if not menu.open:
        return
    with menu:
        if baseline is None:
            st.caption(
                "No run is pinned. A pinned run is the baseline of everybody who opens this dashboard."
            )
        else:
            st.caption(
                plain(f"{baseline.run_id}, pinned by {baseline.who} on {clock(baseline.at, look.view.zone)}.")
            )
        _told()
        if not person.may_write(look.sources):
            return
        names = {run.run_id: f"{run.name} · {run.run_id}" for run in offered}
        chosen = st.selectbox(
            "Run", list(names), format_func=lambda run_id: names.get(run_id, run_id), key="baseline-run"
        )
        person.name(PLACE)
        with st.container(horizontal=True):
            st.button(
                "Pin for everybody",
                key="baseline-pin",
                on_click=_pin,
                args=(chosen,),
                disabled=chosen is None,
                type="primary",
            )
            if baseline is not None:
                st.button("Unpin", key="baseline-unpin", on_click=_unpin, args=(baseline.run_id,))


def _told() -> None:
    problem = st.session_state.pop("baseline-problem", "")
    if problem:
        st.error(plain(problem))


def _pin(run_id: str) -> None:
    _kept("pin baseline", lambda sources, who: sources.store.pin(run_id, who=who))


def _unpin(run_id: str) -> None:
    _kept("unpin baseline", lambda sources, who: sources.store.unpin(run_id, who=who))


def _kept(action: str, write: Callable[[Sources, Author], object]) -> None:
    """Do it if whoever asked may; else say why not, at the next look into the menu."""
    sources = current()
    try:
        who = person.author(sources, PLACE, action)
        write(sources, who)
    except (Refused, ValueError, Unavailable) as why:
        st.session_state["baseline-problem"] = str(why)
        return
    person.remember(who.name)
