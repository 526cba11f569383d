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
from dashboard.feed import Availability
from dashboard.feed.source import Shared
from dashboard.health import Check
from dashboard.health.health import WATCHED
from dashboard.shell import charts, states
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, plain, visible

_targets: Shared[list[dict[str, Any]]] = Shared(5.0, time.time, most=4)  # one question serves every session
MOST_ROWS = 500
NAMES = {
    "application": "this server",
    "database": "the store",
    "gpu": "GPUs of this machine",
    "memory": "memory of this machine",
    "disk": "disks of this machine",
    "evolution": "the evolution",
    "prometheus": "Prometheus",
    "scrape": "scraping of the router",
    "pushes": "runs that push",
    "rules": "alert rules",
    "alertmanager": "Alertmanager",
    "clock_skew": "clocks",
    "sampler": "looks at this machine",
    "log": "structured logs",
    "loki": "Loki",
    "traces": "the trace store",
}


def named(check: str) -> str:
    """What people call a check; a watched address has the name its operator gave it."""
    return NAMES.get(check) or f"{check.removeprefix(WATCHED)} (its own health)"


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
        states.empty(
            "Prometheus has no scrape target now. Some seconds after its start that passes; else none is configured, and it will never have data."
        )
        return
    down = [row for row in rows if row["state"] != "up"]
    if looked.unavailable is None:
        names = f" Not: {', '.join(row['instance'] for row in down[:5])}." if down else ""
        (st.warning if down else st.success)(
            plain(f"{len(rows) - len(down)} of {len(rows)} targets answer.{names}"),
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
        "error": visible(target.get("lastError", "")),
        "address": visible(target.get("scrapeUrl", "")),
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


def checks(look: Look) -> None:
    """Every check of /health, the failed ones first, with what was found, how long it took and what to do."""
    charts.heading(
        "Checks",
        "The same checks that /health answers with; asked side by side, each answer at most five seconds old.",
    )
    found = look.sources.health.checks()
    failed = [check for check in found if not check.healthy]
    applying = [check for check in found if check.applies]
    (st.error if failed else st.success)(
        plain(
            f"{len(failed)} of {len(applying)} checks fail: {', '.join(named(check.name) for check in failed)}."
            if failed
            else f"All {len(applying)} checks that apply here are well."
        ),
        icon=":material/error:" if failed else ":material/check_circle:",
    )
    for check in failed:
        st.warning(
            plain(f"{named(check.name)}: {check.message} {check.reason} {check.advice}".strip()),
            icon=":material/warning:",
        )
    ordered = sorted(found, key=lambda check: (check.healthy, not check.applies))
    st.dataframe(
        pd.DataFrame([_check(check, look) for check in ordered]), hide_index=True, alt="Health checks"
    )


def _check(check: Check, look: Look) -> dict[str, str]:
    details = ", ".join(f"{name} {value}" for name, value in check.details.items() if value is not None)
    return {
        "check": named(check.name),
        "state": "fails" if not check.healthy else "well" if check.applies else "does not apply",
        "says": visible(" ".join(filter(None, [check.message, check.reason, check.advice]))),
        "took": SECONDS.format(check.seconds),
        "checked": clock(check.checked_at, look.view.zone),
        "details": visible(details),
    }


def past(look: Look) -> None:
    """Which checks failed in the last hour, however they stand now: this process remembers what each look found."""
    looks = look.sources.health.past()
    failures: dict[str, list[Check]] = {}
    for found in looks:
        for check in found:
            if not check.healthy:
                failures.setdefault(check.name, []).append(check)
    if not looks:
        return
    since = min(check.checked_at for check in looks[0])
    looked = f"The checks were made {len(looks)} times since {clock(since, look.view.zone)}"
    if not failures:
        states.quiet(f"{looked}, and none failed.")
        return
    states.quiet(f"{looked}. Nobody looks while nobody asks. These failed:")
    rows = [
        {
            "check": named(name),
            "failed": f"{len(failed)} of {len(looks)} times",
            "first": clock(failed[0].checked_at, look.view.zone),
            "last": clock(failed[-1].checked_at, look.view.zone),
            "said last": visible(" ".join(filter(None, [failed[-1].message, failed[-1].reason]))),
        }
        for name, failed in sorted(failures.items(), key=lambda item: -item[1][-1].checked_at)
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Checks that failed in the last hour")


def metrics(look: Look) -> None:
    """Which of the catalogue's metrics are there, gone or never seen, from which scrape, and what is odd about them."""
    charts.heading(
        "Metrics of the catalogue", "A panel whose metric was never seen stays empty; nothing reports it."
    )
    found = look.sources.feed.availability()
    first = found[0] if found else None
    if first is not None and first.unavailable is not None:
        states.unavailable(first.unavailable)
        return
    counts = {state: sum(item.state == state for item in found) for state in ("present", "gone", "never")}
    with st.container(horizontal=True, gap="large"):
        st.metric("Present", counts["present"], width="content")
        st.metric("Gone", counts["gone"], width="content", help="Seen in the last 30 days, and not now.")
        st.metric("Never seen", counts["never"], width="content")
    order = ("gone", "present", "never", "unknown")
    rows = [_metric(item, look) for item in sorted(found, key=lambda item: order.index(item.state))]
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, alt="Metrics of the catalogue and whether Prometheus has them"
    )


def _metric(item: Availability, look: Look) -> dict[str, str | int]:
    return {
        "metric": str(item.metric),
        "state": {"never": "never seen"}.get(item.state, item.state),
        "series": item.series,
        "from": visible(", ".join(item.jobs)),
        "labels": visible(", ".join(f"{name} × {count}" for name, count in item.labels.items())),
        "last seen": ""
        if item.last_seen is None
        else f"{clock(item.last_seen, look.view.zone)}, {ago(item.last_seen, look.now)}",
        "read instead": item.stand_in or "",
        "odd": visible(item.note),
        "means": item.metric.help,
    }
