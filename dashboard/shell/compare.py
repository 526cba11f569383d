"""All runs in a table; those that are chosen, over each other and with what their configurations differ in."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.catalogue.units import NUMBER, SECONDS
from dashboard.feed import Run
from dashboard.figures import overlay
from dashboard.shell import charts, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import plain

MOST = 12  # runs over each other; more are a texture


def table(look: Look) -> None:
    """Every run known, newest first; choose some to compare them."""
    known = look.runs.runs
    if len(known) < 2:
        return
    with st.container(border=True):
        charts.heading(
            "Runs",
            "Choose some by their checkboxes to see them over each other, and what their configurations differ in.",
        )
        sought = st.text_input(
            "Filter runs", key="runs-filter", placeholder="state:finished seed=1 digits",
            help="Words that must stand in the name, the id, the state or the configuration (key=value). All must match.",
        )  # fmt: skip
        shown = [run for run in known if matches(run, sought)]
        if not shown:
            states.empty("No run matches.")
            return
        rows = pd.DataFrame([_row(run) for run in shown])
        chosen = st.dataframe(
            rows, hide_index=True, on_select="rerun", selection_mode="multi-row", key="runs-table",
            height=min(320, 38 + 35 * len(rows)), alt=f"{len(rows)} runs",
            column_config={
                "started": st.column_config.DatetimeColumn("started", format="D MMM HH:mm:ss", timezone=look.view.zone),
                "best fitness": st.column_config.NumberColumn(format="%.4g"),
            },
        )  # fmt: skip
        picked = [shown[i] for i in chosen["selection"]["rows"] if i < len(shown)]
        if len(picked) > MOST:
            st.caption(f"The first {MOST} of {len(picked)} chosen runs are drawn.")
        if picked:
            _over_each_other(picked[:MOST], look)


def matches(run: Run, sought: str) -> bool:
    """Whether every word of a filter stands somewhere in the run; `key=value` and `state:…` must match whole."""
    pairs = {f"{key}={value}".lower() for key, value in run.config.items()} | {f"state:{run.state}"}
    text = " ".join([run.run_id, run.name, run.state, *pairs]).lower()
    return all(
        (word in pairs) if ("=" in word or word.startswith("state:")) else word in text
        for word in sought.lower().split()
    )


def differences(runs: Sequence[Run]) -> pd.DataFrame:
    """What the configurations differ in: a row a key, a column a run; "–" where a run does not say it."""
    keys = sorted({key for run in runs for key in run.config})
    rows = {key: [str(run.config.get(key, "–")) for run in runs] for key in keys}
    return pd.DataFrame(
        {key: values for key, values in rows.items() if len(set(values)) > 1}, index=legends(runs)
    ).T.rename_axis("setting")


def legends(runs: Sequence[Run]) -> list[str]:
    """Names of runs that tell them apart."""
    names = [run.name for run in runs]
    return [run.name if names.count(run.name) == 1 else f"{run.name} {run.run_id[-11:]}" for run in runs]


def _row(run: Run) -> dict[str, object]:
    ended = run.ended_at if run.ended_at is not None else run.last_seen
    took = ended - run.started_at if ended is not None and run.started_at is not None else None
    return {
        "run": run.name,
        "state": run.state,
        "generations": run.generations,
        "best fitness": run.best_fitness,
        "started": pd.to_datetime(run.started_at, unit="s", utc=True)
        if run.started_at is not None
        else pd.NaT,
        "took": SECONDS.format(float(round(took))) if took is not None else "–",
        "configuration": ", ".join(f"{key}={value}" for key, value in sorted(run.config.items())),
        "id": run.run_id,
    }


def _over_each_other(runs: Sequence[Run], look: Look) -> None:
    found = [look.sources.feed.evolution(run.run_id, look.view.window) for run in runs]
    names = legends(runs)
    frames = {name: one.frame for name, one in zip(names, found, strict=True) if not one.frame.empty}
    if not frames:
        states.empty("None of the chosen runs has points in this window.")
        return
    options = look.view.options
    everything = kept(("runs",), tuple(one.frame for one in found), lambda: tuple(frames.values()))
    revision = ",".join(run.run_id for run in runs)
    figure = drawn(
        ("overlay", options, revision), everything, lambda: overlay.draw(frames, options, revision=revision)
    )
    show(figure, key="overlay", alt=f"Best fitness so far of {', '.join(frames)}", name="runs")
    take.away("runs", lambda: _long(frames), [asked for one in found for asked in one.asked], look)
    _goal(frames)
    unlike = differences(runs)
    if unlike.empty:
        st.caption("Their configurations do not differ." if len(runs) > 1 else "")
    else:
        st.dataframe(unlike, alt="What the configurations of the chosen runs differ in")


def _goal(frames: dict[str, pd.DataFrame]) -> None:
    """Generations and time to a fitness all can be asked for."""
    least = min(
        (
            float(best.max())
            for frame in frames.values()
            if (best := pd.Series(overlay.best_so_far(frame))).notna().any()
        ),
        default=None,
    )
    if least is None:
        return
    goal = st.number_input(
        "Fitness to reach", value=round(0.95 * least, 4), format="%.4g", key=f"goal-{','.join(frames)}", width=200,
        help="How soon each run had this fitness or a better one.",
    )  # fmt: skip
    said = []
    for name, frame in frames.items():
        there = overlay.reached(frame, goal)
        said.append(
            f"{name}: generation {there[0]:.0f}, after {SECONDS.format(there[1])}"
            if there
            else f"{name}: never"
        )
    st.caption(plain(f"Fitness {NUMBER.format(goal)}. " + "; ".join(said) + "."))


def _long(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    pieces = [
        frame[["generation", "elapsed_seconds"]].assign(
            run=name,
            time_utc=pd.to_datetime(frame["time"], unit="s", utc=True),
            best_so_far=overlay.best_so_far(frame),
        )
        for name, frame in frames.items()
    ]
    return pd.concat(pieces, ignore_index=True)
