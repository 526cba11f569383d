"""Checks of what the numbers come from: Prometheus and its rules, Alertmanager, the runs, the logs, the clocks."""

import glob
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from collectors import health, logs
from collectors.prometheus import Prometheus
from collectors.runs import Generations, RunRecord, RunsDirectory
from collectors.unavailable import Unavailable
from dashboard.catalogue import evolution as catalogue
from dashboard.feed import LogLines, Traces, Window
from dashboard.health.check import Check, Detail, not_here
from dashboard.settings import Settings

FRESH_LIMIT_SECONDS = 300.0  # Prometheus itself forgets a sample after five minutes
SKEW_LIMIT_SECONDS = 5.0
STALLED_SECONDS, STALLED_GENERATIONS = 300.0, 5.0  # as the alert GenerationStalled has it

_NO_PROMETHEUS = "No Prometheus is configured."
_LOG_BUDGET_BYTES = 1 << 20


class Alertmanager(Protocol):
    """One Alertmanager, as far as health cares."""

    def status(self) -> Mapping[str, Any]:
        """/api/v2/status; raises Unavailable."""


def reachable(prometheus: Prometheus | None) -> Check:
    """Prometheus answers a query. A query, because Thanos, Mimir and proxies answer that and not all of /-/ready."""
    if prometheus is None:
        return not_here("prometheus", _NO_PROMETHEUS, "Set MOE_DASHBOARD_PROMETHEUS_URL.")
    began = time.monotonic()
    prometheus.instant("vector(1)")
    seconds = time.monotonic() - began
    return Check(
        "prometheus",
        healthy=True,
        message="Prometheus answers.",
        details={"latency_seconds": round(seconds, 4)},
    )


def scrape(prometheus: Prometheus | None, job: str) -> Check:
    """The router's job is scraped, lately, and at least one of its targets is up."""
    if prometheus is None:
        return not_here("scrape", _NO_PROMETHEUS)
    matcher = '{job="' + job.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"}'
    up = [sample.value for sample in prometheus.instant(f"up{matcher}").samples]
    if not up:
        return Check(
            "scrape", healthy=False, message="Prometheus has no target of the router's job.", error_type="no-target",
            details={"targets": 0}, advice="Add the router to Prometheus's scrape configuration, or set MOE_DASHBOARD_JOB.",
        )  # fmt: skip
    # the last sample's own age: a Prometheus that stopped scraping still answers for five minutes
    ages = [sample.value for sample in prometheus.instant(f"time() - timestamp(up{matcher})").samples]
    age = min(ages, default=math.inf)
    details: dict[str, Detail] = {
        "targets": len(up),
        "targets_up": sum(value == 1 for value in up),
        "sample_age_seconds": round(age, 1) if math.isfinite(age) else None,
    }
    if age > FRESH_LIMIT_SECONDS:
        return Check(
            "scrape", healthy=False, message="The newest sample is old.", details=details, error_type="stale"
        )
    if not any(value == 1 for value in up):
        return Check(
            "scrape",
            healthy=False,
            message="No target of the router's job is up.",
            details=details,
            error_type="down",
        )
    return Check("scrape", healthy=True, message="The router is scraped.", details=details)


def rules(prometheus: Prometheus | None) -> Check:
    """Every alerting rule is evaluated without an error, and lately."""
    if prometheus is None:
        return not_here("rules", _NO_PROMETHEUS)
    try:
        groups = prometheus.rules()
    except Unavailable as why:
        if why.kind in {"http-404", "http-400", "http-501"}:  # VictoriaMetrics without vmalert, some gateways
            return not_here("rules", "This Prometheus does not tell its rules.")
        raise
    loaded = [rule for group in groups for rule in group.get("rules", ())]
    if not loaded:
        return not_here(
            "rules", "No alerting rule is loaded: nothing will ever fire.", "moe-dashboard export rules"
        )
    broken = [str(rule.get("name")) for rule in loaded if rule.get("health") not in {"ok", "unknown", None}]
    late = [str(group.get("name")) for group in groups if _is_late(group)]
    details: dict[str, Detail] = {
        "rules": len(loaded),
        "rules_failing": len(broken),
        "groups_late": len(late),
    }
    if broken or late:
        return Check(
            "rules", healthy=False, message="Alerting rules are not evaluated as they should be.", details=details,
            error_type="not-evaluated", reason=f"Failing: {', '.join(broken) or 'none'}. Late: {', '.join(late) or 'none'}.",
        )  # fmt: skip
    return Check("rules", healthy=True, message="Every alerting rule is evaluated.", details=details)


