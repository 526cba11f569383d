"""The value an alert is about since it began, small: where it is now, where it was worst, and where the rule draws the line."""

import time

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.alerts import trace
from dashboard.alerts.entry import Entry
from dashboard.alerts.trace import Trace
from dashboard.catalogue.spec import Panel, Series
from dashboard.catalogue.units import NUMBER
from dashboard.feed.source import Shared
from dashboard.figures import lines
from dashboard.shell import charts, states
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain

BEFORE = 0.25  # of its length is shown before its beginning: one sees it go wrong
LEAST_SECONDS = 300.0

_traces: Shared[Trace] = Shared(5.0, time.time, most=64)  # one question serves every session


def draw(entry: Entry, look: Look) -> None:
    """The trace from a little before its condition became true until now, with now and the worst value in words."""
    prometheus = look.sources.prometheus
    since = entry.since or entry.fired_at
    if prometheus is None or since is None or not entry.query:
        return
    now = look.sources.feed.now()
    start = since - max(LEAST_SECONDS, BEFORE * (now - since))
    looked = _traces.get(
        (id(prometheus), entry.fingerprint, since),
        lambda: trace.read(prometheus, entry.query, entry.labels, start, now),
    )
    if looked.value is None:
        if looked.unavailable is not None:
            states.unavailable(looked.unavailable)
        return
    found = looked.value
    charts.heading("Its value", "The rule's expression without its comparison, as Prometheus evaluates it.")
    if not np.isfinite(found.values).any():
        states.quiet("Prometheus gives this alert no value: the expression selects nothing by these labels.")
        return
    st.caption(plain(words(found, since, look.view.zone)))
    index = pd.to_datetime(found.times, unit="s", utc=True)
    frame = pd.DataFrame({"value": found.values}, index=index)
    limit = found.measured.threshold
    panel = Panel(
        key="alert-trace",
        title=entry.name,
        why="",
        unit=NUMBER,
        series=(Series("value", found.measured.promql),),
        thresholds=((limit, f"alerts when {found.measured.comparison} {NUMBER.format(limit)}"),)
        if limit is not None
        else (),
    )
    figure = lines.draw(panel, frame, zone=look.view.zone, revision=entry.episode)
    figure.update_layout(height=150, showlegend=False)
    charts.show(
        figure, key=f"trace-{entry.fingerprint}", alt=f"{entry.name}: {words(found, since, look.view.zone)}"
    )


def words(found: Trace, since: float, zone: str) -> str:
    """Now, the worst since it began and when, and what the line stands for."""
    during = np.where(found.times >= since, found.values, np.nan)
    worst = found.measured.worst(during)
    said = ["now " + ("no value" if found.last is None else NUMBER.format(found.last))]
    if worst is not None:
        when = float(found.times[np.flatnonzero(during == worst)[0]])
        said.append(f"worst since it began {NUMBER.format(worst)} at {clock(when, zone)}")
    if found.measured.whole:
        said.append("shown only while the condition holds: this rule is no comparison with one number")
    else:
        said.append(f"alerts when {found.measured.comparison} {NUMBER.format(found.measured.threshold)}")
    return " · ".join(said)
