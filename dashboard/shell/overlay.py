"""Chosen runs over each other: best so far of each, the area between two, when each reached a fitness, and what differs."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard.catalogue.units import COUNT, NUMBER, SECONDS
from dashboard.feed import Evolution, Run, Window
from dashboard.figures import overlay as figures
from dashboard.figures.overlay import ALIGNMENTS, Drawing
from dashboard.shell import address, noted, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import plain, visible
from dashboard.store import Baseline
from dashboard.verdict import progress
from dashboard.verdict.progress import Alignment

MOST = 12  # runs over each other; more are a texture
ALIGN, GOAL, AGAINST, AREA = "align", "goal", "against", "area"  # query parameters
NONE = "none"


def block(chosen: Sequence[Run], known: Mapping[str, Run], pinned: Baseline | None, look: Look) -> None:
    """The chosen runs with the baseline; where none is chosen, the run of this page against it."""
    runs = list(chosen)
    first = known.get(pinned.run_id) if pinned is not None else None
    if pinned is not None and first is None:
        st.caption(plain(f"The baseline {pinned.run_id} is not known in this window. Look further back."))
    if not runs and first is not None and look.run is not None and look.run.run_id != first.run_id:
        runs = [look.run]
    if not runs:
        return
    if len(runs) > MOST:
        st.caption(f"The first {MOST} of {len(runs)} chosen runs are drawn.")
        runs = runs[:MOST]
    if first is not None:
        runs = [first, *(run for run in runs if run.run_id != first.run_id)]
    _over_each_other(runs, first, look)


def differences(runs: Sequence[Run]) -> pd.DataFrame:
    """What the configurations differ in: a row a key, a column a run; "–" where a run does not say it."""
    keys = sorted({key for run in runs for key in run.config})
    rows = {visible(key): [visible(run.config.get(key, "–")) for run in runs] for key in keys}
    return pd.DataFrame(
        {key: values for key, values in rows.items() if len(set(values)) > 1}, index=legends(runs)
    ).T.rename_axis("setting")


def legends(runs: Sequence[Run]) -> list[str]:
    """Names of runs that tell them apart."""
    names = [run.name for run in runs]
    short = [run.name if names.count(run.name) == 1 else f"{run.name} {run.run_id[-11:]}" for run in runs]
    return [
        visible(name if short.count(name) == 1 else run.run_id) for name, run in zip(short, runs, strict=True)
    ]


def _over_each_other(runs: Sequence[Run], first: Run | None, look: Look) -> None:
    found = [look.sources.feed.whole(run, look.view.window) for run in runs]
    names = dict(zip((run.run_id for run in runs), legends(runs), strict=True))
    told = {run.run_id: one for run, one in zip(runs, found, strict=True) if not one.frame.empty}
    for one in found:
        for why in one.unavailable:
            st.caption(plain(why.reason))
    if not told:
        states.empty("None of the chosen runs has points in this window.")
        return
    frames = {names[run_id]: one.frame for run_id, one in told.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        alignment = _alignment(look)
        against, other = _pair([run for run in runs if run.run_id in told], names, first)
        goal = _goal(frames)
    area = (names[against], names[other]) if against and other else None
    options = Drawing(
        alignment, look.view.zone, look.view.log, area, goal, names[first.run_id] if first else ""
    )
    lived = _lived(list(told.values()))
    happened = {names[run_id]: noted.marks(look.sources, lived, run_id, look.now) for run_id in told}
    everything = kept(("runs",), tuple(one.frame for one in told.values()), lambda: tuple(frames.values()))
    revision = ",".join(told)
    figure = drawn(
        ("overlay", options, revision, tuple(happened.items())),
        everything,
        lambda: figures.draw(frames, options, noted=happened, revision=revision),
    )
    said = _between(frames, area, alignment)
    show(figure, key="overlay", alt=f"Best fitness so far of {', '.join(frames)}. {said}", name="runs")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(plain(said), width="stretch")
        take.away(
            "runs", lambda: _long(told, names), [asked for one in told.values() for asked in one.asked], look, runs=list(told)
        )  # fmt: skip
    numbers = measured(
        {names[run.run_id]: run for run in runs if run.run_id in told},
        frames,
        goal,
        alignment,
        names.get(against, ""),
    )
    st.dataframe(
        numbers,
        hide_index=True,
        alt=f"When each run reached fitness {NUMBER.format(goal)}, and how far it is from {names.get(against, 'others')}",
    )
    _settings(runs)


def _alignment(look: Look) -> Alignment:
    """Where the curves begin together: as the page's axis says, unless the viewer chose otherwise."""
    held = address.held(ALIGN)
    alignment: Alignment = held if held in ALIGNMENTS else look.view.axis
    st.session_state["align-picker"] = alignment
    st.segmented_control(
        "Aligned at", list(ALIGNMENTS), required=True, format_func=lambda name: ALIGNMENTS[name], key="align-picker",
        on_change=lambda: address.hold(ALIGN, st.session_state["align-picker"]),
    )  # fmt: skip
    return alignment


