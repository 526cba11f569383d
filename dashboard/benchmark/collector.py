"""The last result of each target as `benchmark_*` metrics: on the dashboard's own /metrics, and pushed by batch runs."""

import socket
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, push_to_gateway
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dashboard.benchmark.index import RunSummary
from dashboard.benchmark.runs import Benchmarks
from dashboard.catalogue.benchmark import LAST_RUN, LATENCY, THROUGHPUT

JOB = "moe-benchmark"
PUSH_SECONDS = 5.0


class BenchmarkCollector(Collector):
    """Reads the index at each scrape; nothing is exported of a target that never finished a run."""

    def __init__(self, benchmarks: Benchmarks) -> None:
        self._benchmarks = benchmarks

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names without a look at the disk."""
        return iter(_families(()))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The newest finished run of each target."""
        return iter(_families(self._benchmarks.runs()))


def push(url: str, finished: RunSummary) -> None:
    """Push one finished run's result to a Pushgateway, in a group of its target and this host.

    Scrape the gateway with `honor_labels: true`.

    Raises:
        OSError: refused, timed out, or an HTTP error.
    """
    registry = CollectorRegistry()
    registry.register(_One(finished))
    key = {"instance": socket.gethostname(), "benchmark": finished.target}
    push_to_gateway(url, job=JOB, registry=registry, grouping_key=key, timeout=PUSH_SECONDS)


class _One(Collector):
    def __init__(self, finished: RunSummary) -> None:
        self._finished = finished

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return iter(_families([self._finished]))


def _families(newest_first: Iterable[RunSummary]) -> tuple[GaugeMetricFamily, ...]:
    latency, throughput, last_run = (
        GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for metric in (LATENCY, THROUGHPUT, LAST_RUN)
    )
    seen = set()
    for summary in newest_first:
        if summary.state != "done" or summary.target in seen:
            continue
        seen.add(summary.target)
        if summary.p50_seconds is not None:
            latency.add_metric([summary.target], summary.p50_seconds)
        if summary.samples_per_second is not None:
            throughput.add_metric([summary.target], summary.samples_per_second)
        if summary.ended_at is not None:
            last_run.add_metric([summary.target], summary.ended_at.timestamp())
    return latency, throughput, last_run
