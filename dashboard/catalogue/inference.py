"""Inference: how long a request takes, and how many there are."""

from dashboard.catalogue import joins
from dashboard.catalogue.spec import Alert, Metric, Panel, Recording, Series, Severity
from dashboard.catalogue.units import COUNT, NUMBER, PER_SECOND, RATIO, SAMPLES_PER_SECOND, SECONDS, TOTAL

LATENCY = Metric(
    "inference_latency_seconds", "histogram", SECONDS, "Inference latency in seconds",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0), guide=True,
)  # fmt: skip
THROUGHPUT = Metric(
    "inference_throughput_samples",
    "gauge",
    SAMPLES_PER_SECOND,
    "Inference throughput (samples/sec)",
    guide=True,
)
BATCH_SIZE = Metric(
    "inference_batch_size", "histogram", COUNT, "Inference batch size",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096), guide=True,
)  # fmt: skip
REQUESTS = Metric(
    "inference_requests_total", "counter", TOTAL, "Inference requests by outcome: ok or error", ("outcome",),
    reason="errors beside latency",
)  # fmt: skip

METRICS = (LATENCY, THROUGHPUT, BATCH_SIZE, REQUESTS)

# The latency objective of the rules: a bucket bound, so the share is exact and not interpolated.
OBJECTIVE_SECONDS = 0.1


def latency_quantile(q: float, by: str = "") -> str:
    """PromQL for one quantile of recent requests over all replicas; `le` must survive the sum.

    Source of the form: Prometheus documentation, "histogram_quantile": rate first, then sum by (le), then the quantile.
    """
    labels = f"le, {by}" if by else "le"
    return (
        f'histogram_quantile({q}, sum by ({labels}) (rate({LATENCY}_bucket{{instance=~"$instance"}}[$rate])))'
    )


PERCENTILES = Panel(
    key="latency-percentiles",
    title="Latency percentiles",
    why="p99 leaving p50 behind is queueing. All three rising together is a slower model or a busy machine.",
    unit=SECONDS,
    series=tuple(Series(f"p{round(100 * q)}", latency_quantile(q)) for q in (0.50, 0.95, 0.99)),
    thresholds=((OBJECTIVE_SECONDS, "objective"),),
    empty="No requests in this window.",
    floor_zero=True,
    exemplars=True,
)
REQUEST_RATE = Panel(
    key="request-rate",
    title="Requests",
    why="Counted by the server, by outcome. Errors are requests too: a fast error is not a good request.",
    unit=PER_SECOND,
    series=(Series("{outcome}", f'sum by (outcome) (rate({REQUESTS}{{instance=~"$instance"}}[$rate]))'),),
    empty="No requests in this window.",
    floor_zero=True,
)
THROUGHPUT_PANEL = Panel(
    key="throughput",
    title="Throughput",
    why="What the router reports, beside requests × mean batch size from its own histograms. Two ways that disagree mean one of them is wrong.",
    unit=SAMPLES_PER_SECOND,
    series=(
        Series("reported", f'sum({THROUGHPUT}{{instance=~"$instance"}})'),
        Series("counted", f'sum(rate({BATCH_SIZE}_sum{{instance=~"$instance"}}[$rate]))'),
    ),
    empty="No requests in this window.",
    floor_zero=True,
)
WITHIN_OBJECTIVE = Panel(
    key="share-within-objective",
    title="Share of requests within the objective",
    why="Exact, from the bucket bound at 100 ms: no interpolation, unlike a percentile.",
    unit=RATIO,
    series=(
        Series(
            "within 100 ms",
            f'sum(rate({LATENCY}_bucket{{le=~"0.1|0.10",instance=~"$instance"}}[$rate])) / sum(rate({LATENCY}_count{{instance=~"$instance"}}[$rate]))',
        ),
    ),
    thresholds=((0.99, "target"),),
    empty="No requests in this window.",
)
BATCHES = Panel(
    key="batch-size",
    title="Batch size",
    why="Mean and 95th percentile. Latency that follows batch size is load, not a regression.",
    unit=NUMBER,
    series=(
        Series(
            "mean",
            f'sum(rate({BATCH_SIZE}_sum{{instance=~"$instance"}}[$rate])) / sum(rate({BATCH_SIZE}_count{{instance=~"$instance"}}[$rate]))',
        ),
        Series(
            "p95",
            f'histogram_quantile(0.95, sum by (le) (rate({BATCH_SIZE}_bucket{{instance=~"$instance"}}[$rate])))',
        ),
    ),
    empty="No requests in this window.",
    floor_zero=True,
)

PANELS = (PERCENTILES, WITHIN_OBJECTIVE, THROUGHPUT_PANEL, REQUEST_RATE, BATCHES)

SLOW_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
SLOW = {
    window: Recording(
        f"moe:inference_slow:ratio_rate{window}",
        f'1 - sum by (job) (rate({LATENCY}_bucket{{le="0.1"}}[{window}])) / sum by (job) (rate({LATENCY}_count[{window}]))',
        f"Share of requests slower than 100 ms over {window}",
    )
    for window in SLOW_WINDOWS
}

# alerts

SERVING = Recording(
    joins.SERVING,
    f"group by ({joins.RUN}) (rate({LATENCY}_count[5m]) > 0)",
    "1 for every process that answers requests",
)
RECORDINGS = (*SLOW.values(), SERVING)

# The objective behind the burn rates: this share of requests within OBJECTIVE_SECONDS, over 30 days.
OBJECTIVE_RATIO = 0.99
_BUDGET = round(1 - OBJECTIVE_RATIO, 6)

HIGH_LATENCY = Alert(
    name="HighInferenceLatency",
    # 0.1/s is 30 requests in the five minutes; under that one slow request would page somebody.
    when=f"""histogram_quantile(0.95,
  sum by ({joins.RUN}, le) (rate({LATENCY}_bucket[5m]))
) > {OBJECTIVE_SECONDS}
and on ({joins.RUN})
  sum by ({joins.RUN}) (rate({LATENCY}_count[5m])) >= 0.1""",
    lasting="1m",
    severity="critical",
    component="inference",
    summary="Inference is slow on {{ $labels.instance }}",
    description="Of the last 5 minutes' requests, one in 20 took longer than {{ $value | humanizeDuration }}; the objective is 100 ms.",
    page="/inference?instance={{ $labels.instance | urlquery }}",
)


def _burn(factor: float, long: str, short: str, lasting: str, severity: Severity) -> Alert:
    """One window pair of the error budget's burn rate (Google SRE workbook, chapter 5, table 5-8)."""
    budget = f"({factor:g} * {_BUDGET:g})"
    return Alert(
        name="InferenceLatencySLOBurn",
        when=f"""{SLOW[long]} > {budget}
and {SLOW[short]} > {budget}
and on (job) sum by (job) (increase({LATENCY}_count[{long}])) >= 100""",
        lasting=lasting,
        severity=severity,
        component="inference",
        summary="The latency objective of {{ $labels.job }} spends its error budget too fast",
        description="{{ $value | humanizePercentage }} of the requests of {{ $labels.job }} over "
        + long
        + " took longer than 100 ms; the objective (99 % within 100 ms over 30 days) allows 1 %.",
        page="/inference",
        labels=(("slo", "latency"), ("window", long)),
    )


LATENCY_BURNS = (
    _burn(14.4, "1h", "5m", "1m", "critical"),
    _burn(6, "6h", "30m", "5m", "critical"),
    _burn(3, "1d", "2h", "15m", "warning"),
    _burn(1, "3d", "6h", "30m", "warning"),
)
ALERTS = (HIGH_LATENCY, *LATENCY_BURNS)
