"""Two routers of one fleet, one fast and one slow with errors, and a Prometheus that scrapes both."""

import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests import services

TEXT = """# TYPE inference_latency_seconds histogram
inference_latency_seconds_bucket{le="0.05"} %(fast)d
inference_latency_seconds_bucket{le="0.1"} %(fast)d
inference_latency_seconds_bucket{le="0.5"} %(all)d
inference_latency_seconds_bucket{le="+Inf"} %(all)d
inference_latency_seconds_sum %(all)d
inference_latency_seconds_count %(all)d
# TYPE inference_batch_size histogram
inference_batch_size_bucket{le="8"} %(all)d
inference_batch_size_bucket{le="+Inf"} %(all)d
inference_batch_size_sum %(samples)d
inference_batch_size_count %(all)d
inference_throughput_samples %(reported)d
"""
OUTCOMES = """# TYPE inference_requests_total counter
inference_requests_total{outcome="ok"} %(good)d
inference_requests_total{outcome="error"} %(bad)d
"""


def _router(fast: int, slow: int, bad: int | None) -> type[BaseHTTPRequestHandler]:
    """A router that serves so many requests between two scrapes; None: it counts no errors."""

    class Metrics(BaseHTTPRequestHandler):
        scrapes = 0

        def do_GET(self) -> None:
            type(self).scrapes += 1
            n, every = self.scrapes, fast + slow
            numbers = {"fast": fast * n, "all": every * n, "samples": 8 * every * n, "reported": 8 * every}
            text = TEXT % numbers
            if bad is not None:
                text += OUTCOMES % {"good": (every - bad) * n, "bad": bad * n}
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: a scrape is no event."""

    return Metrics


@contextlib.contextmanager
def fleet(directory: Path) -> Iterator[tuple[services.PrometheusService, str, str]]:
    """Run all three; yields Prometheus, and the instance labels of the fast and of the slow router.

    Between two scrapes the fast one serves 90 requests under 50 ms, the slow one 10 between 100 and 500 ms, of which
    2 end in an error. The fast one counts no outcomes.
    """
    with (
        services.http_server(_router(90, 0, None)) as fast,
        services.http_server(_router(0, 10, 2)) as slow,
    ):
        names = [url.removeprefix("http://") for url in (fast, slow)]
        with services.prometheus(directory, targets={"moe-router": names}) as server:
            server.wait_for("count(rate(inference_latency_seconds_count[2s]) > 0) == 2")
            yield server, names[0], names[1]
