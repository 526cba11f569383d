"""Real Prometheus, Alertmanager, Pushgateway, scrape targets and dashboards for the tests, on free loopback ports.

Each is a context manager that returns when the service answers and leaves no process behind, not even when
the test run itself is killed. A program that is not installed is a skip with its reason on a developer's
machine and a failure where CI=true.
"""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard.ports import free_port, port_is_free
from dashboard.processes import Child

ROOT = Path(__file__).resolve().parents[1]

DEBIAN = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "prometheus-pushgateway": "prometheus-pushgateway",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "victoria-metrics": "victoria-metrics",
    "chromium": "chromium",
}


def program(name: str) -> str:
    """The path of an installed program; where it is missing the test skips, or fails under CI=true."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed; on Debian: apt-get install {DEBIAN.get(name, name)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_base() -> int:
    """The first of five free neighbouring ports, as a demo wants them."""
    for _ in range(50):
        base = free_port()
        if base < 65_000 and all(port_is_free(port) for port in range(base, base + 5)):
            return base
    pytest.fail("no five free neighbouring ports")


def wait_until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """Ask until the answer is true and return it; fail the test with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s for {what or condition}")
        time.sleep(0.05)
    return answer


@dataclass
class Service:
    """A running service: where it answers, and its process."""

    url: str
    child: Child
    directory: Path
    ready_path: str = "/-/ready"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(urllib.parse.urlsplit(self.url).port or 0)

    @property
    def target(self) -> str:
        """host:port, as a scrape configuration wants it."""
        return urllib.parse.urlsplit(self.url).netloc

    def get(self, path: str, **query: str) -> Any:
        """GET a JSON document of the service."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes = b"", **headers: str) -> bytes:
        """POST bytes to the service and return its answer."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def stop(self) -> None:
        """Stop the process; the directory stays."""
        self.child.stop()

    def start(self) -> None:
        """Start it again on the same port and directory, and wait until it is ready."""
        self.child.start()
        self.child.wait_ready(self.url + self.ready_path)

    def log(self) -> str:
        """Everything it wrote."""
        return self.child.log.read_text(encoding="utf-8", errors="replace")


@dataclass
class PrometheusService(Service):
    """A running Prometheus."""

    def query(self, promql: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query, as Prometheus sends it."""
        when = {} if at is None else {"time": str(at)}
        answer = self.get("/api/v1/query", query=promql, **when)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def wait_for(self, promql: str, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Wait until an instant query has a non-empty result, and return it."""
        result: list[dict[str, Any]] = wait_until(
            lambda: self.query(promql), seconds, f"a result of {promql}"
        )
        return result

    def reload(self) -> None:
        """Make it read its configuration and rules again."""
        self.post("/-/reload")

    def backfill(self, openmetrics: str, seconds: float = 60.0) -> None:
        """Put history into it: stop, write blocks from OpenMetrics text with time stamps in seconds, start again.

        The text ends with `# EOF`. Blocks are read at start, so the service is stopped for the while.
        """
        self.stop()
        source = self.directory / "history.om"
        source.write_text(openmetrics, encoding="utf-8")
        promtool = program("promtool")
        log = self.directory / "promtool.log"
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(source)]
        with Child("promtool", [*command, str(self.directory / "data")], log=log) as writing:
            wait_until(lambda: not writing.running, seconds, "promtool to write blocks")
            assert writing.returncode == 0, writing.tail()
        self.start()


