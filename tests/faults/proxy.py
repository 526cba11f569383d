"""A TCP proxy between the dashboard and a service, which a test makes slow, cut answers short, garble them or lie."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Way = Literal["pass", "delay", "cut", "garble", "page"]

PAGE = b"<!doctype html><title>Log in</title><p>Please log in to the company network."
_LOGIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
    % (len(PAGE), PAGE)
)


@dataclass
class Proxy:
    """Assign `way` to change how the next answers pass."""

    target: tuple[str, int]
    way: Way = "pass"
    seconds: float = 4.0  # of a delay
    url: str = ""
    _open: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pair, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Cut every connection."""
        for one in [*self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _pair(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            client.close()  # nobody there: as if refused
            return
        server.settimeout(None)
        self._open += [client, server]
        threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
        with contextlib.suppress(OSError):
            while piece := server.recv(1 << 16):
                if not self._answer(piece, client):
                    break
        for one in (client, server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(1 << 16):
                if self.way == "page":
                    client.sendall(_LOGIN)
                    break
                server.sendall(piece)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, piece: bytes, client: socket.socket) -> bool:
        """Pass a piece of an answer on; False ends the connection."""
        if self.way == "delay":
            time.sleep(self.seconds)
        if self.way == "cut":
            client.sendall(piece[: max(1, len(piece) - 20)])
            return False
        if self.way == "garble":
            head, blank, body = piece.partition(b"\r\n\r\n")
            broken = bytearray(body)
            broken[5::9] = b"#" * len(broken[5::9])
            piece = head + blank + bytes(broken)
        client.sendall(piece)
        return True


@contextlib.contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """Stand before host:port until the block ends."""
    host, _, port = target.rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    running = Proxy((host, int(port)))
    running.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    threading.Thread(target=running.serve, args=(listener,), daemon=True).start()
    try:
        yield running
    finally:
        listener.close()
        running.close()
