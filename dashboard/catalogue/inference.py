"""Inference: how long a request takes, and how many there are."""

from dashboard.catalogue import joins
from dashboard.catalogue.objective import Objective
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

BOUNDS = LATENCY.buckets
OBJECTIVE = Objective.among(0.1, 0.99, BOUNDS)  # the guide's; the settings may say another


def latency_quantile(q: float, by: str = "") -> str:
    """PromQL for one quantile of recent requests over all replicas; `le` must survive the sum.

    Source of the form: Prometheus documentation, "histogram_quantile": rate first, then sum by (le), then the quantile.
    """
    labels = f"le, {by}" if by else "le"
    return (
        f'histogram_quantile({q}, sum by ({labels}) (rate({LATENCY}_bucket{{instance=~"$instance"}}[$rate])))'
    )


def percentiles(objective: Objective) -> Panel:
    """p50, p95 and p99 of all requests, with the objective as a line."""
    return Panel(
        key="latency-percentiles",
        title="Latency percentiles",
        why="p99 leaving p50 behind is queueing. All three rising together is a slower model or a busy machine.",
        unit=SECONDS,
        series=tuple(Series(f"p{round(100 * q)}", latency_quantile(q)) for q in (0.50, 0.95, 0.99)),
        thresholds=((objective.seconds, "objective"),),
        empty="No requests in this window.",
        floor_zero=True,
        exemplars=True,
    )


def within(objective: Objective) -> Panel:
    """The share of requests that keeps the objective."""
    slots = f'le=~"{objective.le}",instance=~"$instance"'
    measured = SECONDS.format(objective.bound)
    return Panel(
        key="share-within-objective",
        title="Share of requests within the objective",
        why=f"Exact, from the bucket bound at {measured}: no interpolation, unlike a percentile. {objective.moved}".strip(),
        unit=RATIO,
        series=(
            Series(
                f"within {measured}",
                f'sum(rate({LATENCY}_bucket{{{slots}}}[$rate])) / sum(rate({LATENCY}_count{{instance=~"$instance"}}[$rate]))',
            ),
        ),
        thresholds=((objective.ratio, "target"),),
        empty="No requests in this window.",
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


def panels(objective: Objective) -> tuple[Panel, ...]:
    """The panels for an objective of somebody's own."""
    return (percentiles(objective), within(objective), THROUGHPUT_PANEL, REQUEST_RATE, BATCHES)


PANELS = panels(OBJECTIVE)
PERCENTILES = PANELS[0]

SLOW_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def slow(objective: Objective) -> dict[str, Recording]:
    """The share of requests slower than the objective, by window."""
    return {
        window: Recording(
            f"moe:inference_slow:ratio_rate{window}",
            f'1 - sum by (job) (rate({LATENCY}_bucket{{le=~"{objective.le}"}}[{window}])) / sum by (job) (rate({LATENCY}_count[{window}]))',
            f"Share of requests slower than {SECONDS.format(objective.bound)} over {window}",
        )
        for window in SLOW_WINDOWS
    }


SLOW = slow(OBJECTIVE)

# alerts

SERVING = Recording(
    joins.SERVING,
    f"group by ({joins.RUN}) (rate({LATENCY}_count[5m]) > 0)",
    "1 for every process that answers requests",
)


def recordings(objective: Objective) -> tuple[Recording, ...]:
    """What the alerts stand on."""
    return (*slow(objective).values(), SERVING)


RECORDINGS = recordings(OBJECTIVE)


def high_latency(objective: Objective) -> Alert:
    """One in twenty requests is slower than the objective: exact, because the bound is one of the histogram's."""
    return Alert(
        name="HighInferenceLatency",
        # 0.1/s is 30 requests in the five minutes; under that one slow request would page somebody.
        when=f"""histogram_quantile(0.95,
  sum by ({joins.RUN}, le) (rate({LATENCY}_bucket[5m]))
) > {objective.bound:g}
and on ({joins.RUN})
  sum by ({joins.RUN}) (rate({LATENCY}_count[5m])) >= 0.1""",
        lasting="1m",
        severity="critical",
        component="inference",
        summary="Inference is slow on {{ $labels.instance }}",
        description="Of the last 5 minutes' requests, one in 20 took longer than {{ $value | humanizeDuration }}; "
        f"the objective is {SECONDS.format(objective.bound)}."
        + (f" {objective.moved}" if objective.moved else ""),
        page="/inference?instance={{ $labels.instance | urlquery }}",
    )


def _burn(
    objective: Objective, factor: float, long: str, short: str, lasting: str, severity: Severity
) -> Alert:
    """One window pair of the error budget's burn rate (Google SRE workbook, chapter 5, table 5-8)."""
    spent = f"({factor:g} * {objective.budget:.9g})"
    return Alert(
        name="InferenceLatencySLOBurn",
        when=f"""{SLOW[long]} > {spent}
and {SLOW[short]} > {spent}
and on (job) sum by (job) (increase({LATENCY}_count[{long}])) >= 100""",
        lasting=lasting,
        severity=severity,
        component="inference",
        summary="The latency objective of {{ $labels.job }} spends its error budget too fast",
        description="{{ $value | humanizePercentage }} of the requests of {{ $labels.job }} over "
        f"{long} took longer than {SECONDS.format(objective.bound)}; "
        f"the objective ({objective.words} over 30 days) allows {100 * objective.budget:.6g} %."
        + (f" {objective.moved}" if objective.moved else ""),
        page="/inference",
        labels=(("slo", "latency"), ("window", long)),
    )


BURNS: tuple[tuple[float, str, str, str, Severity], ...] = (
    (14.4, "1h", "5m", "1m", "critical"),
    (6, "6h", "30m", "5m", "critical"),
    (3, "1d", "2h", "15m", "warning"),
    (1, "3d", "6h", "30m", "warning"),
)


def burns(objective: Objective) -> tuple[Alert, ...]:
    """A pair of windows for each speed; those that no share of requests could reach (more than all of them) are left out."""
    return tuple(_burn(objective, *pair) for pair in BURNS if objective.threshold(pair[0]) < 1)


def alerts(objective: Objective) -> tuple[Alert, ...]:
    """The alerts for an objective of somebody's own."""
    return (high_latency(objective), *burns(objective))


HIGH_LATENCY, LATENCY_BURNS = high_latency(OBJECTIVE), burns(OBJECTIVE)
ALERTS = (HIGH_LATENCY, *LATENCY_BURNS)
