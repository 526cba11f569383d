"""Benchmark: the last result of each configured benchmark, as metrics."""

from dashboard.catalogue.spec import Metric
from dashboard.catalogue.units import SAMPLES_PER_SECOND, SECONDS, TIMESTAMP

LABELS = ("benchmark",)

LATENCY = Metric(
    "benchmark_latency_seconds", "gauge", SECONDS, "Median latency of the last run of the benchmark", LABELS,
    reason="a regression can be alerted on",
)  # fmt: skip
THROUGHPUT = Metric(
    "benchmark_throughput_samples_per_second", "gauge", SAMPLES_PER_SECOND, "Throughput of the last run of the benchmark", LABELS,
    reason="a regression can be alerted on",
)  # fmt: skip
LAST_RUN = Metric(
    "benchmark_last_run_timestamp_seconds", "gauge", TIMESTAMP, "Unix time at which the last run of the benchmark ended", LABELS,
    reason="an old result is not a good result",
)  # fmt: skip

METRICS = (LATENCY, THROUGHPUT, LAST_RUN)
