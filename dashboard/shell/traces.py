"""Blocks about traces: a list to choose from, one trace as a waterfall and a table, the slowest traced requests.

Without a trace store a trace is its log lines. Names and attributes of spans are outside text.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from collectors.traces import Trace, trace_id_of
from dashboard.catalogue import inference as catalogue
from dashboard.catalogue.units import SECONDS
from dashboard.feed import Traces
from dashboard.figures import waterfall
from dashboard.shell import address, links, logs, states
from dashboard.shell.figure import drawn, show
from dashboard.shell.look import Look
from dashboard.shell.text import clock, is_link, plain, visible
from dashboard.shell.view import View
from dashboard.sources import current

SLOWEST = 10  # links under the latency chart
NAMES = {"": "any", "evolution_step": "evolution_step", "inference": "inference"}
NOT_CONFIGURED = (
    "No trace store is configured. Set MOE_DASHBOARD_TRACE_URL to the query API of Jaeger or Tempo (and "
    "MOE_DASHBOARD_TRACE_STORE=tempo) to see where the time went; until then a trace is its log lines."
)


def filters(_view: View) -> None:
    """The trace, and what the list is narrowed to; the address holds them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.session_state["address-trace"] = address.held("trace")
        st.text_input(
            "Trace", key="address-trace", placeholder="trace id, 32 hex digits", width=340,
            on_change=lambda: address.hold("trace", st.session_state["address-trace"].strip()),
        )  # fmt: skip
        if address.held("trace"):
            st.button("All traces", icon=":material/arrow_back:", on_click=lambda: address.hold("trace", ""))
        elif current().traces is not None:
            address.select("With a span", NAMES, "span", width=180)
            address.text("At least", "at-least", placeholder="milliseconds", width=130)
            address.switch("Failed only", "failed")


def shown(look: Look) -> None:
    """The trace that the address names, else the list."""
    asked = address.held("trace")
    if asked:
        _one(look, asked)
    else:
        _list(look)


def slowest(look: Look) -> None:
    """Links to the slowest requests that carry a trace id: the dots of the latency chart, for hands and screen readers."""
    found = look.sources.feed.exemplars(catalogue.PERCENTILES, look.view.window, instance=look.view.instance)
    if found.unavailable is not None:
        return  # the chart above says why
    if not len(found):
        states.quiet("No request of this window carries a trace id.")
        return
    by_value = sorted(range(len(found)), key=lambda i: -found.values[i])[:SLOWEST]
    with st.expander(f"Slowest traced requests ({len(found) + found.left_out} in this window)"):
        for i in by_value:
            instance = found.labels[i].get("instance", "")
            words = f"{SECONDS.format(float(found.values[i]))} at {clock(float(found.times[i]), look.view.zone)} {instance}"
            links.to("traces", plain(words), icon=":material/account_tree:", trace=found.trace_ids[i])


def _one(look: Look, asked: str) -> None:
    trace_id = trace_id_of(asked)
    if trace_id is None:
        st.warning(plain(f"{asked[:80]} is not a trace id: up to 32 hex digits."))
        return
    traces = look.sources.traces
    if traces is None:
        states.quiet(NOT_CONFIGURED)
        logs.of_trace(look, trace_id)
        return
    looked = traces.trace(trace_id)
    if looked.unavailable is not None:
        states.unavailable(looked.unavailable)
    if looked.value is None:
        logs.of_trace(look, trace_id)
    elif not looked.value.spans:
        states.empty(
            "The trace store does not know this trace: it may not have arrived yet, or be older than what is kept."
        )
        logs.of_trace(look, trace_id)
    else:
        _trace(looked.value, look, traces)


