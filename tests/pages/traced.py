"""What the tests of traces stand on: stores that answer with recordings, and a router that traces, scraped for real."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from dashboard.observer import Observer
from tests import services

RECORDINGS = Path(__file__).parents[1] / "recordings"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass
class Answers:
    """By the start of the path: (status, body); and what was asked."""

    url: str = ""
    by_path: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def stores() -> Iterator[Answers]:
    """Jaeger, Tempo and Loki under one URL. They know one trace; of any other Jaeger says that it is not found."""
    held = Answers()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            held.paths.append(self.path)
            status, body = next(
                (answer for start, answer in held.by_path.items() if self.path.startswith(start)),
                (404, b"404 page not found"),
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with services.http_server(Handler) as url:
        held.url = url
        for start, status, recording in (
            (f"/api/traces/{TRACE}", 200, "jaeger/trace.json"), ("/api/traces?", 200, "jaeger/search.json"),
            ("/api/traces/", 404, "jaeger/trace-not-found.json"), (f"/api/v2/traces/{TRACE}", 200, "tempo/trace.json"),
            ("/api/search", 200, "tempo/search.json"), ("/loki/api/v1/query_range", 200, "loki/query_range.json"),
        ):  # fmt: skip
            held.by_path[start] = status, (RECORDINGS / recording).read_bytes()
        yield held


@dataclass
class Traced:
    """A router that traces its requests, and the Prometheus that scrapes it and stores exemplars."""

    prometheus: services.PrometheusService
    events: Path

    def logged(self) -> set[str]:
        """Trace ids in its log."""
        lines = [json.loads(line) for line in self.events.read_text().splitlines()]
        return {line["trace_id"] for line in lines if "trace_id" in line}


@contextlib.contextmanager
def tracing(folder: Path) -> Iterator[Traced]:
    """Run an observer that sends its spans to a receiver, and serves requests until Prometheus has a rate of them."""

    class Collector(_Quiet):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with pytest.MonkeyPatch.context() as patch, services.http_server(Collector) as url:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        observer = Observer(port=0, runs_dir=folder / "runs")
        run = observer.run()
        with (
            observer,
            services.prometheus(
                folder / "prometheus", targets={"moe-router": f"127.0.0.1:{observer.port}"},
                flags=["--enable-feature=exemplar-storage"],
            ) as server,
        ):  # fmt: skip

            def served() -> bool:
                with observer.inference(batch_size=4):
                    sum(range(20_000))
                return bool(server.query("rate(inference_latency_seconds_count[2s]) > 0"))

            services.wait_until(served, 30, "requests in Prometheus")
            assert run.directory is not None
            yield Traced(server, run.directory / "events.jsonl")