def alertmanager(replicas: Sequence[Alertmanager]) -> Check:
    """Every replica answers, and a cluster is settled."""
    if not replicas:
        return not_here("alertmanager", "No Alertmanager is configured.")
    words: list[str] = []
    kinds: list[str] = []
    for replica in replicas:
        try:
            cluster = replica.status().get("cluster") or {}
        except Unavailable as why:
            words.append(why.reason)
            kinds.append(why.kind)
            continue
        if cluster.get("status") not in {"ready", "disabled", None}:
            words.append(f"The cluster is {cluster.get('status')}.")
            kinds.append("not-settled")
    details: dict[str, Detail] = {"replicas": len(replicas), "replicas_answering": len(replicas) - len(kinds)}
    if kinds:
        return Check(
            "alertmanager", healthy=False, message="Not every Alertmanager answers as it should.", details=details,
            error_type=kinds[0], reason=" ".join(words),
        )  # fmt: skip
    return Check("alertmanager", healthy=True, message="Every Alertmanager answers.", details=details)


def clock_skew(prometheus: Prometheus | None) -> Check:
    """Prometheus's clock and ours agree: windows end at our now, its samples stand at its own."""
    if prometheus is None:
        return not_here("clock_skew", _NO_PROMETHEUS)
    before = time.time()
    [sample] = prometheus.instant("vector(time())").samples
    after = time.time()
    skew = sample.value - (before + after) / 2
    uncertain = (after - before) / 2
    details: dict[str, Detail] = {"skew_seconds": round(skew, 3), "uncertainty_seconds": round(uncertain, 3)}
    healthy = abs(skew) - uncertain < SKEW_LIMIT_SECONDS
    message = "The clocks agree." if healthy else "Prometheus's clock and this machine's are apart."
    return Check(
        "clock_skew",
        healthy=healthy,
        message=message,
        details=details,
        error_type=None if healthy else "skew",
    )


def log(settings: Settings, runs: RunsDirectory | None) -> Check:
    """The structured logs that the Logs page shows can be read, and hold structured lines."""
    paths = [Path(path) for pattern in settings.log_files for path in glob.glob(pattern)]  # noqa: PTH207  the pattern may be absolute
    unmatched = [pattern for pattern in settings.log_files if not glob.glob(pattern)]  # noqa: PTH207
    if runs is not None and (newest := _newest(runs)) is not None:
        paths += [
            path
            for name in ("generations.jsonl", "events.jsonl")
            if (path := runs.path / newest.run_id / name).exists()
        ]
    if unmatched:
        return Check(
            "log", healthy=False, message="A configured log file is not there.", error_type="missing",
            details={"files": len(paths), "files_missing": len(unmatched)}, reason=f"Nothing matches {', '.join(unmatched)}.",
        )  # fmt: skip
    if not paths:
        return not_here("log", "There is no log to read yet.")
    page = logs.tail(paths, limit=1, budget_bytes=_LOG_BUDGET_BYTES)
    details: dict[str, Detail] = {"files": len(paths)}
    if page.unreadable:
        return Check(
            "log", healthy=False, message="A log file cannot be read.", details=details, error_type="unreadable",
            reason="; ".join(f"{path}: {why}" for path, why in page.unreadable.items()),
        )  # fmt: skip
    if not page.lines and page.malformed:
        return Check(
            "log",
            healthy=False,
            message="The logs hold no structured line.",
            details=details,
            error_type="not-json",
        )
    return Check("log", healthy=True, message="The logs can be read.", details=details)


def watched(url: str, timeout_seconds: float) -> Check:
    """Another service's own health address, in whatever shape it answers. Its words are for people inside."""
    began = time.monotonic()
    found = health.read(url, timeout_seconds=timeout_seconds)
    details: dict[str, Detail] = {
        "state": found.state,
        "http_status": found.status,
        "latency_seconds": round(time.monotonic() - began, 4),
    }
    message = {"pass": "It says that it is well.", "warn": "It says that it is well, with a warning."}.get(
        found.state, "It is not well, or says so."
    )
    if found.shape == "page":
        message = "It answered a web page, which is no health report."
    if found.shape == "redirect":
        message = "It answered a redirect, which is not followed."
    failed = found.state == "fail"
    return Check(
        "watched", healthy=not failed, message=message, details=details, reason=found.said,
        error_type={"page": "web-page", "redirect": "redirect"}.get(found.shape, "unhealthy") if failed else None,
    )  # fmt: skip


