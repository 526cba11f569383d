"""What this process reads and writes, built once from the settings; opens and imports nothing until it is asked.

Knows no Streamlit: the command line and the tests use it too.
"""

import threading
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from collectors.unavailable import Unavailable
from dashboard import settings as configuration
from dashboard.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from collectors.alertmanager import Alertmanager
    from collectors.logs import Errors, LogIndex
    from collectors.prometheus import Prometheus
    from collectors.prometheus.answers import RawSeries
    from collectors.runs import RunsDirectory
    from dashboard.alerts.board import AlertBoard
    from dashboard.alerts.episodes import History
    from dashboard.alerts.past import Past
    from dashboard.alerts.reached import Reaches
    from dashboard.benchmark.hosts import Hosts
    from dashboard.benchmark.runs import Benchmarks
    from dashboard.feed import Feed, LogLines, Traces
    from dashboard.feed.source import Shared
    from dashboard.health import Health
    from dashboard.runbooks.questions import Found
    from dashboard.sampler import Sampler
    from dashboard.store import Store


@dataclass(frozen=True)
class Sources:
    """The one look that serves everyone: every session of this process shares these."""

    settings: Settings

    def build(self) -> None:
        """Build what all sessions share, before two of them ask for it at once."""
        for name in (
            "registry",
            "feed",
            "alerts",
            "past",
            "episodes",
            "reached",
            "answers",
            "benchmarks",
            "benchmark_hosts",
            "store",
        ):
            getattr(self, name)

    @cached_property
    def registry(self) -> "CollectorRegistry":
        """The dashboard about itself, and the last benchmark results: what /metrics shows."""
        from prometheus_client import CollectorRegistry, Gauge

        from dashboard import __version__
        from dashboard.benchmark.collector import BenchmarkCollector
        from dashboard.catalogue.monitoring import BUILD_INFO

        registry = CollectorRegistry()
        registry.register(BenchmarkCollector(self.benchmarks))
        Gauge(BUILD_INFO.name, BUILD_INFO.help, BUILD_INFO.labels, registry=registry).labels(__version__).set(
            1
        )
        return registry

    @cached_property
    def prometheus(self) -> "Prometheus | None":
        """The connection to Prometheus, or None where none is configured."""
        from collectors.prometheus import Prometheus

        chosen = self.settings
        if chosen.prometheus_url is None:
            return None
        certificate, key = chosen.prometheus_client_cert_file, chosen.prometheus_client_key_file
        return Prometheus(
            chosen.prometheus_url,
            username=chosen.prometheus_username,
            password=chosen.prometheus_password,
            bearer_token=chosen.prometheus_bearer_token,
            bearer_token_file=chosen.prometheus_bearer_token_file,
            headers=chosen.prometheus_headers,
            ca_file=chosen.prometheus_ca_file,
            client_cert=(certificate, key) if certificate and key else None,
            timeout_seconds=chosen.prometheus_timeout_seconds,
            gzip=chosen.prometheus_gzip,
        )

    @cached_property
    def alertmanagers(self) -> "tuple[Alertmanager, ...]":
        """Every configured replica."""
        from collectors.alertmanager import Alertmanager

        return tuple(Alertmanager(url) for url in self.settings.alertmanager_url)

    @cached_property
    def runs(self) -> "RunsDirectory | None":
        """The directory observers write, or None where none is configured."""
        from collectors.runs import RunsDirectory
        from dashboard.feed.axis import PARTS

        return RunsDirectory(self.settings.runs_dir, PARTS) if self.settings.runs_dir else None

    @cached_property
    def feed(self) -> "Feed":
        """From panel to frame."""
        from dashboard.feed import Feed

        chosen = self.settings
        return Feed(
            self.prometheus,
            self.runs,
            refresh_seconds=chosen.refresh_seconds,
            aliases=chosen.aliases,
            job=chosen.job,
            utilization_scale=chosen.utilization_scale,
            registry=self.registry,
        )

    @cached_property
    def episodes(self) -> "Shared[History]":
        """When alerts fired before, by window; asked anew after three refreshes."""
        from dashboard.feed.source import Shared

        return Shared(3 * self.settings.refresh_seconds, time.time, most=16)

    @cached_property
    def past(self) -> "Past | None":
        """What Prometheus recorded of alerts, or None where none is configured."""
        from dashboard.alerts.past import Past

        return Past(self.prometheus) if self.prometheus is not None else None

    @cached_property
    def answers(self) -> "Shared[Found]":
        """What questions of runbooks found, by question and words; asked anew after a refresh."""
        from dashboard.feed.source import Shared

        return Shared(self.settings.refresh_seconds, time.time, most=256)

    @cached_property
    def reached(self) -> "Shared[Reaches]":
        """What episodes reached, by the episodes on a page; asked anew after three refreshes."""
        from dashboard.feed.source import Shared

        return Shared(3 * self.settings.refresh_seconds, time.time, most=64)

    @cached_property
    def scraped(self) -> "Shared[tuple[RawSeries, ...]]":
        """What Prometheus scraped of machines lately, for a look beside the machine's own."""
        from dashboard.feed.source import Shared

        return Shared(3 * self.settings.refresh_seconds, time.time, most=4)

    @cached_property
    def log_index(self) -> "LogIndex":
        """Which parts of the log files hold which generations; grows with each search for one."""
        from collectors.logs import LogIndex

        return LogIndex()

    @cached_property
    def log_errors(self) -> "Shared[Errors]":
        """The errors of a filter by type: counting reads more than the last lines, and need not be done at each refresh."""
        from dashboard.feed.source import Shared

        return Shared(3 * self.settings.refresh_seconds, time.time, most=32)

    @cached_property
    def loki(self) -> "LogLines | None":
        """Log lines in Loki, or None where none is configured."""
        from collectors.loki import Loki
        from dashboard.feed import LogLines

        chosen = self.settings
        if chosen.loki_url is None:
            return None
        loki = Loki(chosen.loki_url, chosen.loki_selector, headers=chosen.loki_headers)
        return LogLines(loki, refresh_seconds=chosen.refresh_seconds)

    @cached_property
    def traces(self) -> "Traces | None":
        """Traces in Jaeger or Tempo, or None where neither is configured."""
        from collectors.traces import Jaeger, Tempo
        from dashboard.feed import Traces

        chosen = self.settings
        if chosen.trace_url is None:
            return None
        product = Tempo if chosen.trace_store == "tempo" else Jaeger
        store = product(chosen.trace_url, headers=chosen.trace_headers)
        return Traces(store, chosen.trace_service, refresh_seconds=chosen.refresh_seconds)

    @cached_property
    def sampler(self) -> "Sampler":
        """This machine, looked at once a second for the last hour; the server starts it."""
        from dashboard.sampler import Sampler

        return Sampler()

    @cached_property
    def store(self) -> "Store":
        """What people said."""
        from dashboard.store import Store

        return Store(self.settings.store_url or self.settings.data_dir / "store.sqlite")

    @cached_property
    def alerts(self) -> "AlertBoard":
        """The one list of alerts."""
        from dashboard.alerts.board import AlertBoard

        return AlertBoard(
            self.prometheus, self.alertmanagers, self.store, refresh_seconds=self.settings.refresh_seconds
        )

    @cached_property
    def benchmarks(self) -> "Benchmarks":
        """Benchmark runs, past and present."""
        from dashboard.benchmark.runs import Benchmarks

        return Benchmarks.of(self.settings)

    @cached_property
    def benchmark_hosts(self) -> "Hosts":
        """Benchmark runs of every host that shares the store; the server starts showing ours there."""
        from dashboard.benchmark.hosts import Hosts

        board = self.store.benchmarks if self.settings.store_url else None
        return Hosts(self.benchmarks, board, self.benchmark_devices)

    def benchmark_devices(self) -> dict[str, str]:
        """What a benchmark can be started on here: name for the starter → for people."""
        named = {"auto": "GPU if there is one, else CPU", "cpu": "CPU"}
        seen = self.sampler.latest
        if seen is not None and not isinstance(seen.gpus, Unavailable):
            named |= {gpu.uuid: f"GPU {gpu.gpu_id}: {gpu.name}" for gpu in seen.gpus if gpu.uuid}
        return named

    @cached_property
    def health(self) -> "Health":
        """The checks behind /livez, /readyz and /health."""
        from dashboard.health import Health

        return Health(
            self.settings,
            prometheus=self.prometheus,
            alertmanagers=self.alertmanagers,
            runs=self.runs,
            sampler=self.sampler,
            store=self.store,
            loki=self.loki,
            traces=self.traces,
            benchmarks=self.benchmarks,
        )


_current: list[Sources] = []
_guard = threading.Lock()


def current() -> Sources:
    """The sources of this process."""
    with _guard:
        if not _current:
            _current.append(Sources(configuration.current()))
        return _current[0]
