"""What the tests of faults share: a server that answers whatever it is told to."""

from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import pytest

from tests import services


@dataclass
class Answering:
    """A real HTTP server that answers every request with `body`."""

    body: bytes = b""
    status: int = 200
    url: str = ""


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    server = Answering()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            self.send_response(server.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(server.body)))
            self.end_headers()
            self.wfile.write(server.body)

        do_POST = do_DELETE = do_GET  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing: a request is no event."""

    with services.http_server(Handler) as server.url:
        yield server
