"""To a Prometheus Pushgateway: one group a run and instance, replaced whole, so that runs never overwrite each other.

For batch runs that end before a scrape. The group stays after the run, with `evolution_run_active 0` in it; deleting
it is a later clean-up's decision. Scrape the gateway with `honor_labels: true`. Knows no run beyond its id.
"""

import socket
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, push_to_gateway
from prometheus_client.metrics_core import Metric as Family

from dashboard.observer.instruments import Instruments

EVERY_SECONDS = 15.0
TIMEOUT_SECONDS = 2.0
JOB = "moe-router"


class Pushgateway:
    """Pushes one run's series.

    Args:
        url: base URL of the gateway.
        run_id: asked at each push; None before any run.
    """

    def __init__(self, url: str, instruments: Instruments, run_id: Callable[[], str | None]) -> None:
        self._url, self._instruments, self._run_id = url, instruments, run_id

    def send(self) -> None:
        """Replace the group (HTTP PUT): a series that is no longer said vanishes from the gateway too.

        Raises:
            OSError: refused, timed out, or an HTTP error.
        """
        run_id = self._run_id()
        key = {"instance": socket.gethostname()} | ({"run_id": run_id} if run_id else {})
        registry = CollectorRegistry()
        registry.register(_OneRun(self._instruments, run_id))
        push_to_gateway(self._url, job=JOB, registry=registry, grouping_key=key, timeout=TIMEOUT_SECONDS)


class _OneRun:
    """The instruments without other runs' series: the gateway would file those under this run's id."""

    def __init__(self, instruments: Instruments, run_id: str | None) -> None:
        self._instruments, self._run_id = instruments, run_id

    def collect(self) -> Iterator[Family]:
        for family in self._instruments.collect():
            family.samples = [
                sample for sample in family.samples if sample.labels.get("run_id") in (None, self._run_id)
            ]
            if family.samples:
                yield family
