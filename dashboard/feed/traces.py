"""Traces for pages: one look at the store serves everyone who asks the same within a moment."""

import time
from collections.abc import Callable

from collectors.traces import Found, Search, Trace, TraceStore
from dashboard.feed.source import Looked, Shared
from dashboard.feed.window import Window

TRACE_SECONDS = 30.0  # a trace is written once; the last of its spans come some seconds late


class Traces:
    """Answers of one trace store, shared by every session; safe to use from many threads. Raises no `Unavailable`.

    Args:
        service: whose traces are searched for, as OpenTelemetry's service.name.
        refresh_seconds: how long one search serves everyone.
        clock: unix time.
    """

    def __init__(
        self, store: TraceStore, service: str, *, refresh_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:  # fmt: skip
        self.store, self.service = store, service
        self._clock = clock
        self._traces: Shared[Trace] = Shared(TRACE_SECONDS, clock, most=64)
        self._searches: Shared[tuple[Found, ...]] = Shared(refresh_seconds, clock, most=64)

    def trace(self, trace_id: str) -> Looked[Trace]:
        """One trace by its id (32 hex digits)."""
        return self._traces.get(trace_id, lambda: self.store.trace(trace_id))

    def search(
        self, window: Window, *, name: str | None = None, at_least_seconds: float | None = None,
        failed: bool = False, limit: int = 50,
    ) -> Looked[tuple[Found, ...]]:  # fmt: skip
        """Traces of the service in the window, newest first.

        Args:
            name: of a span in it.
            at_least_seconds: only with a span that took as long.
            failed: only with a span that failed.
        """

        def look() -> tuple[Found, ...]:
            start, end = window.bounds(self._clock())
            wanted = Search(
                self.service,
                start,
                end,
                name,
                min_duration_seconds=at_least_seconds,
                errors=failed,
                limit=limit,
            )
            return tuple(self.store.search(wanted))

        return self._searches.get((window, name, at_least_seconds, failed, limit), look)