def _trace(trace: Trace, look: Look, traces: Traces) -> None:
    root = trace.root
    ordered = waterfall.rows(trace)
    failed = sum(row.span.status == "error" for row in ordered)
    orphans = sum(row.orphan for row in ordered)
    parts = [
        SECONDS.format(trace.duration_ns / 1e9), clock(trace.start_ns / 1e9, look.view.zone),
        f"{len(ordered)} span{'s' if len(ordered) != 1 else ''}", f"{failed} failed" if failed else "",
        f"{orphans} whose parent the store does not have" if orphans else "",
    ]  # fmt: skip
    with st.container(border=True):
        st.markdown(f"**{plain(root.name if root else trace.trace_id)}**")
        st.caption(plain(" · ".join(filter(None, parts))))
        for warning in trace.warnings:
            st.warning(plain(warning))
        figure = drawn(("waterfall", trace.trace_id), trace, lambda: waterfall.draw(trace, ordered))
        show(
            figure,
            key=f"waterfall-{trace.trace_id}",
            alt=_spoken(trace, ordered),
            name=f"trace-{trace.trace_id}",
        )
    with st.expander("The same as a table"):
        st.dataframe(
            _table(trace, ordered), hide_index=True, alt=f"{len(ordered)} spans, children below their parent"
        )
    with st.container(horizontal=True):
        links.to("logs", "Log lines of this trace", icon=":material/subject:", trace=trace.trace_id)
        if look.sources.settings.trace_store == "jaeger" and is_link(traces.store.url):
            st.link_button(
                "Open in Jaeger", f"{traces.store.url}/trace/{trace.trace_id}", icon=":material/open_in_new:"
            )


def _spoken(trace: Trace, ordered: Sequence[waterfall.Row]) -> str:
    """The figure in words: the longest spans below the root."""
    longest = sorted(ordered, key=lambda row: -row.span.duration_ns)[:6]
    said = "; ".join(f"{row.span.name} {SECONDS.format(row.span.duration_ns / 1e9)}" for row in longest)
    return visible(f"Waterfall of trace {trace.trace_id}, {len(ordered)} spans. Longest: {said}.")


def _table(trace: Trace, ordered: Sequence[waterfall.Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "span": [visible("\u2003" * row.depth + row.span.name) for row in ordered],
            "service": [visible(row.span.service) for row in ordered],
            "start_ms": [(row.span.start_ns - trace.start_ns) / 1e6 for row in ordered],
            "duration_ms": [row.span.duration_ns / 1e6 for row in ordered],
            "status": [visible(f"{row.span.status} {row.span.status_message}".strip()) for row in ordered],
            "attributes": [
                visible(" ".join(f"{name}={value}" for name, value in row.span.attributes.items()))
                for row in ordered
            ],
            "events": [visible(", ".join(event.name for event in row.span.events)) for row in ordered],
        }
    )


def _list(look: Look) -> None:
    traces = look.sources.traces
    if traces is None:
        states.empty(NOT_CONFIGURED)
        return
    at_least = address.held("at-least")
    looked = traces.search(
        look.view.window,
        name=address.held("span") or None,
        at_least_seconds=float(at_least) / 1000 if at_least.isdigit() and len(at_least) < 9 else None,
        failed=address.held("failed") == "1",
    )
    if looked.unavailable is not None and looked.value:
        states.stale(looked.unavailable, looked.looked_at, look.now, look.view.zone)
    elif looked.unavailable is not None:
        states.unavailable(looked.unavailable)
        return
    found = looked.value or ()
    if not found:
        states.empty(
            f"The trace store has no trace of the service {traces.service} in this window that passes. "
            "An observer sends them where OTEL_EXPORTER_OTLP_ENDPOINT is set."
        )
        return
    st.caption(plain(f"{len(found)} traces of {traces.service}, newest first. Choose one to open it."))
    chosen = st.dataframe(
        pd.DataFrame(
            {
                "start": [clock(one.start_ns / 1e9, look.view.zone) for one in found],
                "root span": [visible(one.name or "not seen yet") for one in found],
                "service": [visible(one.service) for one in found],
                "duration_ms": [one.duration_ns / 1e6 for one in found],
                "spans": pd.array([one.spans for one in found], dtype="Int64"),
                "failed": pd.array([one.errors for one in found], dtype="Int64"),
                "trace": [one.trace_id for one in found],
            }
        ),
        hide_index=True,
        key="traces-table",
        on_select="rerun",
        selection_mode="single-row",
        alt=f"{len(found)} traces, newest first",
    )
    for row in chosen["selection"]["rows"]:
        if row < len(found):
            address.hold("trace", found[row].trace_id)
            st.rerun()  # the whole page: its controls stand outside of what refreshes
