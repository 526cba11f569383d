"""Health addresses of other services: a real HTTP server answers in every shape found in the wild."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from collectors import health
from collectors.unavailable import Unavailable
from tests import services

GUIDE = '{"status": "unhealthy", "version": "0.1.0", "checks": {"gpu": {"healthy": true}, "disk": {"healthy": false, "message": "full"}}, "failed_checks": ["disk"]}'
SPRING = '{"status":"DOWN","components":{"db":{"status":"DOWN","details":{"error":"refused"}},"ping":{"status":"UP"}}}'
IETF = '{"status":"warn","checks":{"cpu:utilization":[{"status":"pass"},{"status":"warn","output":"85 percent"}]}}'
LIBRARY = '{"status":"failure","results":[{"checker":"redis","passed":false,"output":"no route"},{"checker":"disk","passed":true}]}'
JSON, TEXT = "application/json", "text/plain"

ANSWERS = [  # status, content type, body, the verdict, what is said, the shape
    (200, JSON, '{"status": "healthy", "checks": {"gpu": {"healthy": true}}}', "pass", "", "json"),
    (503, JSON, GUIDE, "fail", "disk: full", "json"),
    (200, JSON, GUIDE, "fail", "disk: full", "json"),  # a status of 200 does not outweigh what is said
    (500, JSON, '{"status": "error", "error": "KeyError"}', "fail", "KeyError", "json"),
    (200, "application/vnd.spring-boot.actuator.v3+json", '{"status":"UP"}', "pass", "", "json"),
    (503, JSON, SPRING, "fail", "db", "json"),
    (503, JSON, '{"status":"OUT_OF_SERVICE"}', "fail", "HTTP 503", "json"),
    (200, "application/health+json", '{"status":"pass"}', "pass", "", "json"),
    (200, "application/health+json", IETF, "warn", "cpu:utilization: 85 percent", "json"),
    (503, "application/health+json", '{"status":"fail","output":"db gone"}', "fail", "db gone", "json"),
    (200, TEXT, "[+]ping ok\n[+]etcd ok\nlivez check passed\n", "pass", "", "verbose"),
    (500, TEXT, "[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n", "fail", "etcd failed: reason withheld", "verbose"),
    (200, TEXT, "OK", "pass", "", "word"),
    (200, TEXT, "Healthy.\n", "pass", "", "word"),
    (200, TEXT, "Degraded", "warn", "Degraded", "word"),
    (200, TEXT, "unhealthy", "fail", "unhealthy", "word"),
    (204, "", "", "pass", "", "status"),
    (200, "", "", "pass", "", "status"),
    (503, "", "", "fail", "HTTP 503", "status"),
    (404, TEXT, "not found", "fail", "HTTP 404", "status"),
    (503, TEXT, "OK", "fail", "HTTP 503", "word"),
    (200, TEXT, "up since Tuesday", "pass", "", "status"),
    (200, JSON, "true", "pass", "", "json"),
    (200, JSON, "false", "fail", "", "json"),
    (200, JSON, '"ok"', "pass", "", "json"),
    (200, JSON, '{"db": true, "queue": false}', "fail", "queue", "json"),
    (200, JSON, '{"db": "ok", "queue": "ok"}', "pass", "", "json"),
    (200, JSON, '{"healthy": true}', "pass", "", "json"),
    (200, JSON, '[{"name": "db", "healthy": true}, {"name": "gpu", "status": "error", "message": "lost"}]', "fail", "gpu: lost", "json"),
    (200, JSON, "[true, true]", "pass", "", "json"),
    (500, JSON, LIBRARY, "fail", "redis: no route", "json"),
    (200, JSON, '{"uptime": 12}', "pass", "", "status"),
    (200, JSON, '{"status":', "pass", "", "status"),  # broken JSON says nothing; the status does
    (200, "text/html; charset=utf-8", "<!doctype html><title>App</title>", "fail", "It answered a web page (HTTP 200).", "page"),
    (200, "", "  <HTML><body>healthy</body>", "fail", "It answered a web page (HTTP 200).", "page"),
    (302, TEXT, "OK", "fail", "It answered a redirect (HTTP 302).", "redirect"),
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Answers /N with the Nth of ANSWERS; a redirect points to one that is well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/long":
                status, kind, body = 200, TEXT, "x" * 1_000_000
            else:
                status, kind, body, *_ = ANSWERS[int(self.path[1:])]
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            if status == 302:
                self.send_header("Location", "/0")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the reader has had enough
                self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with services.http_server(Handler) as url:
        yield url


@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_every_shape_is_understood(server: str, number: int):
    status, _, _, state, said, shape = ANSWERS[number]
    found = health.read(f"{server}/{number}", timeout_seconds=10)
    assert (found.state, found.said, found.status, found.shape) == (state, said, status, shape)


def test_an_endless_answer_is_cut_off(server: str):
    with pytest.raises(Unavailable, match="more than") as why:
        health.read(f"{server}/long", timeout_seconds=10)
    assert why.value.kind == "too-long"


def test_an_address_where_nobody_is_or_says_anything_is_no_well_being_and_no_password_is_said():
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable) as why:
            health.read(f"http://me:secret@127.0.0.1:{gone.getsockname()[1]}/health")
        assert why.value.kind == "refused"
        assert "secret" not in str(why.value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Unavailable) as why:
            health.read(f"http://127.0.0.1:{silent.getsockname()[1]}/health", timeout_seconds=0.3)
        assert why.value.kind == "timeout"
        assert time.monotonic() - began < 5


def test_an_answer_that_drips_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as dripping:

        def drip() -> None:
            connection, _ = dripping.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                with contextlib.suppress(OSError):
                    while True:
                        connection.sendall(b"x")
                        time.sleep(0.05)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(Unavailable) as why:
            health.read(f"http://127.0.0.1:{dripping.getsockname()[1]}/health", timeout_seconds=0.4)
        assert why.value.kind == "timeout"
        assert time.monotonic() - began < 8, "a thousand bytes would take fifty seconds"
        thread.join()
