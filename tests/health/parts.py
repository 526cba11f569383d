"""What the tests of health share: a router's run directory, a server that answers as told, the routes over real HTTP."""

import fcntl
import json
import os
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from dashboard.health import Check, Health, routes
from dashboard.sampler import Sampler
from dashboard.settings import Settings
from tests.services import http_server, wait_until


class SqliteStore:
    """A real SQLite file, as the dashboard's store is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def probe(self) -> None:
        with sqlite3.connect(self._path) as connection:
            connection.execute("create table if not exists probe (at real)")
            connection.execute("insert into probe values (1)")
            connection.rollback()
        connection.close()


def stored(tmp_path: Path, **arguments) -> Settings:
    return Settings(data_dir=tmp_path / "var", **arguments)


def by_name(health: Health) -> dict[str, Check]:
    return {check.name: check for check in health.checks()}


def run(
    folder: Path, *, state: str = "running", generations: list[float] = (), lock: bool = True
) -> Callable[[], None]:
    """A run directory as the observer writes it; `generations` are ages in seconds. Returns what lets the lock go."""
    folder.mkdir(parents=True)
    said = {"schema": 1, "run_id": folder.name, "run_name": "n", "state": state, "started_at": stamp(10_000), "pid": os.getpid(),
            "host": socket.gethostname(), "error": "RuntimeError" if state == "failed" else None, "config": {}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(said))
    with (folder / "generations.jsonl").open("w") as file:
        for number, age in enumerate(generations):
            file.write(
                json.dumps(
                    {"event": "Evolution generation completed", "generation": number, "timestamp": stamp(age)}
                )
                + "\n"
            )
    held = (folder / "lock").open("w")
    if lock:
        fcntl.flock(held, fcntl.LOCK_EX)
    return held.close


def stamp(age: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=age)).isoformat().replace("+00:00", "Z")


@contextmanager
def answering(answers: dict[str, object], delay: float = 0.0) -> Iterator[str]:
    """A real HTTP server that answers each path with this JSON (or text, or HTTP status)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(delay)
            path = self.path.partition("?")[0]
            body = answers.get(path, 404)
            if isinstance(body, int):
                self.send_error(body)
                return
            sent = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *args: object) -> None: ...

    with http_server(Handler) as url:
        yield url


@contextmanager
def sampling(**arguments) -> Iterator[Sampler]:
    sampler = Sampler(interval_seconds=0.1, **arguments)
    sampler.start()
    try:
        assert sampler.wait(5)
        yield sampler
    finally:
        sampler.stop()


@contextmanager
def serving(health: Health, *more: Route) -> Iterator[str]:
    """The routes as the dashboard mounts them: before an application that answers 200 with HTML to anything."""
    registry = CollectorRegistry()
    Counter("dashboard_things", "Things", registry=registry).inc()
    page = Route("/{path:path}", lambda _request: HTMLResponse("<html>a page</html>"))
    app = Starlette(routes=[*routes(health, registry), *more, page])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, what="the server")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as why:
        with why:
            return why.code, why.headers["Content-Type"], why.read().decode()
