"""Every metric, panel, rule and alert, declared once. Queries, instruments, rules, Grafana and documents are derived.

Knows no source, no page and no clock. Light to import: an observed router imports it too.
"""

from dashboard.catalogue import (
    application,
    benchmark,
    evolution,
    experts,
    hardware,
    inference,
    monitoring,
    training,
)
from dashboard.catalogue.spec import Alert, Curves, Metric, Panel, Recording

DOMAINS = (evolution, experts, inference, training, hardware, benchmark, monitoring, application)


def _all(attribute: str) -> tuple[object, ...]:
    return tuple(item for domain in DOMAINS for item in getattr(domain, attribute, ()))


METRICS: tuple[Metric, ...] = tuple(item for item in _all("METRICS") if isinstance(item, Metric))
PANELS: tuple[Panel, ...] = tuple(item for item in _all("PANELS") if isinstance(item, Panel))
CURVES: tuple[Curves, ...] = tuple(item for item in _all("CURVES") if isinstance(item, Curves))
RECORDINGS: tuple[Recording, ...] = tuple(item for item in _all("RECORDINGS") if isinstance(item, Recording))
ALERTS: tuple[Alert, ...] = tuple(item for item in _all("ALERTS") if isinstance(item, Alert))

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