def lines(loki: LogLines | None) -> Check:
    """Loki answers a query."""
    if loki is None:
        return not_here("loki", "No Loki is configured.")
    loki.tail(limit=1)
    return Check("loki", healthy=True, message="Loki answers.")


def traces(store: Traces | None) -> Check:
    """The trace store answers a search."""
    if store is None:
        return not_here("traces", "No trace store is configured.")
    looked = store.search(Window.parse("now-5m", "now"), limit=1)
    if looked.unavailable is not None:
        raise looked.unavailable
    return Check("traces", healthy=True, message="The trace store answers.")


def evolution(runs: RunsDirectory | None, prometheus: Prometheus | None) -> Check:
    """The newest run goes on, or ended as it should: its heartbeat, from its directory or else from Prometheus."""
    newest = None if runs is None else _newest(runs)
    if runs is not None and newest is not None:
        return _of_run(newest, lambda: runs.generations(newest.run_id))
    if prometheus is not None:
        return _of_metrics(prometheus)
    return not_here(
        "evolution", "No run is known.", "Set MOE_DASHBOARD_RUNS_DIR or MOE_DASHBOARD_PROMETHEUS_URL."
    )


def _of_run(run: RunRecord, read: Callable[[], Generations]) -> Check:
    details: dict[str, Detail] = {"run_id": run.run_id, "state": run.state}
    if run.problem is not None:
        return Check(
            "evolution", healthy=False, message="The newest run's record cannot be read.", details=details,
            error_type="not-readable", reason=run.problem,
        )  # fmt: skip
    if run.state == "failed":
        return Check(
            "evolution", healthy=False, message="The newest run failed.", details=details, error_type="failed", reason=run.error or ""
        )  # fmt: skip
    if run.state != "running":
        return Check("evolution", healthy=True, message=f"The newest run is {run.state}.", details=details)
    if run.alive is False:
        return Check(
            "evolution", healthy=False, message="The newest run's process ended without a word.", details=details, error_type="died"
        )  # fmt: skip
    seen = read()
    times = seen.times[np.isfinite(seen.times)]
    durations = seen.columns.get(str(catalogue.GENERATION_DURATION), np.diff(times))
    durations = durations[np.isfinite(durations)]
    last = float(times[-1]) if len(times) else run.started_at
    details["generations"] = len(seen)
    return _heartbeat(details, last, float(durations[-1]) if len(durations) else None)


def _of_metrics(prometheus: Prometheus) -> Check:
    active = {
        sample.labels.get("run_id", ""): sample.value
        for sample in prometheus.instant(str(catalogue.RUN_ACTIVE)).samples
    }
    if not active:
        return not_here("evolution", "No run is known.")
    going = [run_id for run_id, value in active.items() if value == 1]
    if not going:
        return Check(
            "evolution", healthy=True, message="No run is evolving now.", details={"runs": len(active)}
        )
    beats = {
        sample.labels.get("run_id", ""): sample.value
        for sample in prometheus.instant(str(catalogue.LAST_GENERATION)).samples
    }
    lengths = {
        sample.labels.get("run_id", ""): sample.value
        for sample in prometheus.instant(str(catalogue.GENERATION_DURATION)).samples
    }
    newest = max(going, key=lambda run_id: beats.get(run_id, 0.0))
    return _heartbeat({"run_id": newest, "state": "running"}, beats.get(newest), lengths.get(newest))


def _heartbeat(details: dict[str, Detail], last: float | None, duration: float | None) -> Check:
    if last is None:
        return Check(
            "evolution", healthy=True, message="The newest run has told no generation yet.", details=details
        )
    age = max(0.0, time.time() - last)
    details["last_generation_age_seconds"] = round(age, 1)
    limit = max(STALLED_SECONDS, STALLED_GENERATIONS * (duration or 0.0))
    if age > limit:
        return Check(
            "evolution", healthy=False, message=f"No generation for longer than {limit:.0f} s.", details=details, error_type="stalled"
        )  # fmt: skip
    return Check("evolution", healthy=True, message="The newest run evolves.", details=details)


def _newest(runs: RunsDirectory) -> RunRecord | None:
    return next(iter(runs.runs()), None)


def _is_late(group: Mapping[str, Any]) -> bool:
    """Evaluated longer ago than three of its intervals and a minute; a group that was never evaluated is new."""
    try:
        at = datetime.fromisoformat(str(group.get("lastEvaluation", "")))
    except ValueError:
        return False
    if at.tzinfo is None or at.year < 2000:  # Go's zero time: not evaluated yet
        return False
    return time.time() - at.timestamp() > 3 * float(group.get("interval") or 0) + 60