@contextlib.contextmanager
def prometheus(
    directory: Path,
    *,
    targets: Mapping[str, str | Sequence[str]] | None = None,
    rules: Sequence[Path | str] = (),
    alertmanagers: Sequence[str] = (),
    scrape_seconds: float = 0.5,
    evaluation_seconds: float = 0.5,
    config: Mapping[str, Any] | None = None,
    flags: Sequence[str] = (),
    prefix: str = "",
    port: int | None = None,
) -> Iterator[PrometheusService]:
    """Run a Prometheus in `directory` until the block ends.

    The first scrape comes 5 s after each start (Prometheus tells its scrapers of targets every 5 s): where several
    tests can share one, give it a module's scope. For history without waiting see `PrometheusService.backfill`.

    Args:
        directory: an empty folder for its configuration, data and log.
        targets: scrape job -> host:port, or several.
        rules: rule files, or YAML texts (anything with a newline) that are written to files first.
        alertmanagers: host:port of Alertmanagers that get its alerts.
        scrape_seconds, evaluation_seconds: how often it scrapes and evaluates.
        config: further top-level keys of prometheus.yml, e.g. {"remote_write": [...]}.
        flags: further command line flags, e.g. "--web.enable-remote-write-receiver".
        prefix: route prefix, e.g. "/prom"; part of the service's url.
        port: a free one unless given.
    """
    directory.mkdir(parents=True, exist_ok=True)
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": [where] if isinstance(where, str) else [*where]}]}
        for job, where in (targets or {}).items()
    ]
    document: dict[str, Any] = {
        "global": {
            "scrape_interval": _duration(scrape_seconds),
            "scrape_timeout": _duration(scrape_seconds),
            "evaluation_interval": _duration(evaluation_seconds),
        },
        "scrape_configs": scrapes,
        "rule_files": [str(_file(directory, i, rule)) for i, rule in enumerate(rules)],
    }
    if alertmanagers:
        document["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [*alertmanagers]}]}]}
    (directory / "prometheus.yml").write_text(yaml.safe_dump({**document, **(config or {})}))
    port = port or free_port()
    child = Child(
        "Prometheus",
        [
            program("prometheus"),
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--storage.tsdb.retention.time=30d",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
            "--web.enable-admin-api",
            *([f"--web.external-url=http://127.0.0.1:{port}{prefix}"] if prefix else []),
            *flags,
        ],
        log=directory / "prometheus.log",
    )
    service = PrometheusService(f"http://127.0.0.1:{port}{prefix}", child, directory)
    with _running(service):
        yield service


@contextlib.contextmanager
def alertmanager(directory: Path, *, config: Mapping[str, Any] | None = None) -> Iterator[Service]:
    """Run an Alertmanager in `directory`; it sends its notifications nowhere unless `config` says so."""
    directory.mkdir(parents=True, exist_ok=True)
    quiet = {"route": {"receiver": "nobody", "group_wait": "0s"}, "receivers": [{"name": "nobody"}]}
    (directory / "alertmanager.yml").write_text(yaml.safe_dump(dict(config) if config else quiet))
    port = free_port()
    child = Child(
        "Alertmanager",
        [
            program("prometheus-alertmanager"),
            f"--config.file={directory / 'alertmanager.yml'}",
            f"--storage.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        log=directory / "alertmanager.log",
    )
    service = Service(f"http://127.0.0.1:{port}", child, directory)
    with _running(service):
        yield service


@contextlib.contextmanager
def pushgateway(directory: Path) -> Iterator[Service]:
    """Run a Pushgateway that keeps nothing on disk."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"]
    child = Child("Pushgateway", [*command, "--persistence.file="], log=directory / "pushgateway.log")
    service = Service(f"http://127.0.0.1:{port}", child, directory)
    with _running(service):
        yield service


@contextlib.contextmanager
def dashboard(directory: Path, *, timeout_seconds: float = 60.0, **settings: object) -> Iterator[Service]:
    """Run `moe-dashboard serve` on a free port; keywords are settings (prometheus_url=…, runs_dir=…)."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    values = {"data_dir": directory / "data", **settings}
    child = Child(
        "dashboard",
        [sys.executable, "-m", "dashboard.cli", "serve", "--port", str(port)],
        log=directory / "dashboard.log",
        cwd=ROOT,
        env={f"MOE_DASHBOARD_{name.upper()}": str(value) for name, value in values.items()},
    )
    service = Service(f"http://127.0.0.1:{port}", child, directory, ready_path="/livez")
    with _running(service, timeout_seconds):
        yield service


@dataclass
class ScrapeTarget:
    """A real HTTP server whose /metrics is whatever `text` is now; `status` other than 200 answers an error."""

    text: str = ""
    status: int = 200
    content_type: str = "text/plain; version=0.0.4"
    scrapes: int = 0
    url: str = field(default="", init=False)

    @property
    def target(self) -> str:
        """host:port, as a scrape configuration wants it."""
        return urllib.parse.urlsplit(self.url).netloc


@contextlib.contextmanager
def scrape_target(text: str = "") -> Iterator[ScrapeTarget]:
    """Serve `text` as /metrics until the block ends; assign `.text` to change what the next scrape sees."""
    target = ScrapeTarget(text)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = target.text.encode()
            target.scrapes += 1
            self.send_response(target.status)
            self.send_header("Content-Type", target.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: a scrape is no event."""

    with http_server(Handler) as url:
        target.url = url
        yield target


@contextlib.contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve `handler` on a free loopback port in a thread; yields the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _running(service: Service, timeout_seconds: float = 30.0) -> Iterator[None]:
    try:
        service.child.start()
        service.child.wait_ready(service.url + service.ready_path, timeout_seconds)
        yield
    finally:
        service.child.stop()


def _file(directory: Path, number: int, rule: Path | str) -> Path:
    if isinstance(rule, Path):
        return rule.resolve()
    if "\n" not in rule:
        return Path(rule).resolve()
    path = directory / f"rules-{number}.yml"
    path.write_text(rule, encoding="utf-8")
    return path


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
