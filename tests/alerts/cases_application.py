"""Stories of processes and of the alerting itself."""

from tests.alerts.story import ROUTER, RUN, Case, histogram, run

_UP = f"up{{{ROUTER}}}"
_APPLICATION = (
    Case(
        "ApplicationDown",
        "the target does not answer",
        {_UP: "1x5 0x10"},
        fires_at="8m",
        says=("The router is down: router:9100", "Prometheus has not reached the router (router:9100) for more than a minute, or reaches it less than half of the time."),
    ),
    Case(
        "ApplicationDown",
        "gone from service discovery",
        {'up{job="other",instance="x"}': "1x20"},
        fires_at="5m",
        says=("The router is down: no target at all", "Prometheus has not reached the router (no target at all) for more than a minute, or reaches it less than half of the time."),
    ),
    Case("ApplicationDown", "crash loop: up in one scrape of four", {_UP: "1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0"}, fires_at="14m"),
    Case("ApplicationDown", "up", {_UP: "1x30"}, until="30m"),
    Case("ApplicationDown", "restart: one scrape is lost", {_UP: "1 1 1 1 1 0 1 1 1 1 1"}, until="10m"),
    Case("ApplicationDown", "finished run: the process ends after it said so", {_UP: "1x10 0x30", f"evolution_run_active{{{RUN}}}": "1x8 0 0 _x30"}, until="40m"),
    Case("ApplicationDown", "start: the first scrape is lost", {_UP: "0 1 1 1 1 1"}, until="5m"),
    Case(
        "ApplicationRestarting",
        "three starts in ten minutes",
        {f"process_start_time_seconds{{{ROUTER}}}": "10 10 200 200 400 400 400 400"},
        fires_at="7m",
        says=("router:9100 restarted 2 times in 15 minutes", "The router at router:9100 keeps restarting: a crash loop, the kernel out of memory, or a liveness probe that fails."),
    ),
    Case("ApplicationRestarting", "one restart", {f"process_start_time_seconds{{{ROUTER}}}": "10x10 700x20"}, until="30m"),
    Case("ApplicationRestarting", "start, finished run: it comes and goes once", {f"process_start_time_seconds{{{ROUTER}}}": "_x5 10x10 _x10"}, until="25m"),
    Case(
        "MetricsMissing",
        "the target answers with somebody else's metrics",
        {_UP: "1x30", f"scrape_samples_scraped{{{ROUTER}}}": "8x30"},
        fires_at="15m",
        says=("router:9100 exposes no router metrics", "router:9100 answers the scrape, but says neither a generation nor an inference: it is not instrumented, or another program has its port."),
    ),
    Case("MetricsMissing", "it evolves", {_UP: "1x30", **run()}, until="30m"),
    Case("MetricsMissing", "no traffic: it serves, nobody asks", {_UP: "1x30", **histogram(ROUTER, 0, 0, 30)}, until="30m"),
    Case("MetricsMissing", "start, restart: nothing is said for five minutes", {_UP: "1x40", f"evolution_generation_current{{{RUN}}}": "_x5 1+1x10 _x5 1+1x20"}, until="40m"),
    Case("MetricsMissing", "finished run: the process is gone", {_UP: "1x5 0x20"}, until="25m"),
    Case(
        "MetricsLagging",
        "the newest sample is two minutes old and more",
        {f"evolution_generation_current{{{RUN}}}": "0 1"},
        interval="1m",
        fires_at="5m",
        labels=(("cause", "old samples"),),
        says=("Metrics of moe-router/router:9100 are late: old samples", "moe-router/router:9100: old samples, 4m 0s. What the dashboard shows of it is old."),
    ),
    Case("MetricsLagging", "a scrape takes eight seconds", {f"scrape_duration_seconds{{{ROUTER}}}": "8x20", **run()}, fires_at="5m"),
    Case("MetricsLagging", "nothing was pushed for an hour", {f"push_time_seconds{{{RUN}}}": "0x90"}, fires_at="1h"),
    Case("MetricsLagging", "finished run: what it pushed stays", {f"push_time_seconds{{{RUN}}}": "0x90", f"evolution_run_active{{{RUN}}}": "0x90"}, until="90m"),
    Case("MetricsLagging", "start, restart: scraped in time", {f"scrape_duration_seconds{{{ROUTER}}}": "0.01x30", **run()}, until="30m"),
)  # fmt: skip

_PIPELINE = (
    Case(
        "AlertingPipelineBroken",
        "Prometheus knows no Alertmanager",
        {'prometheus_notifications_alertmanagers_discovered{job="prometheus",instance="p:9090"}': "0x10"},
        fires_at="8m",
        labels=(("cause", "Prometheus knows no Alertmanager"),),
        says=("Alerting is broken: Prometheus knows no Alertmanager (p:9090)", "On p:9090: Prometheus knows no Alertmanager. Other alerts may not reach anybody."),
    ),
    Case("AlertingPipelineBroken", "rules fail", {'prometheus_rule_evaluation_failures_total{job="prometheus",instance="p:9090"}': "0+1x20"}, fires_at="10m"),
    Case("AlertingPipelineBroken", "notifications are dropped", {'prometheus_notifications_dropped_total{job="prometheus",instance="p:9090"}': "0+1x20"}, fires_at="10m"),
    Case("AlertingPipelineBroken", "a receiver refuses", {'alertmanager_notifications_failed_total{job="alertmanager",instance="a:9093",integration="webhook"}': "0+1x20"}, fires_at="10m"),
    Case(
        "AlertingPipelineBroken",
        "start, restart: the counters begin again, and one Alertmanager is known",
        {
            'prometheus_notifications_alertmanagers_discovered{job="prometheus",instance="p:9090"}': "1x30",
            'prometheus_rule_evaluation_failures_total{job="prometheus",instance="p:9090"}': "5x10 0x20",
        },
        until="30m",
    ),
    Case("Watchdog", "always", {}, fires_at="1m", says=("Alerting works", "Always fires, on purpose: where it is missing, alerts do not arrive. Send it to a dead man's switch.")),
)  # fmt: skip

CASES = (
    *_APPLICATION,
    *_PIPELINE,
)
