"""Taking a figure away: its numbers as CSV, and the queries it stands on, with a link that repeats them in Prometheus."""

import json
from collections.abc import Callable, Sequence
from urllib.parse import quote

import pandas as pd
import streamlit as st

from dashboard.feed import Asked
from dashboard.shell.look import Look
from dashboard.shell.text import is_link, plain


def away(key: str, table: Callable[[], pd.DataFrame], asked: Sequence[Asked], look: Look) -> None:
    """A small menu under a figure. Nothing of it is worked out before somebody opens it.

    Args:
        key: the figure's name, also of the file.
        table: the numbers, times in UTC.
        asked: the queries behind them.
        look: the window and the run that stand in the file's name and head.
    """
    menu = st.popover(
        "Data", key=f"data-{key}", type="tertiary", width="content", on_change="rerun", help="CSV and queries"
    )
    if not menu.open:
        return
    with menu:
        st.download_button(
            "Download CSV", lambda: csv(key, table(), look), file_name=f"{key}-{look.run_id or 'all'}.csv", mime="text/csv",
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


def csv(key: str, table: pd.DataFrame, look: Look) -> bytes:
    """A table as CSV with a first line that says what it is; the column names carry the units."""
    head = {
        "figure": key,
        "run": look.run_id or None,
        "from": look.view.window.from_,
        "to": look.view.window.to,
        "times": "UTC",
    }
    return f"# {json.dumps(head)}\n{table.to_csv(index=False)}".encode()


def graph(prometheus_url: str, asked: Sequence[Asked], look: Look) -> str:
    """Where Prometheus's own page draws these queries over the same window; empty where it has no such page."""
    ranges = [query for query in asked if query.step_seconds]
    if not ranges or not is_link(prometheus_url):
        return ""
    start, end = look.view.window.bounds(look.now)
    parts = [
        f"g{i}.expr={quote(query.promql)}&g{i}.tab=0&g{i}.range_input={round(end - start)}s&g{i}.end_input={quote(_moment(end))}"
        for i, query in enumerate(ranges[:8])
    ]
    return f"{prometheus_url.rstrip('/')}/graph?{'&'.join(parts)}"


def _moment(seconds: float) -> str:
    return pd.Timestamp(seconds, unit="s", tz="UTC").strftime("%Y-%m-%d %H:%M:%S")
