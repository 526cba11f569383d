"""Benchmark: the last result of each configured benchmark, as metrics."""

from dashboard.catalogue.spec import Alert, Metric
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

# alerts

REGRESSION = Alert(
    name="BenchmarkRegression",
    # Against the median of the seven days before. `last_over_time`, because a nightly result is scraped rarely
    # and an instant selector sees only five minutes back.
    when=f"""label_replace(
  last_over_time({LATENCY}[1h])
    / quantile_over_time(0.5, {LATENCY}[7d] offset 1h) > 1.2,
  "metric", "latency", "", "")
or
label_replace(
  quantile_over_time(0.5, {THROUGHPUT}[7d] offset 1h)
    / last_over_time({THROUGHPUT}[1h]) > 1.2,
  "metric", "throughput", "", "")""",
    lasting="10m",
    severity="warning",
    component="benchmark",
    summary="Benchmark {{ $labels.benchmark }}: {{ $labels.metric }} is {{ $value | printf `%.2f` }} times worse than its 7-day median",
    description="The {{ $labels.metric }} of {{ $labels.benchmark }} on {{ $labels.instance }} is more than 20 % worse than the median of the seven days before.",
    page="/benchmark",
)
ALERTS = (REGRESSION,)
