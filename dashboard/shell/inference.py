"""Blocks of the Inference page: what a request takes now, between which bounds that lies, and per instance.

A percentile from a histogram is only known to lie inside one bucket; the bucket is shown beside it.
Knows the catalogue's PromQL and the feed; computes no percentile of its own.
"""

import math
from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard.catalogue import inference as catalogue
from dashboard.catalogue.objective import Objective
from dashboard.catalogue.spec import Panel, Series
from dashboard.catalogue.units import NUMBER, PER_SECOND, RATIO, SAMPLES_PER_SECOND, SECONDS
from dashboard.feed import Answer, Reading
from dashboard.figures import buckets as figures
from dashboard.shell import address, brackets, charts, instances, states, traces
from dashboard.shell.brackets import Buckets
from dashboard.shell.figure import drawn
from dashboard.shell.look import Look
from dashboard.shell.page import Item
from dashboard.shell.text import plain, visible
from dashboard.shell.view import View
from dashboard.sources import Sources, current

QUANTILES = (0.50, 0.95, 0.99)
NAMES = {f"p{round(100 * q)}": q for q in QUANTILES}
USUAL = "p95"
NATIVE = "native-histogram"  # why a query by `le` is refused
BURN_WINDOWS = ("5m", "1h", "6h", "3d")
MOST_INSTANCES = 50
SLOTS = 'instance=~"$instance"'
ERRORS = f'rate({catalogue.REQUESTS}{{outcome!="ok",{SLOTS}}}[$rate])'
REQUESTS = f"rate({catalogue.REQUESTS}{{{SLOTS}}}[$rate])"

_CLASSIC = f"sum by (%s) (rate({catalogue.LATENCY}_bucket{{{SLOTS}}}[$rate]))"


def _native(by: str) -> str:
    """The same for a native histogram, which has no `le`: its requests up to each of the catalogue's bounds, one by one."""
    rated = f'rate({catalogue.LATENCY}_bucket{{le=~"%s",{SLOTS}}}[$rate])'
    parts = [
        f'label_replace(sum by ({by}) ({rated % f"{bound:g}"}), "le", "{bound:g}", "", "")'
        for bound in catalogue.BOUNDS
    ]
    counted = f"sum by ({by}) (rate({catalogue.LATENCY}_count{{{SLOTS}}}[$rate]))"
    return " or ".join([*parts, f'label_replace({counted}, "le", "+Inf", "", "")'])


BUCKETS, BUCKETS_NATIVE = _CLASSIC % "instance, le", _native("instance")
SPREAD = Panel(
    key="latency-buckets",
    title="Latency by bucket",
    why="The share of requests in each bucket of the histogram. A second band is a second kind of request; percentiles hide it.",
    unit=SECONDS,
    series=(Series("{le}", _CLASSIC % "le"),),
    empty="No requests in this window.",
)
SPREAD_NATIVE = replace(SPREAD, series=(Series("{le}", _native("")),))


def above(view: View) -> None:
    """The instance, and which percentile is compared between instances."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        instances.picker([f"{catalogue.LATENCY}_count", catalogue.LATENCY])(view)
        address.select(
            "Percentile per instance",
            {"": USUAL} | {name: name for name in NAMES if name != USUAL},
            "p",
            width=180,
        )


def objective(sources: Sources) -> Objective:
    """The objective of the settings, at a bound that the requests' own histogram has."""
    bounds = brackets.bounds(brackets.together(_buckets(sources, None)[0]))
    chosen = sources.settings
    return Objective.among(
        chosen.latency_objective_seconds, chosen.latency_objective_ratio, bounds or catalogue.BOUNDS
    )


def panels() -> tuple[Panel, ...]:
    """The page's panels for that objective: percentiles, share, throughput, requests, batches."""
    return catalogue.panels(objective(current()))


def rows() -> list[list[Item]]:
    """The page from top to bottom; which panels there are follows the objective of the settings."""
    percentiles, within, throughput, requests, batches = panels()
    return [
        [now],
        [percentiles],
        [traces.slowest],
        [by_instance],
        [over_time],
        [within, throughput],
        [requests, batches],
    ]