def _pair(runs: Sequence[Run], names: Mapping[str, str], first: Run | None) -> tuple[str, str]:
    """Run ids of the one that others are measured against, and of the one with the area between; "" is none."""
    if len(runs) < 2:
        return "", ""
    ids = [run.run_id for run in runs]
    held = address.held(AGAINST)
    against = held if held in ids else first.run_id if first is not None and first.run_id in ids else ids[0]
    others = [run_id for run_id in ids if run_id != against]
    wanted = address.held(AREA)
    other = wanted if wanted in {*others, NONE} else others[0]
    st.session_state["against-picker"], st.session_state["area-picker"] = against, other
    st.selectbox(
        "Measured against", ids, format_func=lambda run_id: names.get(run_id, run_id), key="against-picker", width=190,
        on_change=lambda: address.hold(AGAINST, st.session_state["against-picker"]),
    )  # fmt: skip
    st.selectbox(
        "Area to", [*others, NONE], format_func=lambda run_id: names.get(run_id, run_id), key="area-picker", width=190,
        on_change=lambda: address.hold(AREA, st.session_state["area-picker"]),
    )  # fmt: skip
    return against, "" if other == NONE else other


def _goal(frames: Mapping[str, pd.DataFrame]) -> float | None:
    """The fitness whose time is asked for: what is typed, else the best that every run has reached."""
    bests = [
        float(best.max())
        for frame in frames.values()
        if (best := pd.Series(progress.best_so_far(frame))).notna().any()
    ]
    if not bests:
        return None
    common = _rounded_down(min(bests))
    typed = st.number_input(
        "Fitness to reach", value=None, placeholder=NUMBER.format(common), format="%g", key=GOAL, bind="query-params", width=150,
        help="How soon each run had this fitness or a better one. Empty: the best that all of them have reached.",
    )  # fmt: skip
    return common if typed is None else float(typed)


def _rounded_down(value: float) -> float:
    """To four digits, and never above it: the run that has just reached it has reached it."""
    near = float(f"{value:.4g}")
    return near if near <= value else value - (near - value)


def measured(
    runs: Mapping[str, Run],
    frames: Mapping[str, pd.DataFrame],
    goal: float | None,
    alignment: Alignment,
    against: str,
) -> pd.DataFrame:
    """A row a run: how good it is, how far from the one it is measured against, and when it reached the goal."""
    rows = []
    for name, run in runs.items():
        frame = frames[name]
        best = pd.Series(progress.best_so_far(frame)).max()
        row: dict[str, object] = {"run": name, "best": NUMBER.format(float(best))}
        if against:
            apart = progress.between(frame, frames[against], alignment) if name != against else None
            row[f"mean difference to {against}"] = "–" if apart is None else f"{apart.mean:+.4g}"
            row["difference at the end"] = "–" if apart is None else f"{apart.final:+.4g}"
        if goal is not None:
            row |= _reached(progress.reached(frame, goal), goal, run)
        rows.append(row)
    return pd.DataFrame(rows)


def _reached(there: progress.Reached | None, goal: float, run: Run) -> dict[str, str]:
    column = f"reached {NUMBER.format(goal)} at"
    if there is None:
        words = "not reached yet" if run.active or run.state == "paused" else "never reached"
        return {column: words, "after": words, "evaluations": words}
    generation = "–" if there.generation is None else f"generation {there.generation:.0f}"
    return {
        column: f"{generation} or before" if there.at_first else generation,
        "after": "–" if there.seconds is None else SECONDS.format(there.seconds),
        "evaluations": "not told" if there.evaluations is None else COUNT.format(there.evaluations),
    }


def _between(frames: Mapping[str, pd.DataFrame], area: tuple[str, str] | None, alignment: Alignment) -> str:
    """The area in words."""
    if area is None:
        return ""
    against, other = area
    apart = progress.between(frames[other], frames[against], alignment)
    if apart is None:
        return f"{other} and {against} share no stretch of this axis."
    side = "above" if apart.mean > 0 else "below"
    how = f"{NUMBER.format(abs(apart.mean))} {side}" if apart.mean else "level with"
    return (
        f"Over the {_stretch(apart, alignment)} both have, {other} is on average {how} {against}; "
        f"{apart.final:+.4g} at the end."
    )


def _stretch(apart: progress.Between, alignment: Alignment) -> str:
    start, end = float(apart.edges[0]), float(apart.edges[-1])
    if alignment == "generation":
        return f"generations {start:.0f} to {end - 1:.0f} that"
    if alignment == "evaluations":
        return f"evaluations {start:,.0f} to {end:,.0f} that"
    return f"{SECONDS.format(end - start)} that"


def _lived(told: Sequence[Evolution]) -> Window:
    """From the first point of any run to the last, or to now where one goes on."""
    start = min(float(one.frame["time"].iloc[0]) for one in told)
    end = max(float(one.frame["time"].iloc[-1]) for one in told)
    goes_on = any(one.run is not None and one.run.active for one in told)
    return Window(f"{start * 1000:.0f}", "now" if goes_on else f"{end * 1000 + 1:.0f}")


def _settings(runs: Sequence[Run]) -> None:
    unlike = differences(runs)
    if unlike.empty:
        st.caption("Their configurations do not differ." if len(runs) > 1 else "")
    else:
        st.dataframe(unlike, alt="What the configurations of the chosen runs differ in")


def _long(told: Mapping[str, Evolution], names: Mapping[str, str]) -> pd.DataFrame:
    pieces = [
        one.frame[["generation", "elapsed_seconds"]].assign(
            run=names[run_id],
            run_id=run_id,
            time_utc=pd.to_datetime(one.frame["time"], unit="s", utc=True),
            evaluations=progress.evaluations(one.frame),
            best_so_far=progress.best_so_far(one.frame),
        )
        for run_id, one in told.items()
    ]
    return pd.concat(pieces, ignore_index=True)
