"""Ports: which are free, and what is said of those that are not."""

import socket
from http.server import BaseHTTPRequestHandler

import psutil

from dashboard.ports import Ports, listener, port_is_free, who_answers
from tests import services


class Prometheus(BaseHTTPRequestHandler):
    """A fake that answers one path as Prometheus does; which server it is decided by paths alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/v1/status/buildinfo" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_port_is_free_again_after_its_last_connection_closed():
    """A port whose connections are in TIME_WAIT can be listened on; a demo that just ended must not block itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the server closes first, so the wait is on its side
            client.recv(1)
        assert not port_is_free(port)
    assert port_is_free(port)


def test_the_owner_of_a_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listener(server.getsockname()[1]) == f"{psutil.Process().name()} (pid {psutil.Process().pid})"


def test_a_server_of_a_kind_we_start_is_recognised_and_a_mute_one_is_not():
    with services.http_server(Prometheus) as url:
        assert who_answers(int(url.rpartition(":")[2])) == "a Prometheus"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert who_answers(mute.getsockname()[1]) is None


def test_the_alternative_has_all_five_ports_free():
    base = services.free_base()
    with socket.create_server(("127.0.0.1", base + 4)):
        other = Ports.following(base).alternative()
        assert other is not None
        assert other > base
        assert Ports.following(other).taken() == []
