"""The last result of each target as `benchmark_*` metrics, for the dashboard's own /metrics."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dashboard.benchmark.runs import Benchmarks
from dashboard.catalogue.benchmark import LAST_RUN, LATENCY, THROUGHPUT


class BenchmarkCollector(Collector):
    """Reads the index at each scrape; nothing is exported of a target that never finished a run."""

    def __init__(self, benchmarks: Benchmarks) -> None:
        self._benchmarks = benchmarks

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names without a look at the disk."""
        return iter(self._families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The newest finished run of each target."""
        latency, throughput, last_run = self._families()
        seen = set()
        for summary in self._benchmarks.runs():  # newest first
            if summary.state != "done" or summary.target in seen:
                continue
            seen.add(summary.target)
            if summary.p50_seconds is not None:
                latency.add_metric([summary.target], summary.p50_seconds)
            if summary.samples_per_second is not None:
                throughput.add_metric([summary.target], summary.samples_per_second)
            if summary.ended_at is not None:
                last_run.add_metric([summary.target], summary.ended_at.timestamp())
        return iter((latency, throughput, last_run))

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        latency, throughput, last_run = (
            GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for metric in (LATENCY, THROUGHPUT, LAST_RUN)
        )
        return latency, throughput, last_run