def now(look: Look) -> None:
    """The numbers of this moment: percentiles with their bracket, share within the objective, errors, throughput, burn rate."""
    instance = look.view.instance
    found, counted = _buckets(look.sources, instance)
    if counted.unavailable is not None and not counted.samples:
        states.unavailable(counted.unavailable)
        return
    merged = brackets.together(found)
    if brackets.bracket(0.5, merged) is None:
        states.empty("No requests in the last few scrapes." if merged else "No requests in this window.")
        return
    ask = look.sources.feed.instant
    columns = st.columns(len(QUANTILES) + 3)
    for q, column in zip(QUANTILES, columns, strict=False):
        value = _value(ask(catalogue.latency_quantile(q), instance=instance))
        bounds = brackets.bracket(q, merged)
        with column.container(border=True):
            st.metric(f"p{round(100 * q)}", brackets.valued(value, bounds),
                      help="Interpolated inside one bucket of the histogram; the line below says which.")  # fmt: skip
            st.caption(plain(brackets.said(bounds)))
    with columns[-3].container(border=True):
        _objective(look, merged)
    with columns[-2].container(border=True):
        _errors(look, instance)
    with columns[-1].container(border=True):
        _throughput(look, instance)
    _budget(look, instance)
    _burn(look)


def over_time(look: Look) -> None:
    """How requests spread over the histogram's buckets: two kinds of request are two bands, which no percentile shows."""
    if look.sources.prometheus is None:  # said by `now`
        return
    answer = _spread(look, SPREAD)
    if answer.unavailable is not None and answer.unavailable.kind == NATIVE:
        answer = _spread(look, SPREAD_NATIVE)
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
        charts.show(figure, key=SPREAD.key, alt=_spoken(answer), name=SPREAD.key)


def by_instance(look: Look) -> None:
    """Each instance beside all of them together, where there are several and none is chosen: one percentile over time, all now."""
    if look.view.instance:
        return
    found, _ = _buckets(look.sources, None)
    if len(found) < 2:
        return
    name = address.held("p") if address.held("p") in NAMES else USUAL
    q = NAMES[name]
    panel = Panel(
        key=f"latency-{name}-by-instance",
        title=f"{name} latency by instance, and of all together",
        why="One instance above the others is that machine; all of them together is the model or the load. The merged line is the percentile of all requests, not a mean of percentiles.",
        unit=SECONDS,
        series=(
            Series("all together", catalogue.latency_quantile(q)),
            Series("{instance}", catalogue.latency_quantile(q, by="instance")),
        ),
        empty="No requests in this window.",
        floor_zero=True,
    )
    charts.panel(panel, replace(look, answers=look.sources.feed.panels([panel], look.view.window)))
    st.dataframe(_table(look, found), hide_index=True, alt="Latency of each instance now")


def _table(look: Look, found: dict[str, Buckets]) -> pd.DataFrame:
    """One row an instance, the busiest first, after one for all of them."""
    ask = look.sources.feed.instant
    measured = objective(look.sources)
    own = {name: _by_instance(ask(catalogue.latency_quantile(q, by="instance"))) for name, q in NAMES.items()}
    merged = {name: _value(ask(catalogue.latency_quantile(q))) for name, q in NAMES.items()}
    failed = _by_instance(ask(f"sum by (instance) ({ERRORS}) / sum by (instance) ({REQUESTS})"))
    counted = _by_instance(ask(f"sum by (instance) ({REQUESTS})"))
    rows = []
    every = sorted(found.items(), key=lambda item: -brackets.every(item[1]))[:MOST_INSTANCES]
    for instance, buckets in [("", brackets.together(found)), *every]:
        row = {
            "instance": visible(instance) or "all together",
            "requests": PER_SECOND.format(brackets.every(buckets)),
        }
        for name, q in NAMES.items():
            bounds = brackets.bracket(q, buckets)
            value = own[name].get(instance) if instance else merged[name]
            row[name] = (
                brackets.said(None)
                if bounds is None
                else f"{brackets.valued(value, bounds)}, {brackets.said(bounds)}"
            )
        share = brackets.share(measured.bound, buckets)
        row[f"within {SECONDS.format(measured.bound)}"] = (
            "no requests" if share is None else RATIO.format(share)
        )
        if instance:
            row["errors"] = RATIO.format(failed.get(instance, 0.0)) if instance in counted else "not counted"
        else:
            row["errors"] = _failed(look, None)
        rows.append(row)
    return pd.DataFrame(rows)


def _buckets(sources: Sources, instance: str | None) -> tuple[dict[str, Buckets], Reading]:
    reading = sources.feed.instant(BUCKETS, instance=instance)
    if reading.unavailable is not None and reading.unavailable.kind == NATIVE:
        reading = sources.feed.instant(BUCKETS_NATIVE, instance=instance)
    return brackets.of(reading), reading


def _spread(look: Look, panel: Panel) -> Answer:
    return look.sources.feed.panels([panel], look.view.window, instance=look.view.instance)[panel.key]


