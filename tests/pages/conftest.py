"""Pages run as Streamlit runs them, in this process, over sources built from settings; a Prometheus that knows a router."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import settings as configuration
from dashboard import sources
from dashboard.settings import Settings
from dashboard.sources import Sources
from tests import services

OpenPage = Callable[..., AppTest]

RULES = """
groups:
- name: pages
  rules:
  - {alert: Watchdog, expr: vector(1), labels: {severity: none}, annotations: {summary: always}}
  - alert: LowPopulationDiversity
    expr: evolution_diversity_score < 0.1
    labels: {severity: warning, component: evolution}
    annotations: {summary: 'Low population diversity: {{ $labels.run_id }}', runbook_url: 'javascript:alert(1)'}
  - alert: HighInferenceLatency
    expr: inference_latency_seconds_count > 0
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


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[OpenPage]:
    """Open pages/NAME.py: keywords are settings, `query` the address; the page has run when it returns."""
    before = list(configuration._chosen), list(sources._current)

    def opened(name: str, *, query: dict[str, str] | None = None, **settings: object) -> AppTest:
        chosen = Settings(**{"data_dir": tmp_path / "data", "refresh_seconds": 1.0, **settings})  # type: ignore[arg-type]
        configuration.use(chosen)
        sources._current[:] = [Sources(chosen)]
        app = AppTest.from_function(_one_page, kwargs={"name": name}, default_timeout=30)
        for key, value in (query or {}).items():
            app.query_params[key] = value
        return app.run()

    yield opened
    for current in sources._current:
        if "feed" in current.__dict__:
            current.feed.close()
    configuration._chosen[:], sources._current[:] = before


def _one_page(name: str) -> None:
    """The site map with another start page, so that nothing else runs first. Streamlit runs this text, not the function."""
    import streamlit as st

    from dashboard.sitemap import ENTRIES, script

    pages = [st.Page(script(entry), title=entry.title, default=entry.script == name) for entry in ENTRIES]
    st.navigation(pages).run()


class _Router(BaseHTTPRequestHandler):
    """/metrics of a router: every scrape finds ten requests more, six of them fast, three good and one slow."""

    scrapes = 0

    def do_GET(self) -> None:
        _Router.scrapes += 1
        n = _Router.scrapes
        body = (METRICS % {"fast": 6 * n, "good": 9 * n, "all": 10 * n, "samples": 80 * n}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a scrape is no event."""


@pytest.fixture(scope="session")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.PrometheusService]:
    """A Prometheus that scrapes a router which serves requests, with alerts that fire and whose text is hostile."""
    with (
        services.http_server(_Router) as url,
        services.prometheus(
            tmp_path_factory.mktemp("pages") / "prometheus",
            targets={"moe-router": url.removeprefix("http://"), "gone": "127.0.0.1:9"},
            rules=[RULES],
        ) as server,
    ):
        server.wait_for("rate(inference_latency_seconds_count[2s]) > 0")
        server.wait_for('ALERTS{alertname="LowPopulationDiversity",alertstate="firing"}')
        server.wait_for('ALERTS{alertname="HighInferenceLatency",alertstate="pending"}')
        yield server
