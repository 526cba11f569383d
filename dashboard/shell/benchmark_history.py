"""How the chosen run's cells went over earlier and later runs of the same question: a figure a cell, and the same as a table."""

import pandas as pd
import streamlit as st

from dashboard.benchmark import history
from dashboard.benchmark.history import Point
from dashboard.benchmark.index import RunSummary
from dashboard.benchmark.runs import NoSuchRun
from dashboard.catalogue.units import SECONDS
from dashboard.figures import benchmark_history as figure
from dashboard.shell import address, states
from dashboard.shell.benchmark import chosen
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import plain

RUNS_AT_LEAST = 2


def trail(look: Look) -> None:
    """Median of one cell from run to run, its verdicts, and where the environment changed."""
    hosts = look.sources.benchmark_hosts
    run_id = chosen(look)
    try:
        summary = hosts.run(run_id).summary if run_id else None
    except NoSuchRun:
        summary = None
    if summary is None or summary.state != "done":
        return
    with st.container(border=True):
        st.markdown(
            f"**{plain(f'History of {summary.target}, {summary.profile}')}**",
            help="Every run that was asked the same question. Each point is the median of a run with its 95 % interval; its "
            "sign is the verdict that the run was given. A dashed line marks a change of driver, power limit, torch or "
            "another part of the environment, across which nothing is compared.",
        )
        cells = _trail(look, summary)
        longest = max((len(points) for points in cells.values()), default=0)
        if longest < RUNS_AT_LEAST:
            states.empty(
                "This is the only finished run of its kind so far. Run it again to see a history here."
            )
            return
        usual = summary.headline if summary.headline in cells else next(iter(cells))
        key = (
            address.select(
                "Cell", {"": usual} | {key: key for key in cells if key != usual}, "cell", width=460
            )
            or usual
        )
        points = cells.get(key) or cells[usual]
        shape = (key, look.view.zone, tuple(point.run_id for point in points))
        show(
            drawn(
                ("benchmark-history", *shape),
                points,
                lambda: figure.draw(points, zone=look.view.zone, revision=f"benchmark-history|{key}"),
            ),
            key="benchmark-history",
            alt=_spoken(key, points),
            name="benchmark-history",
        )
        changes = history.environment_changes(points)
        if changes:
            newest = changes[-1]
            st.caption(
                plain(f"Last change of the environment, with {newest.run_id}: {'; '.join(newest.changed)}.")
            )
        with st.expander("The same as a table"):
            st.dataframe(
                _table(points, look),
                hide_index=True,
                alt=f"History of {key}, newest first",
                column_config={
                    "ended": st.column_config.DatetimeColumn(format="DD MMM YYYY HH:mm:ss"),
                    **{
                        name: st.column_config.NumberColumn(format="%.4g")
                        for name in ("median (ms)", "95 % from (ms)", "95 % to (ms)")
                    },
                },
            )


def _trail(look: Look, summary: RunSummary) -> dict[str, tuple[Point, ...]]:
    """Read once for a set of finished runs: reports never change."""
    hosts = look.sources.benchmark_hosts
    same = tuple(
        run.run_id for run in hosts.runs() if run.state == "done" and run.spec_hash == summary.spec_hash
    )
    return kept(("benchmark-trail", same), (hosts,), lambda: history.trail(hosts, summary))


def _spoken(key: str, points: tuple[Point, ...]) -> str:
    last = points[-1]
    median = "no result" if last.p50 is None else SECONDS.format(last.p50)
    changed = len(history.environment_changes(points))
    return (
        f"{key} over {len(points)} runs. The newest: {median}, {last.verdict or 'not judged'}. "
        f"The environment changed {changed} times."
    )


def _table(points: tuple[Point, ...], look: Look) -> pd.DataFrame:
    newest = points[::-1]
    ended = pd.to_datetime([point.ended_at for point in newest], utc=True)

    def milliseconds(values: list[float | None]) -> list[float | None]:
        return [None if value is None else 1000 * value for value in values]

    return pd.DataFrame(
        {
            "ended": ended.tz_convert(look.view.zone).tz_localize(None),
            "median (ms)": milliseconds([point.p50 for point in newest]),
            "95 % from (ms)": milliseconds([point.low for point in newest]),
            "95 % to (ms)": milliseconds([point.high for point in newest]),
            "status": [point.status for point in newest],
            "verdict": [point.verdict for point in newest],
            "environment changed": ["; ".join(point.changed) for point in newest],
            "commit": [point.revision for point in newest],
            "where": [point.host or "this host" for point in newest],
            "why": [point.why for point in newest],
            "id": [point.run_id for point in newest],
        }
    )
