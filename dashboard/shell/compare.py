"""All runs in a table: those that are chosen, by checkbox or by expression, are laid over each other below it."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.catalogue.units import SECONDS
from dashboard.feed import Run, choosing
from dashboard.shell import address, baseline, charts, overlay, states
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.steady import stands_on
from dashboard.shell.text import plain, visible
from dashboard.store import Baseline

CHOSEN, EXPRESSION, ALL = "runs", "where", "all"  # query parameters
HELP = (
    "Words that must stand in the name, the id, the state or the configuration, and comparisons: state:finished seed=1 "
    "best>0.9 generations>=100 seconds<600 lr!=0.1. All must hold."
)


def _shows(look: Look) -> object:
    """The list alone; runs that are laid over each other are drawn again each time."""
    pinned = baseline.pinned(look)
    if pinned is not None or address.several(CHOSEN) or address.held(ALL):
        return None
    return look.runs.runs, look.now // 60


@stands_on(_shows)
def table(look: Look) -> None:
    """Every run known, newest first; those chosen are compared."""
    known = look.runs.runs
    if not known:
        return
    pinned = baseline.pinned(look)
    with st.container(border=True):
        charts.heading(
            "Runs",
            "Choose some by their checkboxes, or all that match an expression, to see them over each other. The baseline is drawn with them.",
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            expression = address.text(
                "Runs that match",
                EXPRESSION,
                placeholder="state:finished seed=1 best>0.9",
                why=HELP,
                width=340,
            )
            every = address.switch("Compare all that match", ALL)
            terms = choosing.read(expression)
            shown = [run for run in known if choosing.matches(run, terms)]
            baseline.control(look, shown or list(known), pinned)
        mistyped = choosing.unknown(terms, known)
        if mistyped:
            st.caption(plain(f"No run says {' or '.join(mistyped)}."))
        if shown:
            chosen = _listed(shown, every=every, pinned=pinned, look=look)
        else:
            states.empty("No run matches.")
            chosen = address.several(CHOSEN)
        by_id = {run.run_id: run for run in known}
        gone = [run_id for run_id in chosen if run_id not in by_id]
        if gone:
            st.caption(plain(f"Not known in this window: {', '.join(gone)}. Look further back."))
        overlay.block([by_id[run_id] for run_id in chosen if run_id in by_id], by_id, pinned, look)


def _listed(shown: Sequence[Run], *, every: bool, pinned: Baseline | None, look: Look) -> tuple[str, ...]:
    """The table; returns the chosen run ids, also of runs that the expression hides now."""
    ids = tuple(run.run_id for run in shown)
    chosen = ids if every else address.several(CHOSEN)
    # Places in the table change when a run begins; what the address names does not.
    st.session_state["runs-shown"] = ids
    checked = set(chosen)
    st.session_state["runs-table"] = {
        "selection": {"rows": [i for i, run_id in enumerate(ids) if run_id in checked]}
    }
    minute = look.now // 60 * 60
    listed = kept(("runs-table", ids, minute, pinned), (look.runs,), lambda: rows(shown, minute, pinned))
    st.dataframe(
        listed, hide_index=True, on_select=_selected, selection_mode="multi-row", key="runs-table",
        height=min(320, 38 + 35 * len(listed)), alt=f"{len(listed)} runs, newest first",
        column_config={
            "": st.column_config.TextColumn(width=30, help=f"{baseline.STAR} is the baseline"),
            "started": st.column_config.DatetimeColumn("started", format="D MMM HH:mm:ss", timezone=look.view.zone),
            "best fitness": st.column_config.NumberColumn(format="%.4g"),
        },
    )  # fmt: skip
    return chosen


def _selected() -> None:
    """Checkboxes changed: the address names the runs. Those that were chosen keep their order, also where they are not shown."""
    shown = st.session_state.get("runs-shown", ())
    checked = [
        shown[row] for row in sorted(st.session_state["runs-table"]["selection"]["rows"]) if row < len(shown)
    ]
    before = () if address.held(ALL) == "1" else address.several(CHOSEN)
    stay = [run_id for run_id in before if run_id in checked or run_id not in shown]
    address.hold(ALL, "")
    address.hold_several(CHOSEN, list(dict.fromkeys([*stay, *checked])))


def rows(shown: Sequence[Run], now: float, pinned: Baseline | None) -> pd.DataFrame:
    """The table's content, a row a run."""
    began = [run.started_at if run.started_at is not None else float("nan") for run in shown]
    return pd.DataFrame({
        "": [baseline.STAR if pinned is not None and pinned.run_id == run.run_id else "" for run in shown],
        "run": [visible(run.name) for run in shown],
        "state": [run.state for run in shown],
        "age": [_age(run.started_at, now) for run in shown],
        "generations": [run.generations for run in shown],
        "best fitness": [run.best_fitness for run in shown],
        "took": [_took(run) for run in shown],
        "started": pd.to_datetime(pd.Series(began, dtype="float64"), unit="s", utc=True),
        "configuration": [visible(", ".join(f"{key}={value}" for key, value in sorted(run.config.items()))) for run in shown],
        "id": [visible(run.run_id) for run in shown],
    })  # fmt: skip


def _took(run: Run) -> str:
    ended = run.ended_at if run.ended_at is not None else run.last_seen
    if ended is None or run.started_at is None:
        return "–"
    return SECONDS.format(float(round(ended - run.started_at)))


def _age(started_at: float | None, now: float) -> str:
    """How long ago it began, in the largest unit that says it: a table that changes each second is sent each second."""
    if started_at is None:
        return "–"
    seconds = max(0.0, now - started_at)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return "under 1 min"
