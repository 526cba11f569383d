"""Blocks of the Inference page: what a request takes now, between which bounds that lies, and per instance.

A percentile from a histogram is only known to lie inside one bucket; the bucket is shown beside it.
Knows the catalogue's PromQL and the feed; computes no percentile of its own.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

import streamlit as st

from dashboard.catalogue import inference as catalogue
from dashboard.catalogue.spec import Panel, Series
from dashboard.catalogue.units import RATIO, SAMPLES_PER_SECOND, SECONDS
from dashboard.feed import Answer, Reading
from dashboard.figures import buckets as figures
from dashboard.shell import charts, states
from dashboard.shell.figure import drawn
from dashboard.shell.look import Look
from dashboard.shell.text import plain

QUANTILES = (0.50, 0.95, 0.99)
INSTANCES = f"count by (instance) ({catalogue.LATENCY}_count)"
BUCKETS = f'sum by (le) (rate({catalogue.LATENCY}_bucket{{instance=~"$instance"}}[$rate]))'
SPREAD = Panel(
    key="latency-buckets",
    title="Latency by bucket",
    why="The share of requests in each bucket of the histogram. A second band is a second kind of request; percentiles hide it.",
    unit=SECONDS,
    series=(Series("{le}", BUCKETS),),
    empty="No requests in this window.",
)
BURN_WINDOWS = ("5m", "1h", "6h", "3d")

BY_INSTANCE = replace(
    catalogue.PERCENTILES,
    key="latency-p95-by-instance",
    title="p95 latency by instance",
    why="One instance above the others is that machine; all of them together is the model or the load.",
    series=(Series("{instance}", catalogue.latency_quantile(0.95, by="instance")),),
)


def bracket(q: float, buckets: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    """The bounds of the bucket in which the q-quantile lies.

    Args:
        q: 0 to 1.
        buckets: (upper bound `le`, cumulative count or rate), in any order; the last bound is +Inf.

    Returns:
        (lower, upper) in the unit of the bounds; upper is inf above the last finite bucket; None without observations.
    """
    known = sorted((le, count) for le, count in buckets if not math.isnan(count))
    if not known or known[-1][1] <= 0:
        return None
    rank = q * known[-1][1]
    lower = 0.0
    for le, count in known:
        if count >= rank and count > 0:
            return lower, le
        lower = le
    return lower, math.inf


def said(bounds: tuple[float, float] | None) -> str:
    """The bracket in words: "between 50 ms and 100 ms"."""
    if bounds is None:
        return "no requests"
    lower, upper = bounds
    if math.isinf(upper):
        return f"above the last bucket, {SECONDS.format(lower)}"
    if lower <= 0:
        return f"at most {SECONDS.format(upper)}"
    return f"between {SECONDS.format(lower)} and {SECONDS.format(upper)}"


def buckets_of(reading: Reading) -> list[tuple[float, float]]:
    """(le, rate) pairs of a reading grouped by `le`; bounds are compared as numbers ("1" and "1.0" are one)."""
    return [(float(sample.labels["le"]), sample.value) for sample in reading.samples if "le" in sample.labels]


def now(look: Look) -> None:
    """The numbers of this moment: percentiles with their bracket, share within the objective, throughput, burn rate."""
    instance = look.view.instance
    ask = look.sources.feed.instant
    counted = ask(BUCKETS, instance=instance)
    if counted.unavailable is not None and not counted.samples:
        states.unavailable(counted.unavailable)
        return
    buckets = buckets_of(counted)
    if bracket(0.5, buckets) is None:
        states.empty("No requests in the last few scrapes." if buckets else "No requests in this window.")
        return
    columns = st.columns(len(QUANTILES) + 2)
    for q, column in zip(QUANTILES, columns, strict=False):
        value = _value(ask(catalogue.latency_quantile(q), instance=instance))
        bounds = bracket(q, buckets)
        above = bounds is not None and math.isinf(bounds[1])
        with column.container(border=True):
            st.metric(f"p{round(100 * q)}", "above " + SECONDS.format(bounds[0]) if above and bounds else SECONDS.format(value),
                      help="Interpolated inside one bucket of the histogram; the line below says which.")  # fmt: skip
            st.caption(plain(said(bounds)))
    with columns[-2].container(border=True):
        _objective(look, instance)
    with columns[-1].container(border=True):
        _throughput(look, instance)
    _burn(look)


def over_time(look: Look) -> None:
    """How requests spread over the histogram's buckets: two kinds of request are two bands, which no percentile shows."""
    if look.sources.prometheus is None:  # said by `now`
        return
    answer = look.sources.feed.panels([SPREAD], look.view.window, instance=look.view.instance)[SPREAD.key]
    with st.container(border=True):
        charts.heading(SPREAD.title, SPREAD.why)
        if answer.empty:
            if answer.unavailable is not None:
                states.unavailable(answer.unavailable)
            else:
                states.empty(SPREAD.empty)
            return
        zone, window = look.view.zone, look.view.window
        revision = f"{SPREAD.key}|{window.from_}|{window.to}|{look.view.instance}"
        figure = drawn(
            (SPREAD.key, zone, revision),
            answer.frame,
            lambda: figures.draw(answer.frame, SECONDS, zone=zone, revision=revision),
        )
        charts.show(figure, key=SPREAD.key, alt=_spread(answer), name=SPREAD.key)


