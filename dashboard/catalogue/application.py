"""Application: is the router's process there, and does what it says arrive? Rules that stand on several domains.

Declares no metric of its own. `$job` in an expression is the scrape job of the router, filled in when rules are exported.
"""

from dashboard.catalogue import joins
from dashboard.catalogue.evolution import GENERATION, RUN_ACTIVE
from dashboard.catalogue.inference import LATENCY
from dashboard.catalogue.spec import Alert

# alerts

_PAGE = "/health-checks"

DOWN = Alert(
    name="ApplicationDown",
    # Down, flapping in a crash loop, or gone from service discovery (where `up` vanishes and a plain == 0 resolves).
    # Finished is not down: a process whose last word was "not active" may go.
    when=f"""(
  (up{{job="$job"}} == 0 or avg_over_time(up{{job="$job"}}[5m]) < 0.5)
  unless on (job, instance)
    max by (job, instance) (last_over_time({RUN_ACTIVE}[1d])) == 0
)
or
(
  absent(up{{job="$job"}})
  unless on (job)
    max by (job) (last_over_time({RUN_ACTIVE}[1d])) == 0
)""",
    lasting="1m",
    severity="critical",
    component="application",
    summary="The router is down: {{ or $labels.instance `no target at all` }}",
    description="Prometheus has not reached the router ({{ or $labels.instance `no target at all` }}) for more than a minute, or reaches it less than half of the time.",
    page=_PAGE,
)
RESTARTING = Alert(
    name="ApplicationRestarting",
    when='changes(process_start_time_seconds{job="$job"}[15m]) >= 2',
    lasting="0s",
    severity="warning",
    component="application",
    summary="{{ $labels.instance }} restarted {{ $value }} times in 15 minutes",
    description="The router at {{ $labels.instance }} keeps restarting: a crash loop, the kernel out of memory, or a liveness probe that fails.",
    page=_PAGE,
)
METRICS_MISSING = Alert(
    name="MetricsMissing",
    when=f"""up{{job="$job"}} == 1
unless on (job, instance)
  ({GENERATION} or {LATENCY}_count)""",
    lasting="10m",
    severity="warning",
    component="application",
    summary="{{ $labels.instance }} exposes no router metrics",
    description="{{ $labels.instance }} answers the scrape, but says neither a generation nor an inference: it is not instrumented, or another program has its port.",
    page=_PAGE,
)
PUSHED = "push_time_seconds"  # of a Pushgateway: when a group was pushed last
PUSH_LATE_SECONDS = 600  # the observer pushes every 15 s
METRICS_LAGGING = Alert(
    name="MetricsLagging",
    # Old samples come by remote write, federation or own timestamps; a run that pushes carries its run_id on the group.
    when=f"""label_replace(max by (job, instance) (time() - timestamp({GENERATION})) > 90, "cause", "old samples", "", "")
or
label_replace(max_over_time(scrape_duration_seconds{{job="$job"}}[5m]) > 5, "cause", "slow scrape", "", "")
or
label_replace(
  (time() - {PUSHED}{{run_id!=""}}) > {PUSH_LATE_SECONDS}
  unless on ({joins.RUN}) {RUN_ACTIVE} == 0,
  "cause", "no push", "", "")""",
    lasting="2m",
    severity="warning",
    component="application",
    summary="Metrics of {{ $labels.job }}/{{ $labels.instance }} are late: {{ $labels.cause }}",
    description="{{ $labels.job }}/{{ $labels.instance }}: {{ $labels.cause }}, {{ $value | humanizeDuration }}. What the dashboard shows of it is old.",
    page=_PAGE,
)
ALERTS = (DOWN, RESTARTING, METRICS_MISSING, METRICS_LAGGING)
