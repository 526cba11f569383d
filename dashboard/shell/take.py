"""Taking a figure away: its numbers as CSV, and the queries it stands on, with a link that repeats them in Prometheus."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

import pandas as pd
import streamlit as st

from dashboard.catalogue import BY_NAME
from dashboard.feed import Asked
from dashboard.report.tables import tamed
from dashboard.shell.look import Look
from dashboard.shell.text import is_link, plain

_RANGE = re.compile(r"(?<=\})\[\w+\]$")  # of a selector that stands alone


def away(
    key: str,
    table: Callable[[], pd.DataFrame],
    asked: Sequence[Asked],
    look: Look,
    *,
    runs: Sequence[str] = (),
) -> None:
    """A small menu under a figure. Nothing of it is worked out before somebody opens it.

    Args:
        key: the figure's name, also of the file.
        table: the numbers, times in UTC.
        asked: the queries behind them.
        look: the window and the run that stand in the file's name and head.
        runs: the runs it is about, where that is not the chosen one.
    """
    menu = st.popover(
        "Data", key=f"data-{key}", type="tertiary", width="content", on_change="rerun", help="CSV and queries"
    )
    if not menu.open:
        return
    with menu:
        st.download_button(
            "Download CSV", lambda: csv(key, table(), look, runs), file_name=f"{key}-{runs[0] if len(runs) == 1 else len(runs) or look.run_id or 'all'}.csv", mime="text/csv",
            key=f"csv-{key}", on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        for query in asked:
            st.code(query.promql, language="promql", wrap_lines=True)
            step = f"step {query.step_seconds:g} s · " if query.step_seconds else ""
            st.caption(f"{step}{query.samples:,} samples · {query.seconds * 1000:.0f} ms")
            for warning in query.warnings:
                st.caption(plain(warning))
        link = graph(look.sources.settings.prometheus_url or "", asked, look)
        if link:
            st.link_button("Open in Prometheus", link, icon=":material/open_in_new:")
        if not asked:
            st.caption("These numbers come from the run's own log, not from a query.")


def csv(key: str, table: pd.DataFrame, look: Look, runs: Sequence[str] = ()) -> bytes:
    """A table as CSV with a first line that says what it is and in which units."""
    head = {
        "figure": key,
        "run": list(runs) or look.run_id or None,
        "from": look.view.window.from_,
        "to": look.view.window.to,
        "times": "UTC",
        "units": units(table.columns),
    }
    return f"# {json.dumps(head)}\n{tamed(table).to_csv(index=False)}".encode()


def units(columns: Iterable[str]) -> dict[str, str]:
    """Units of the columns that are metrics; the others have theirs in their names."""
    known = {str(name): BY_NAME.get(str(name).partition("{")[0]) for name in columns}
    return {name: metric.unit.name for name, metric in known.items() if metric is not None}


def graph(prometheus_url: str, asked: Sequence[Asked], look: Look) -> str:
    """Where Prometheus's own page draws these queries over the same window; empty where it has no such page.

    Raw samples were asked for by a selector with a range: that page draws the selector alone. What was asked for one
    moment it shows as a table.
    """
    drawn = dict.fromkeys(_page(query) for query in asked)
    if not drawn or not is_link(prometheus_url):
        return ""
    start, end = look.view.window.bounds(look.now)
    parts = [
        f"g{i}.expr={quote(promql)}&g{i}.tab={tab}&g{i}.range_input={round(end - start)}s&g{i}.end_input={quote(_moment(end))}"
        for i, (promql, tab) in enumerate(list(drawn)[:8])
    ]
    return f"{prometheus_url.rstrip('/')}/graph?{'&'.join(parts)}"


def _page(query: Asked) -> tuple[str, int]:
    """What to ask there, and its tab: 0 draws, 1 is a table."""
    selector = _RANGE.sub("", query.promql)
    return selector, 0 if query.step_seconds or selector != query.promql else 1


def _moment(seconds: float) -> str:
    return pd.Timestamp(seconds, unit="s", tz="UTC").strftime("%Y-%m-%d %H:%M:%S")
