"""Runs on screen: which one is looked at, how it stands, and which others there are."""

import math
from typing import Literal

import streamlit as st

from dashboard.catalogue.units import COUNT, NUMBER, SECONDS
from dashboard.feed import Run
from dashboard.shell import links, states, view
from dashboard.shell.look import Look
from dashboard.shell.steady import stands_on
from dashboard.shell.text import ago, clock, plain
from dashboard.sources import current
from dashboard.verdict import progress
from dashboard.verdict.evolution import Word

Colour = Literal["red", "orange", "green", "blue", "gray"]
# State -> (colour, icon) of Streamlit; the word always stands beside them.
SIGNS: dict[str, tuple[Colour, str]] = {
    "running": ("green", ":material/play_circle:"),
    "paused": ("orange", ":material/pause_circle:"),
    "finished": ("blue", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "unknown": ("gray", ":material/help:"),
}
VERDICTS: dict[Word, tuple[Colour, str]] = {
    "improving": ("green", ":material/trending_up:"),
    "converged": ("blue", ":material/trending_flat:"),
    "stagnated": ("orange", ":material/trending_flat:"),
    "collapsed": ("red", ":material/compress:"),
    "diverged": ("red", ":material/call_split:"),
    "stuck": ("red", ":material/hourglass_disabled:"),
    "restarted": ("blue", ":material/restart_alt:"),
    "finished": ("blue", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "unknown": ("gray", ":material/help:"),
}
CARDS = 6
MARGIN_SECONDS = 60.0  # around a whole run


def picker(chosen: view.View) -> None:
    """Which run: the one that evolves now unless the viewer chose another."""
    known = current().feed.runs(chosen.window).runs
    st.session_state["runs-in-picker"] = _signature(known)
    names = {"": "Newest run"} | {run.run_id: _named(run) for run in known}
    if chosen.run and chosen.run not in names:
        names[chosen.run] = f"{chosen.run} (not seen in this window)"
    st.session_state["run-picker"] = chosen.run or ""
    st.selectbox(
        "Run", list(names), format_func=lambda name: names.get(name, name), key="run-picker", width=290,
        on_change=lambda: view.choose(run=st.session_state["run-picker"] or None),
    )  # fmt: skip


def keep_picker_fresh(look: Look) -> None:
    """Draw the whole page again when a run appeared or changed its state: the picker stands outside what refreshes."""
    if st.session_state.get("runs-in-picker") != _signature(look.runs.runs):
        st.rerun()


def _standing(look: Look) -> object:
    """What the line about the chosen run says."""
    run, judged = look.run, look.verdict
    if run is None or judged is None:
        return None
    return (
        run.run_id, run.state, run.reason, run.name, _facts(run, look), _cut_off(run, look), judged.word, judged.sentence, judged.runbook,
    )  # fmt: skip


@stands_on(_standing)
def state(look: Look) -> None:
    """One line about the chosen run: state and why, generation, pace, best, age."""
    run = look.run
    if run is None:
        for why in look.runs.unavailable:
            states.unavailable(why)
        if look.view.run:
            states.empty(
                f"The run {look.view.run} is not known in this window. Look further back, or choose another."
            )
        elif not look.runs.unavailable:
            states.empty(
                "No run is known in this window. Look further back, or start one with dashboard.observer."
            )
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        badge(run)
        st.markdown(f"**{plain(run.name)}**", width="content")
        st.caption(plain(" · ".join(_facts(run, look))), width="content")
        _whole(run, look)
    verdict(look)


def _whole(run: Run, look: Look) -> None:
    """A run that began before the window: the way to all of it."""
    began, over = run.started_at, _over(run)
    if began is None or not _cut_off(run, look):
        return
    if st.button(
        "Whole run",
        key="whole-run",
        icon=":material/fit_width:",
        type="tertiary",
        help="Look at all of this run, from its start.",
    ):
        last = "now" if over is None else f"{(over + MARGIN_SECONDS) * 1000:.0f}"
        view.choose(from_=f"{(began - MARGIN_SECONDS) * 1000:.0f}", to=last)
        st.rerun()


def _cut_off(run: Run, look: Look) -> bool:
    """Whether the window shows only a part of it, and its log has the rest."""
    start, end = look.view.window.bounds(look.now)
    began, over = run.started_at, _over(run)
    if began is None or "log" not in run.sources:
        return False
    return began < start or (over is not None and over > end + MARGIN_SECONDS)


def _over(run: Run) -> float | None:
    """When it ended, as far as anybody knows; None while it evolves."""
    return None if run.active else (run.ended_at if run.ended_at is not None else run.last_seen)


def verdict(look: Look) -> None:
    """How the chosen run is doing, in a word and with what it stands on."""
    judged = look.verdict
    if judged is None:
        return
    colour, icon = VERDICTS[judged.word]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(judged.word, icon=icon, color=colour)
        st.markdown(plain(judged.sentence), width="stretch")
        if judged.runbook:
            links.to("runbooks", "What helps", icon=":material/menu_book:", alert=judged.runbook)


def cards(look: Look) -> None:
    """The newest runs, each with its state, generation, best fitness and age."""
    st.subheader("Runs", anchor=False)
    known = look.runs.runs
    if not known:
        for why in look.runs.unavailable:
            states.unavailable(why)
        if not look.runs.unavailable:
            states.empty(
                "No run is known in this window. Look further back, or start one with dashboard.observer."
            )
        return
    shown = sorted(known, key=lambda run: not run.active)[:CARDS]
    for first in range(0, len(shown), 3):
        for column, run in zip(st.columns(3), shown[first : first + 3], strict=False):
            with column:
                _card(run, look)
    if len(known) > CARDS:
        st.caption(f"{len(known) - CARDS} older runs are listed on the Evolution page.")


def badge(run: Run) -> None:
    """The state as a coloured word with an icon."""
    colour, icon = SIGNS[run.state]
    st.badge(run.state, icon=icon, color=colour, help=plain(run.reason))


def _card(run: Run, look: Look) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            badge(run)
            st.markdown(f"**{plain(run.name)}**", width="stretch")
        with st.container(horizontal=True):
            st.metric("Generation", COUNT.format(_number(run.generations)), width="content")
            st.metric("Best fitness", NUMBER.format(run.best_fitness), width="content")
        started = f"started {clock(run.started_at, look.view.zone)}, " if run.started_at else ""
        st.caption(plain(f"{started}seen {ago(run.last_seen, look.now)}. {run.reason}"))
        with st.container(horizontal=True):
            links.to("evolution", "Evolution", run=run.run_id)
            links.to("experts", "Experts", run=run.run_id)
            links.to("logs", "Logs", run=run.run_id)


def _facts(run: Run, look: Look) -> list[str]:
    facts = []
    if run.generations is not None:
        facts.append(f"generation {run.generations:,}")
    if run.best_fitness is not None:
        facts.append(f"best {NUMBER.format(run.best_fitness)}")
    pace = seconds_a_generation(look)
    if pace is not None:
        facts.append(f"{SECONDS.format(pace)} a generation")
        remaining = left(run)
        if run.active and remaining:
            facts.append(f"about {SECONDS.format(remaining * pace)} left of {_planned(run):,} generations")
    if run.started_at is not None:
        ended = run.ended_at if not run.active else None
        facts.append(f"started {clock(run.started_at, look.view.zone)}, {ago(run.started_at, look.now)}")
        if ended is not None:
            facts.append(f"took {SECONDS.format(float(round(ended - run.started_at)))}")
    elif run.last_seen is not None:
        facts.append(f"last seen {ago(run.last_seen, look.now)}")
    return facts


def seconds_a_generation(look: Look) -> float | None:
    """Median wall time of the last twenty generations."""
    return progress.seconds_a_generation(look.evolution.frame) if look.evolution else None


def _planned(run: Run) -> int | None:
    text = run.config.get("generations", "")
    return int(text) if text.isdigit() and int(text) > 0 else None


def left(run: Run) -> int | None:
    """Generations until the planned number; None where none is planned."""
    planned = _planned(run)
    return max(0, planned - run.generations) if planned and run.generations is not None else None


def _number(value: int | None) -> float:
    return math.nan if value is None else float(value)


def _named(run: Run) -> str:
    return (
        f"{run.name} · {run.state} · {run.run_id}"
        if run.name != run.run_id
        else f"{run.run_id} · {run.state}"
    )


def _signature(known: tuple[Run, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((run.run_id, run.state) for run in known)
