"""Monitoring: is the monitoring itself sound? The dashboard about itself, and what Prometheus says of its targets."""

from dashboard.catalogue.spec import Alert, Metric, Panel, Series
from dashboard.catalogue.units import COUNT, NUMBER, SECONDS, TOTAL

QUERIES = Metric(
    "dashboard_queries_total", "counter", TOTAL, "Queries sent to Prometheus by the dashboard, by outcome", ("outcome",),
    reason="the dashboard about itself",
)  # fmt: skip
QUERY_SECONDS = Metric(
    "dashboard_query_duration_seconds", "histogram", SECONDS, "Time a query to Prometheus took",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0), reason="the dashboard about itself",
)  # fmt: skip
CACHE_HITS = Metric(
    "dashboard_cache_hits_total",
    "counter",
    TOTAL,
    "Questions answered from what was already known",
    reason="the dashboard about itself",
)
SESSIONS = Metric(
    "dashboard_sessions",
    "gauge",
    COUNT,
    "Browser sessions connected to the dashboard",
    reason="the dashboard about itself",
)
BUILD_INFO = Metric(
    "dashboard_build_info", "gauge", NUMBER, "Always 1; the dashboard's version in the label", ("version",),
    reason="the dashboard about itself",
)  # fmt: skip
OBSERVER_FAILURES = Metric(
    "observer_failures_total", "counter", TOTAL, "Errors the observer swallowed instead of raising into the loop it watches",
    ("error_type",), reason="an observer that fails silently would look like a run that stands still",
)  # fmt: skip

METRICS = (QUERIES, QUERY_SECONDS, CACHE_HITS, SESSIONS, BUILD_INFO, OBSERVER_FAILURES)

# Other programs' series that queries may name although no catalogue domain declares them: Prometheus and its family,
# and what dcgm-exporter and node_exporter say where a fleet runs those.
FOREIGN = (
    "up", "ALERTS", "ALERTS_FOR_STATE", "scrape_duration_seconds", "scrape_samples_scraped", "process_start_time_seconds",
    "push_time_seconds", "prometheus_rule_evaluation_failures_total", "prometheus_notifications_alertmanagers_discovered",
    "prometheus_notifications_dropped_total", "alertmanager_notifications_failed_total",
    "node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_filesystem_readonly",
    "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_EXP_CLOCK_EVENTS_COUNT",
    "DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_ROW_REMAP_FAILURE",
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
)  # fmt: skip

TARGETS = Panel(
    key="targets-up",
    title="Scrape targets",
    why="1 is answered, 0 is not. A target that vanishes from the chart was removed from the configuration.",
    unit=NUMBER,
    series=(Series("{job} {instance}", "up"),),
    chart="steps",
    empty="Prometheus has no scrape targets in this window.",
    floor_zero=True,
)
SCRAPE_SECONDS = Panel(
    key="scrape-duration",
    title="Scrape duration",
    why="A scrape near its timeout loses samples.",
    unit=SECONDS,
    series=(Series("{job} {instance}", "scrape_duration_seconds"),),
    empty="Prometheus has no scrape targets in this window.",
    floor_zero=True,
)
PANELS = (TARGETS, SCRAPE_SECONDS)

# alerts

PIPELINE_BROKEN = Alert(
    name="AlertingPipelineBroken",
    when="""label_replace(increase(prometheus_rule_evaluation_failures_total[5m]) > 0, "cause", "rules fail to evaluate", "", "")
or
label_replace(prometheus_notifications_alertmanagers_discovered < 1, "cause", "Prometheus knows no Alertmanager", "", "")
or
label_replace(rate(prometheus_notifications_dropped_total[5m]) > 0, "cause", "notifications are dropped", "", "")
or
label_replace(rate(alertmanager_notifications_failed_total[5m]) > 0, "cause", "a receiver refuses notifications", "", "")""",
    lasting="5m",
    severity="critical",
    component="monitoring",
    summary="Alerting is broken: {{ $labels.cause }} ({{ $labels.instance }})",
    description="On {{ $labels.instance }}: {{ $labels.cause }}. Other alerts may not reach anybody.",
    page="/health-checks",
)
WATCHDOG = Alert(
    name="Watchdog",
    when="vector(1)",
    lasting="0s",
    severity="none",
    component="monitoring",
    summary="Alerting works",
    description="Always fires, on purpose: where it is missing, alerts do not arrive. Send it to a dead man's switch.",
    page="/health-checks",
)
ALERTS = (PIPELINE_BROKEN, WATCHDOG)
