"""One check and what it found. Runs a check in a thread of its own, so that a hanging source delays nobody else."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from collectors.unavailable import Unavailable

Detail = str | float | int | None

log = structlog.get_logger("dashboard.health")


@dataclass(frozen=True, slots=True)
class Check:
    """One answer: healthy, unhealthy, or does not apply here (healthy, with the reason in the message).

    `message` and `details` may be shown to anybody: they hold no address, path or text of an exception. `reason` is
    for a person inside: the source's own words.
    """

    name: str
    healthy: bool
    message: str
    applies: bool = True
    details: Mapping[str, Detail] = field(default_factory=dict)
    error_type: str | None = None  # a stable word for the cause: "refused", "timeout", …
    reason: str = ""
    advice: str = ""
    seconds: float = 0.0  # how long it took
    checked_at: float = 0.0  # unix seconds


def not_here(name: str, message: str, advice: str = "") -> Check:
    """The check does not apply: what it would look at is not configured or not there, and that is no fault."""
    return Check(name, healthy=True, message=message, applies=False, advice=advice)


class Probe:
    """A check that can be asked again and again, each time for at most `timeout_seconds`.

    A check that hangs keeps its one thread; until that ends, the answer is "does not answer", and no second thread
    is started.
    """

    def __init__(self, name: str, ask: Callable[[], Check], timeout_seconds: float) -> None:
        """Hold the check; nothing is asked yet."""
        self.name = name
        self.timeout_seconds = timeout_seconds
        self._ask = ask
        self._answer: Check | None = None
        self._thread: threading.Thread | None = None
        self._began = 0.0

    def begin(self) -> None:
        """Ask in the background, unless the last question still waits for its answer."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._answer, self._began = None, time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"check-{self.name}", daemon=True)
        self._thread.start()

    def end(self) -> Check:
        """The answer, waiting for it until the time of this question is over."""
        if self._thread is not None:
            self._thread.join(max(0.0, self._began + self.timeout_seconds - time.monotonic()))
        waited = time.monotonic() - self._began
        answer = self._answer
        if answer is None:
            answer = Check(
                self.name,
                healthy=False,
                message=f"No answer within {self.timeout_seconds:g} s.",
                error_type="timeout",
                seconds=waited,
            )
        return replace(answer, checked_at=time.time())

    def _run(self) -> None:
        began = time.monotonic()
        try:
            answer = self._ask()
        except Unavailable as why:
            answer = Check(
                self.name,
                healthy=False,
                message="The source cannot be read.",
                error_type=why.kind,
                reason=why.reason,
                advice=why.advice,
            )
        except Exception as why:
            kind = type(why).__name__
            log.warning("A health check failed", check=self.name, error_type=kind, exc_info=why)
            answer = Check(self.name, healthy=False, message="The check failed.", error_type=kind)
        self._answer = replace(answer, seconds=time.monotonic() - began)
