"""The control that narrows a page to one instance; the address holds it as `instance`, and alerts link with it."""

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from collectors import host
from dashboard.catalogue.spec import Metric
from dashboard.shell import address
from dashboard.shell.view import View
from dashboard.sources import current


def picker(metrics: Iterable[Metric | str]) -> Callable[[View], None]:
    """Every instance that reports one of these metrics now, and the one the address asks for."""
    asked = " or ".join(f"count by (instance) ({metric})" for metric in metrics)

    def above(_: View) -> None:
        reading = current().feed.instant(asked)
        known = sorted({sample.labels.get("instance", "") for sample in reading.samples} - {""})
        names = {"": "All instances together"} | {name: name for name in known}
        address.select("Instance", names, "instance", width=320)

    return above


def is_here(instance: str, prometheus_url: str | None) -> bool:
    """Whether an instance is this machine for certain. Its loopback is ours only where Prometheus runs here too."""
    beside = prometheus_url is None or host.is_this(urlsplit(prometheus_url).netloc, loopback=True)
    return host.is_this(instance, loopback=beside)