def _spoken(answer: Answer) -> str:
    """The newest column in words."""
    bounds = sorted(answer.frame.columns, key=float)
    newest = figures.shares(answer.frame[bounds].ffill().iloc[-1:].to_numpy().T)[:, 0]
    said = [
        f"{name} {RATIO.format(float(share))}"
        for name, share in zip(figures.names(bounds, SECONDS), newest, strict=True)
        if share > 0
    ]
    return f"{SPREAD.title}. Now: {'; '.join(said) or 'no requests'}."


def _value(reading: Reading) -> float | None:
    return reading.samples[0].value if reading.samples else None


def _by_instance(reading: Reading) -> dict[str, float]:
    return {sample.labels.get("instance", ""): sample.value for sample in reading.samples}


def _objective(look: Look, merged: Buckets) -> None:
    measured = objective(look.sources)
    share = brackets.share(measured.bound, merged)
    st.metric(
        f"Within {SECONDS.format(measured.bound)}", RATIO.format(share),
        help=f"Exact: this is a bound of the histogram, so nothing is interpolated. {measured.moved}".strip(),
    )  # fmt: skip
    target = f"{100 * measured.ratio:.6g} %"
    if share is None:
        st.caption(f"target {target}")
    else:
        st.caption(f"{'keeps' if share >= measured.ratio else 'misses'} the target of {target}")
    if measured.moved:
        st.caption(plain(measured.moved))


def _failed(look: Look, instance: str | None) -> str:
    """The share of requests that ended in an error, in words."""
    ask = look.sources.feed.instant
    counted = _value(ask(f"sum({REQUESTS})", instance=instance))
    if counted is None:
        return "not counted"
    if counted == 0:
        return "no requests"
    return RATIO.format((_value(ask(f"sum({ERRORS})", instance=instance)) or 0.0) / counted)


def _errors(look: Look, instance: str | None) -> None:
    share = _failed(look, instance)
    st.metric("Errors", share, help="Share of the requests whose outcome was not ok.")
    st.caption(
        plain(f"the router does not say {catalogue.REQUESTS}")
        if share == "not counted"
        else "of all requests"
    )


def _throughput(look: Look, instance: str | None) -> None:
    reported, counted = (
        _value(look.sources.feed.instant(series.promql, instance=instance))
        for series in catalogue.THROUGHPUT_PANEL.series
    )
    st.metric(
        "Samples/s", NUMBER.format(counted if counted is None else float(f"{counted:.3g}")),
        help="Counted from the batch-size histogram; below it, what the router reports itself.",
    )  # fmt: skip
    if reported is None:
        st.caption("the router reports none itself")
    else:
        apart = f", {RATIO.format(abs(reported - counted) / counted)} apart" if counted else ""
        st.caption(plain(f"reported: {SAMPLES_PER_SECOND.format(reported)}{apart}"))


def _budget(look: Look, instance: str | None) -> None:
    """How much of the error budget the window has spent, in requests."""
    measured, window = objective(look.sources), look.view.window
    if measured.budget <= 0:
        st.caption("The objective asks for every request, so there is no error budget to spend.")
        return
    start, end = window.bounds(look.sources.feed.now())
    length = f"{max(1, round(end - start))}s"
    late = look.sources.feed.now() - end
    past = f" offset {round(late)}s" if late > 1 else ""
    ask = look.sources.feed.instant
    total = _value(
        ask(f"sum(increase({catalogue.LATENCY}_count{{{SLOTS}}}[{length}]{past}))", instance=instance)
    )
    kept = _value(
        ask(
            f'sum(increase({catalogue.LATENCY}_bucket{{le=~"{measured.le}",{SLOTS}}}[{length}]{past}))',
            instance=instance,
        )
    )
    if not total or kept is None or math.isnan(total):
        st.caption(f"Error budget: no requests in the {window.label()}.")
        return
    slow, allowed = max(0.0, total - kept), total * measured.budget
    st.caption(
        f"Error budget of the {window.label()}: {NUMBER.format(float(round(slow)))} of {NUMBER.format(float(round(total)))} requests "
        f"were slower than {SECONDS.format(measured.bound)}, and {NUMBER.format(float(round(allowed)))} may be: {RATIO.format(slow / allowed)} of it is spent.",
        help=f"The objective is {measured.words}. Counted from the histogram, over all that Prometheus has of the window.",
    )


def _burn(look: Look) -> None:
    """How fast the error budget is spent: 1 spends exactly the budget, 14.4 spends a month's in two days."""
    budget = objective(look.sources).budget
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