def _spread(answer: Answer) -> str:
    """The newest column in words."""
    bounds = sorted(answer.frame.columns, key=float)
    newest = figures.shares(answer.frame[bounds].ffill().iloc[-1:].to_numpy().T)[:, 0]
    said = [
        f"{name} {RATIO.format(float(share))}"
        for name, share in zip(figures.names(bounds, SECONDS), newest, strict=True)
        if share > 0
    ]
    return f"{SPREAD.title}. Now: {'; '.join(said) or 'no requests'}."


def by_instance(look: Look) -> None:
    """p95 of each instance, where there are several and none is chosen."""
    if look.view.instance or len(look.sources.feed.instant(INSTANCES).samples) < 2:
        return
    charts.panel(
        BY_INSTANCE, replace(look, answers=look.sources.feed.panels([BY_INSTANCE], look.view.window))
    )


def _value(reading: Reading) -> float | None:
    return reading.samples[0].value if reading.samples else None


def _objective(look: Look, instance: str | None) -> None:
    share = _value(look.sources.feed.instant(catalogue.WITHIN_OBJECTIVE.series[0].promql, instance=instance))
    target = look.sources.settings.latency_objective_ratio
    st.metric(
        f"Within {SECONDS.format(catalogue.OBJECTIVE_SECONDS)}", RATIO.format(share),
        help="Exact: the objective is a bucket bound, so nothing is interpolated.",
    )  # fmt: skip
    if share is None or math.isnan(share):
        st.caption(f"target {RATIO.format(target)}")
    else:
        st.caption(f"{'keeps' if share >= target else 'misses'} the target of {RATIO.format(target)}")


def _throughput(look: Look, instance: str | None) -> None:
    reported, counted = (
        _value(look.sources.feed.instant(series.promql, instance=instance))
        for series in catalogue.THROUGHPUT_PANEL.series
    )
    st.metric(
        "Throughput", SAMPLES_PER_SECOND.format(counted),
        help="Counted from the batch-size histogram; below it, what the router reports itself.",
    )  # fmt: skip
    if reported is None:
        st.caption("the router reports none itself")
    else:
        apart = f", {RATIO.format(abs(reported - counted) / counted)} apart" if counted else ""
        st.caption(plain(f"reported: {SAMPLES_PER_SECOND.format(reported)}{apart}"))


def _burn(look: Look) -> None:
    """How fast the error budget is spent: 1 spends exactly the budget, 14.4 spends a month's in two days."""
    budget = 1 - look.sources.settings.latency_objective_ratio
    if budget <= 0:
        return
    said_of = []
    for window in BURN_WINDOWS:
        slow = [sample.value for sample in look.sources.feed.instant(str(catalogue.SLOW[window])).samples]
        known = [value for value in slow if not math.isnan(value)]
        if known:
            said_of.append(f"{max(known) / budget:.3g}× over {window}")
    if said_of:
        st.caption(
            f"Error budget burn rate: {', '.join(said_of)}. At 1× the budget lasts exactly its period; 14.4× pages.",
            help="Share of requests slower than the objective ÷ the share that may be; from the recording rules.",
        )
    else:
        st.caption("Burn rate: the recording rules are not loaded, or there were no requests.")
