"""A router that serves requests, a Prometheus that scrapes it, and alerts of it whose text is hostile."""

import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests import services

RULES = """
groups:
- name: pages
  rules:
  - {alert: Watchdog, expr: vector(1), labels: {severity: none}, annotations: {summary: always}}
  - alert: LowPopulationDiversity
    expr: max_over_time(evolution_diversity_score[1m]) < 0.1  # a scrape that a busy machine misses is no end
    labels: {severity: warning, component: evolution}
    annotations: {summary: 'Low population diversity: {{ $labels.run_id }}', runbook_url: 'javascript:alert(1)'}
  - alert: HighInferenceLatency
    expr: max_over_time(inference_latency_seconds_count[1m]) > 0
    for: 1h
    labels: {severity: critical, note: '<img src=x onerror=alert(1)> [a](javascript:alert(1)) :red[x]'}
    annotations: {summary: '<script>alert(1)</script> :material/bug_report: ![x](http://127.0.0.1:1/p.png)'}
"""

METRICS = """# TYPE inference_latency_seconds histogram
inference_latency_seconds_bucket{le="0.05"} %(fast)d
inference_latency_seconds_bucket{le="0.1"} %(good)d
inference_latency_seconds_bucket{le="+Inf"} %(all)d
inference_latency_seconds_sum %(all)d
inference_latency_seconds_count %(all)d
# TYPE inference_batch_size histogram
inference_batch_size_bucket{le="8"} %(all)d
inference_batch_size_bucket{le="+Inf"} %(all)d
inference_batch_size_sum %(samples)d
inference_batch_size_count %(all)d
evolution_diversity_score{run_id="r1"} 0.04
evolution_run_active{run_id="r1"} 1
cpu_utilization_percent 41
observer_failures_total{error_type="OSError"} 2
"""


class _Metrics(BaseHTTPRequestHandler):
    """/metrics of a router: every scrape finds ten requests more, six of them fast, three good and one slow."""

    scrapes = 0

    def do_GET(self) -> None:
        _Metrics.scrapes += 1
        n = _Metrics.scrapes
        body = (METRICS % {"fast": 6 * n, "good": 9 * n, "all": 10 * n, "samples": 80 * n}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a scrape is no event."""


@contextlib.contextmanager
def serving(directory: Path, **arguments: Any) -> Iterator[services.PrometheusService]:
    """Run both until the block ends; returns when there are requests, one firing and one pending alert.

    One target is up and one, of the job "gone", is not. Further arguments are those of `services.prometheus`.
    """
    with (
        services.http_server(_Metrics) as url,
        services.prometheus(
            directory,
            targets={"moe-router": url.removeprefix("http://"), "gone": "127.0.0.1:9"},
            rules=[RULES],
            **arguments,
        ) as server,
    ):
        server.wait_for("rate(inference_latency_seconds_count[2s]) > 0")
        server.wait_for('ALERTS{alertname="LowPopulationDiversity",alertstate="firing"}')
        server.wait_for('ALERTS{alertname="HighInferenceLatency",alertstate="pending"}')
        yield server
