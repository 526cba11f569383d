"""What spans and metrics share on their way out by OTLP over HTTP: who sends, for how long, and who hears the errors.

Needs the extra `otel`, imported when asked for. Knows no span, no metric and no run.
"""

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

SERVICE = "moe-router"  # service.name unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
LONGEST_EXPORT_SECONDS = 5.0  # one request to the collector, unless the environment says otherwise
LONGEST_WAIT_SECONDS = 0.5  # of the loop, at the end of a run and once more when the observer closes


def set_in_environment(names: Iterable[str]) -> bool:
    """Whether any of these variables says something."""
    return any(os.environ.get(name) for name in names)


def timeout_seconds(signal: str) -> float | None:
    """How long one request may take; None leaves it to the environment, which said so. `signal`: TRACES, METRICS."""
    said = set_in_environment(("OTEL_EXPORTER_OTLP_TIMEOUT", f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT"))
    return None if said else LONGEST_EXPORT_SECONDS


def resource(attributes: Mapping[str, str] | None = None) -> "Resource":
    """Who sends: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before ours."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = Resource.create({"service.name": SERVICE, **(attributes or {})})
    return ours.merge(OTELResourceDetector().detect())


class Overheard(logging.Filter):
    """Keeps an exporter's own words about what we send for our one line, instead of a line for every attempt.

    Args:
        name: of the way out whose thread sends.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._thread_name = f"observer-{name}"
        self._words: dict[int, str] = {}  # by thread

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what another thread's exporter says; remember what ours does."""
        if record.threadName != self._thread_name or record.thread is None:
            return True
        self._words[record.thread] = record.getMessage()
        return False

    def taken(self) -> str:
        """What was heard last in this thread; says so where it was nothing."""
        return self._words.pop(threading.get_ident(), "it was refused")
