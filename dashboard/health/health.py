"""All checks of this server together, asked in parallel and remembered for a few seconds; the guide's JSON of them.

Liveness looks at nothing: that the process answers is the answer. Readiness is the server's own. Neither depends on
Prometheus, a GPU or a disk: their failure must show a page, not take the dashboard away.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from collectors.prometheus import Prometheus
from collectors.runs import RunsDirectory
from dashboard import __version__
from dashboard.feed import LogLines, Traces
from dashboard.health import benchmarks as benchmarking
from dashboard.health import machine, pushes, sources
from dashboard.health.check import Check, Probe
from dashboard.sampler import Sampler
from dashboard.settings import Settings

Answer = tuple[int, dict[str, Any]]
WATCHED = "watched:"  # before the name of a health address of somebody else's
PAST_SECONDS = 3600.0  # how long what was found is remembered


class Health:
    """The checks of one server. Safe to share between threads; however many ask, each check runs once in five seconds.

    Args:
        prometheus, runs, store: None where not configured: the check then says so and is no fault.
        store: anything with `probe()`, which writes, takes it back and raises when it cannot.
        alertmanagers: anything with `status()`.
        timeout_seconds: for each check by itself; they run side by side.
        keep_seconds: how long an answer holds, so that a storm of probes is no storm of queries.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        prometheus: Prometheus | None = None,
        alertmanagers: Sequence[sources.Alertmanager] = (),
        runs: RunsDirectory | None = None,
        sampler: Sampler | None = None,
        store: machine.Store | None = None,
        benchmarks: benchmarking.Runs | None = None,
        loki: LogLines | None = None,
        traces: Traces | None = None,
        timeout_seconds: float = 3.0,
        keep_seconds: float = 5.0,
    ) -> None:
        """Prepare; nothing is asked yet."""
        self._keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._known: tuple[Check, ...] = ()
        self._known_until = 0.0
        self._past: deque[tuple[Check, ...]] = deque(maxlen=round(PAST_SECONDS / max(1.0, keep_seconds)))
        # The guide's six first, in its order, then what belongs to monitoring itself.
        asked: dict[str, Callable[[], Check]] = {
            "application": machine.Application(),
            "database": lambda: machine.database(store),
            "gpu": lambda: machine.gpu(sampler),
            "memory": machine.memory,
            "disk": lambda: machine.disk(settings),
            "evolution": lambda: sources.evolution(runs, prometheus),
            "prometheus": lambda: sources.reachable(prometheus),
            "scrape": lambda: sources.scrape(prometheus, settings.job),
            "pushes": lambda: pushes.stale(prometheus),
            "rules": lambda: sources.rules(prometheus),
            "alertmanager": lambda: sources.alertmanager(alertmanagers),
            "clock_skew": lambda: sources.clock_skew(prometheus),
            "sampler": lambda: machine.sampling(sampler),
            "log": lambda: sources.log(settings, runs),
            "benchmarks": lambda: benchmarking.under_way(benchmarks),
            "loki": lambda: sources.lines(loki),
            "traces": lambda: sources.traces(traces),
        }
        for name, url in settings.health_urls.items():
            asked[f"{WATCHED}{name}"] = partial(_watched, f"{WATCHED}{name}", url, timeout_seconds)
        self._probes = tuple(Probe(name, ask, timeout_seconds) for name, ask in asked.items())

    def live(self) -> Answer:
        """The process answers; restarting it would help nobody who is not helped already."""
        return 200, {"status": "healthy", "timestamp": _now(), "version": __version__}

    def ready(self, hindrance: str | None = None) -> Answer:
        """Whether users should be sent here; `hindrance` is why the server cannot serve them, in words."""
        if hindrance is None:
            return 200, {"status": "healthy", "timestamp": _now(), "version": __version__}
        return 503, {
            "status": "unhealthy",
            "timestamp": _now(),
            "version": __version__,
            "message": hindrance,
        }

    def checks(self) -> tuple[Check, ...]:
        """Every check's answer, at most `keep_seconds` old."""
        with self._lock:  # those who come meanwhile wait for this answer instead of asking again
            if not self._known or time.monotonic() >= self._known_until:
                for probe in self._probes:
                    probe.begin()
                self._known = tuple(probe.end() for probe in self._probes)
                self._known_until = time.monotonic() + self._keep_seconds
                self._past.append(self._known)
            return self._known

    def past(self) -> tuple[tuple[Check, ...], ...]:
        """What each look of the last hour found, oldest first. Nobody looks while nobody asks: gaps are gaps."""
        with self._lock:
            oldest = time.time() - PAST_SECONDS
            while self._past and max(check.checked_at for check in self._past[0]) < oldest:
                self._past.popleft()
            return tuple(self._past)

    def report(self, *, verbose: bool = False) -> Answer:
        """HTTP status and the guide's JSON: 200 and healthy, or 503 and unhealthy with the names that failed.

        `verbose` adds to each check how long it took, whether it applies here, and what to do.
        """
        checks = self.checks()
        failed = [check.name for check in checks if not check.healthy]
        said: dict[str, Any] = {
            "status": "unhealthy" if failed else "healthy",
            "timestamp": _now(),
            "version": __version__,
            "checks": {check.name: _said(check, verbose=verbose) for check in checks},
        }
        if failed:
            said["failed_checks"] = failed
        return (503 if failed else 200), said


def _watched(name: str, url: str, timeout_seconds: float) -> Check:
    return replace(sources.watched(url, timeout_seconds * 0.9), name=name)


def _said(check: Check, *, verbose: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"healthy": check.healthy, "message": check.message, **check.details}
    if check.error_type is not None:
        said["error_type"] = check.error_type
    if verbose:
        said |= {"applies": check.applies, "seconds": round(check.seconds, 4), "advice": check.advice}
        said["checked_at"] = datetime.fromtimestamp(check.checked_at, UTC).isoformat()
    return said


def _now() -> str:
    return datetime.now(UTC).isoformat()
