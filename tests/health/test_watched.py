"""Health addresses of other services, watched: in /health, with history; Loki and the trace store among the checks."""

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from collectors.loki import Loki
from collectors.traces import Jaeger
from dashboard.feed import LogLines, Traces
from dashboard.health import Health
from dashboard.ports import free_port
from dashboard.settings import SettingError, Settings
from tests import services


def test_a_watched_service_is_a_check_of_its_own_with_history_and_its_words_stay_inside(tmp_path: Path):
    answers = [
        (200, b'{"status":"UP"}'),
        (503, b'{"checks":{"secret-disk":{"healthy":false}},"status":"DOWN"}'),
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with services.http_server(Handler) as url:
        settings = Settings(data_dir=tmp_path, health_urls={"router": f"{url}/health"})
        health = Health(settings, keep_seconds=0.0)
        first = {check.name: check for check in health.checks()}["watched:router"]
        del answers[0]
        status, said = health.report(verbose=True)
    assert (first.healthy, first.details["state"], first.details["http_status"]) == (True, "pass", 200)
    assert status == 503
    assert "watched:router" in said["failed_checks"]
    assert said["checks"]["watched:router"]["error_type"] == "unhealthy"
    assert "secret-disk" not in str(said), "what others say is for people inside"
    seen = [check for look in health.past() for check in look if check.name == "watched:router"]
    assert [(check.healthy, check.reason) for check in seen] == [(True, ""), (False, "secret-disk")]


def test_a_service_that_is_gone_fails_its_own_check_alone(tmp_path: Path):
    settings = Settings(data_dir=tmp_path, health_urls={"router": f"http://127.0.0.1:{free_port()}/health"})
    found = {check.name: check for check in Health(settings).checks()}
    assert (found["watched:router"].healthy, found["watched:router"].error_type) == (False, "refused")
    assert found["application"].healthy


def test_an_address_that_is_none_is_said_at_the_start():
    with pytest.raises(SettingError, match="health_urls"):
        Settings.load(environ={"MOE_DASHBOARD_HEALTH_URLS": "router=file:///etc/passwd"})


def test_loki_and_the_trace_store_are_asked_where_they_are_configured(tmp_path: Path):
    gone = f"http://127.0.0.1:{free_port()}"
    configured = Health(
        Settings(data_dir=tmp_path), loki=LogLines(Loki(gone, '{job="x"}')), traces=Traces(Jaeger(gone), "moe-router")
    )  # fmt: skip
    found = {check.name: check for check in configured.checks()}
    assert [(found[name].healthy, found[name].error_type) for name in ("loki", "traces")] == [
        (False, "refused"),
        (False, "refused"),
    ]
    absent = {check.name: check for check in Health(Settings(data_dir=tmp_path)).checks()}
    assert [(absent[name].healthy, absent[name].applies) for name in ("loki", "traces")] == [
        (True, False)
    ] * 2
