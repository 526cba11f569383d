"""One Prometheus with three hours of history for all tests of the feed, and a gate in front of it that can be shut."""

import contextlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from collectors.prometheus import Prometheus
from dashboard.feed import Feed
from tests import services
from tests.feed import history


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.PrometheusService]:
    with services.prometheus(tmp_path_factory.mktemp("past")) as service:
        service.backfill(history.openmetrics())
        yield service


@dataclass
class Gate:
    """A real HTTP server that passes questions on to Prometheus, and can be told to fail, to wait or to lie."""

    url: str = ""
    shut: bool = False  # answer 503
    delay_seconds: dict[str, float] = field(default_factory=dict)  # by a part of the query
    spoil: Callable[[bytes], bytes] | None = None
    ahead_seconds: float = 0.0  # of its clock
    asked: list[str] = field(default_factory=list)

    @property
    def queries(self) -> list[str]:
        return [path for path in self.asked if "/api/v1/query" in path]


@pytest.fixture
def gate(past: services.PrometheusService) -> Iterator[Gate]:
    door = Gate()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            door.asked.append(self.path)
            for part, seconds in door.delay_seconds.items():
                if part in self.path:
                    ended.wait(seconds)
            status, body = 503, b"shut"
            if not door.shut:
                try:
                    with urllib.request.urlopen(past.url + self.path, timeout=20) as answer:
                        status, body = answer.status, answer.read()
                except urllib.error.HTTPError as why:
                    status, body = why.code, why.read()
                    why.close()
                if door.spoil is not None:
                    body = door.spoil(body)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + door.ahead_seconds)

        def log_message(self, *_: object) -> None: ...

    with services.http_server(Handler) as url:
        door.url = url
        yield door
        ended.set()


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = history.END) -> None:
        self.now = float(now)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feed_at(clock: Clock) -> Iterator[Callable[..., Feed]]:
    """Make a feed on a Prometheus URL (or None) whose clock is `clock`; scrapes are every 5 s there."""
    with contextlib.ExitStack() as stack:

        def make(
            url: str | None, runs: object = None, *, timeout_seconds: float = 10.0, **how: object
        ) -> Feed:
            prometheus = Prometheus(url, timeout_seconds=timeout_seconds) if url else None
            feed = Feed(prometheus, runs, clock=clock, **how)  # type: ignore[arg-type]
            stack.callback(feed.close)
            return feed

        yield make


@pytest.fixture(scope="session")
def alpha_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with run alpha as its observer left it. Read only."""
    directory = tmp_path_factory.mktemp("runs")
    history.write_run(directory)
    return directory
