"""An incident whose lines are in Loki: where no log file is, the report reads them there. Loki's answer is in its documented shape."""

import json
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from dashboard.feed import Window
from dashboard.ports import free_port
from dashboard.report.gather import of_range
from dashboard.settings import Settings
from dashboard.sources import Sources
from tests import services


def lines_of(settings: Settings):
    sources = Sources(settings)
    try:
        return of_range(sources, Window.parse("now-1h", "now")).lines
    finally:
        sources.feed.close()
        sources.store.close()


def test_an_incident_without_log_files_has_the_lines_that_loki_has(tmp_path: Path):
    now = time.time()
    said = [
        (now - 60, "GPU lost", "error"),
        (now - 90, "Batch halved", "warning"),
        (now - 7200, "Long ago", "info"),
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            values = [
                [str(int(at * 1e9)), json.dumps({"event": event, "level": level})]
                for at, event, level in said
            ]
            result = (
                [{"stream": {"job": "moe-router"}, "values": values}] if "/query_range" in self.path else []
            )
            body = json.dumps(
                {"status": "success", "data": {"resultType": "streams", "result": result}}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with services.http_server(Handler) as url:
        found = lines_of(Settings(data_dir=tmp_path, loki_url=url))
    assert [line.event for line in found.lines][:2] == ["GPU lost", "Batch halved"]
    assert "Long ago" not in {line.event for line in found.lines}
    assert found.unavailable is None


def test_a_loki_that_is_gone_is_said_and_is_not_an_empty_log(tmp_path: Path):
    found = lines_of(Settings(data_dir=tmp_path, loki_url=f"http://127.0.0.1:{free_port()}"))
    assert found.unavailable is not None
    assert found.unavailable.kind == "refused"
    assert not found.complete
