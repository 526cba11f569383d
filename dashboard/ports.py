"""TCP ports of this machine: which are free, who has the others, and the five a demo takes.

Looks, never listens: a port that is free now may be taken a moment later, and its user must say so then.
"""

import contextlib
import socket
from dataclasses import asdict, dataclass
from typing import Self

import psutil

from dashboard.processes import answers

HOST = "127.0.0.1"

# path -> what answers there with 2xx; the first that does names the server
_SIGNS = (
    ("/livez", "a dashboard"),
    ("/api/v1/status/buildinfo", "a Prometheus"),
    ("/api/v2/status", "an Alertmanager"),
    ("/metrics", "a metrics exporter"),
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each process of a demo listens."""

    dashboard: int
    router: int
    exporter: int
    prometheus: int
    alertmanager: int

    @classmethod
    def following(cls, base: int) -> Self:
        """`base` for the dashboard, and the four after it."""
        return cls(base, base + 1, base + 2, base + 3, base + 4)

    def taken(self) -> list[tuple[str, int]]:
        """(who wants it, port) for each port somebody else listens on."""
        return [(name, port) for name, port in asdict(self).items() if not port_is_free(port)]

    def objections(self) -> list[str]:
        """A sentence for each port that is taken: which, by whom, and what answers there."""
        sentences = []
        for name, port in self.taken():
            by = listener(port)
            sentence = f"Port {port}, wanted for the {name}, is in use" + (f" by {by}" if by else "")
            what = who_answers(port)
            sentences.append(sentence + (f"; http://{HOST}:{port} answers as {what}." if what else "."))
        return sentences

    def alternative(self) -> int | None:
        """The next base, a hundred further each, whose five ports are all free."""
        bases = range(self.dashboard + 100, 65_000, 100)
        return next((base for base in bases if not Ports.following(base).taken()), None)


def free_port(host: str = HOST) -> int:
    """A TCP port nobody listens on now; the kernel chooses."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on `port` now; a connection of the past in TIME_WAIT does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def listener(port: int) -> str | None:
    """Who listens on `port`, as "name (pid 123)"; None where the system does not tell us."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        here = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if here and connection.pid:
            with contextlib.suppress(psutil.Error):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def who_answers(port: int) -> str | None:
    """What the server on this port is, if it is of a kind we start; None if it is something else or mute."""
    url = f"http://{HOST}:{port}"
    return next((what for path, what in _SIGNS if answers(url + path, timeout_seconds=0.5)), None)
