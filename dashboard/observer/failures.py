"""Errors that must not reach the observed loop: counted by type, said once per kind. Knows no metric but its own.

Only `Exception` is swallowed. KeyboardInterrupt and SystemExit belong to the person who ends the process.
"""

import logging
from collections.abc import Callable
from types import TracebackType

LOG = logging.getLogger("dashboard.observer")
MOST_KINDS = 200  # a loop that invents a new key each step must not fill memory or the log


class Failures:
    """Swallows, counts and says.

    Args:
        count: called with the error's type name, once a failure.
    """

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._said: set[tuple[str, str]] = set()

    def swallowing(self, doing: str) -> "Swallowing":
        """Context in which an error is swallowed. `doing` completes "The observer could not …"."""
        return Swallowing(self, doing)

    def swallow(self, doing: str, error: Exception) -> None:
        """Count one error; say it unless the same was said before."""
        kind = type(error).__name__
        self._count(kind)
        if (doing, kind) in self._said or len(self._said) >= MOST_KINDS:
            return
        self._said.add((doing, kind))
        LOG.warning(
            "The observer could not %s: %s: %s. The observed loop goes on; said once, counted in observer_failures_total.",
            doing, kind, str(error).rstrip("."),
        )  # fmt: skip
        LOG.debug("Where the observer could not %s", doing, exc_info=error)


class Swallowing:
    """See `Failures.swallowing`."""

    __slots__ = ("_doing", "_failures")

    def __init__(self, failures: Failures, doing: str) -> None:
        self._failures = failures
        self._doing = doing

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self._failures.swallow(self._doing, error)
            return True
        return False
