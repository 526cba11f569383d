"""Blocks of the Health page: the checks, what Prometheus says of its targets, which metrics exist, and what observers swallowed.

What a scrape target or a check says comes from outside: it is shown in table cells or escaped.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from collectors.prometheus import Prometheus
from dashboard.catalogue import monitoring
from dashboard.catalogue.units import SECONDS
from dashboard.feed.source import Shared
from dashboard.shell import charts, states
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, plain

_targets: Shared[list[dict[str, Any]]] = Shared(5.0, time.time, most=4)  # one question serves every session
MOST_ROWS = 500


def targets(look: Look) -> None:
    """Every scrape target as Prometheus sees it: up or not, since when it was not asked, and why."""
    charts.heading("Scrape targets", "A target that is down is not a metric of 0: its series end.")
    prometheus: Prometheus | None = look.sources.prometheus
    if prometheus is None:
        states.empty("No Prometheus is configured: set MOE_DASHBOARD_PROMETHEUS_URL.")
        return
    looked = _targets.get(id(prometheus), prometheus.targets)
    if looked.unavailable is not None:
        if looked.value is None:
            states.unavailable(looked.unavailable)
            return
        states.stale(looked.unavailable, looked.looked_at, look.now, look.view.zone)
    rows = [_target(target, look) for target in looked.value or ()]
    if not rows:
        states.empty("Prometheus is configured without scrape targets: it will never have data.")
        return
    down = [row for row in rows if row["state"] != "up"]
    (st.warning if down else st.success)(
        plain(
            f"{len(rows) - len(down)} of {len(rows)} targets answer."
            + (f" Not: {', '.join(row['instance'] for row in down[:5])}." if down else "")
        ),
        icon=":material/warning:" if down else ":material/check_circle:",
    )
    st.dataframe(
        pd.DataFrame([*down, *(row for row in rows if row["state"] == "up")][:MOST_ROWS]),
        hide_index=True,
        alt="Scrape targets of Prometheus",
    )


def _target(target: Mapping[str, Any], look: Look) -> dict[str, str]:
    labels = target.get("labels") or {}
    last = moment(target.get("lastScrape"))
    took = target.get("lastScrapeDuration")
    return {
        "state": str(target.get("health", "unknown")),
        "job": str(labels.get("job", "")),
        "instance": str(labels.get("instance", "")),
        "last scrape": "never" if last is None else ago(last, look.now),
        "took": SECONDS.format(float(took)) if isinstance(took, int | float) else "",
        "every": str(target.get("scrapeInterval", "")),
        "error": str(target.get("lastError", "")),
        "address": str(target.get("scrapeUrl", "")),
    }


def moment(text: object) -> float | None:
    """Unix seconds of Prometheus's RFC 3339 time; None where there is none (Go writes year 1 for never)."""
    if not isinstance(text, str):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when.timestamp() if when.year > 1 else None


def observer(look: Look) -> None:
    """Errors that observers swallowed instead of raising into the loop they watch."""
    charts.heading(
        "Observer failures",
        "An observer never raises into the loop it watches; what it could not do is counted here.",
    )
    reading = look.sources.feed.instant(f"{monitoring.OBSERVER_FAILURES} > 0")
    if reading.unavailable is not None and not reading.samples:
        states.unavailable(reading.unavailable)
        return
    if not reading.samples:
        states.empty("No observer reports a failure.")
        return
    rows = [
        {
            "job": sample.labels.get("job", ""),
            "instance": sample.labels.get("instance", ""),
            "error": sample.labels.get("error_type", ""),
            "times": int(sample.value),
        }
        for sample in sorted(reading.samples, key=lambda sample: -sample.value)
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Observer failures by instance and error")
    st.caption(
        plain(f"looked at {clock(reading.looked_at, look.view.zone)}; counted since each process started")
    )


def checks(_: Look) -> None:
    """Being written."""


def metrics(_: Look) -> None:
    """Being written."""
