"""`moe-dashboard exporter`: this machine's GPUs and host as Prometheus metrics, under the catalogue's names.

Shares collectors and sampler with the dashboard: a scrape never waits for a driver, it reads the last look. A look
older than ten seconds is not served, so a hanging driver shows as absent series and not as values that stand still;
a GPU that vanished loses its series, and a machine without a GPU serves the host.
"""

import argparse
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector

from collectors.unavailable import Unavailable
from dashboard import journal
from dashboard.catalogue import hardware
from dashboard.catalogue.spec import Metric
from dashboard.sampler import Sampler, measurements
from dashboard.settings import Settings

STALE_SECONDS = 10.0

log = structlog.get_logger("dashboard.exporter")

_Respond = Callable[[str, list[tuple[str, str]]], object]
_Application = Callable[[dict[str, Any], _Respond], Iterable[bytes]]


class HardwareCollector(Collector):
    """The last look as metric families; register it with a `CollectorRegistry`."""

    def __init__(self, sampler: Sampler, stale_seconds: float = STALE_SECONDS) -> None:
        """Read from `sampler`, which somebody else starts and stops."""
        self._sampler = sampler
        self._stale_seconds = stale_seconds

    def describe(self) -> Iterable[Family]:
        """Names without a look, so that registering touches no hardware."""
        return [_family(metric) for metric in hardware.METRICS]

    def collect(self) -> Iterator[Family]:
        """Families in the catalogue's order. A family without a value is left out: absent is not 0."""
        look, age = self._sampler.latest, self._sampler.age_seconds
        if look is None or age is None or age > self._stale_seconds:
            return
        families: dict[str, Family] = {}
        for measured in measurements(look):
            family = families.setdefault(measured.metric.name, _family(measured.metric))
            family.add_metric(measured.labels, measured.value)  # type: ignore[attr-defined]  # both families have it, their base has not
        yield from (families[metric.name] for metric in hardware.METRICS if metric.name in families)


class Exporter:
    """Serves /metrics and /livez from threads of its own between `start` and `close`."""

    def __init__(self, sampler: Sampler, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the address; port 0 takes a free one.

        Raises:
            OSError: the address cannot be bound.
        """
        registry = CollectorRegistry()
        registry.register(HardwareCollector(sampler))
        ProcessCollector(registry=registry)
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

        class Server(ThreadingWSGIServer):
            address_family = family

        self._server = make_server(
            host, port, _application(registry, sampler), Server, handler_class=_Handler
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="exporter", kwargs={"poll_interval": 0.1}, daemon=True
        )
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `exporter` to the command line."""
    about = "serve GPU and host metrics of this machine"
    parser = subparsers.add_parser(
        "exporter", help=about, description=f"{about}, on /metrics for Prometheus."
    )
    parser.add_argument("--port", type=int, help="port to listen on (setting: exporter_port)")
    parser.add_argument("--host", help="address to listen on (setting: host); loopback unless told otherwise")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit status."""
    journal.configure(None)
    host = arguments.host or settings.host
    port = settings.exporter_port if arguments.port is None else arguments.port
    sampler = Sampler()
    try:
        exporter = Exporter(sampler, host, port)
    except OSError as why:
        reason = why.strerror or str(why)
        advice = "Choose another port with --port or MOE_DASHBOARD_EXPORTER_PORT."
        log.error("Exporter cannot listen", host=host, port=port, reason=reason, advice=advice)  # noqa: TRY400  a traceback says nothing more
        return 1
    try:
        sampler.start()
        sampler.wait()  # the first scrape already knows the processor's share
        exporter.start()
        log.info("Exporter started", url=f"{exporter.url}/metrics", gpus=_gpus(sampler))
        threading.Event().wait()  # until Ctrl-C, or SIGTERM as `dashboard.cli` handles it
    except KeyboardInterrupt:
        pass
    finally:
        exporter.close()
        sampler.stop()
        log.info("Exporter stopped")
    return 0


def _gpus(sampler: Sampler) -> str:
    look = sampler.latest
    if look is None:
        return "not looked at yet"
    if isinstance(look.gpus, Unavailable):
        return f"none: {look.gpus.reason}"
    return ", ".join(gpu.name or f"GPU {gpu.gpu_id}" for gpu in look.gpus) or "none"


def _application(registry: CollectorRegistry, sampler: Sampler) -> _Application:
    metrics: _Application = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], respond: _Respond) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", "/"), environ.get("REQUEST_METHOD", "GET")
        if path == "/metrics" and method == "GET":
            return metrics(environ, respond)
        status, text = _page(path, sampler)
        if method not in {"GET", "HEAD"}:
            status, text = "405 Method Not Allowed", "Only GET and HEAD.\n"
        body = text.encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        respond(status, headers)
        return [] if method == "HEAD" else [body]

    return answer


def _page(path: str, sampler: Sampler) -> tuple[str, str]:
    if path == "/livez":
        return "200 OK", "ok\n"
    if path in {"/", "/metrics"}:
        age = sampler.age_seconds
        looked = "never" if age is None else f"{age:.1f} s ago"
        return "200 OK", f"GPU and host metrics: /metrics\nGPUs: {_gpus(sampler)}\nLast look: {looked}\n"
    return "404 Not Found", "Here are /metrics and /livez.\n"


def _family(metric: Metric) -> Family:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


class _Handler(WSGIRequestHandler):
    """Says nothing of each scrape: one line every few seconds for ever helps nobody."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Log nothing."""
