"""Ways out for processes nobody can scrape: a thread of its own sends what a scrape would find, and never the loop.

Knows how often and when to send; `push`, `statsd`, `otlpmetrics` and `tracing` know what goes over the wire. A receiver
that is down costs the loop nothing: the error is swallowed, counted and said once. The end of a run is sent before
`Run.end` returns, for which the loop waits two seconds at most (for OpenTelemetry half a second).
"""

import threading
from collections.abc import Callable

from dashboard.observer.failures import Failures

LONGEST_WAIT_SECONDS = 2.0


class WayOut:
    """Calls `send` every so often, and once more when flushed.

    Args:
        name: what it is, for the one line said when it fails.
        send: sends everything; may raise.
        every_seconds: how often.
        longest_wait_seconds: how long `flush` and `close` each wait at most.
        give_up: ends a sending that is under way.
    """

    def __init__(
        self, name: str, send: Callable[[], None], failures: Failures, every_seconds: float,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS, give_up: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._name, self._send, self._failures, self._give_up = name, send, failures, give_up
        self._every_seconds, self._longest_wait_seconds = every_seconds, longest_wait_seconds
        self._changed = threading.Condition()
        self._asked = 0
        self._done = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"observer-{name}", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Send now; come back when that is done, or after the longest wait."""
        with self._changed:
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._done >= asked or self._closed, self._longest_wait_seconds)

    def close(self) -> None:
        """Stop sending."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with self._failures.swallowing(f"close the way to {self._name}"):
            self._give_up()
        self._thread.join(self._longest_wait_seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked > self._done or self._closed, self._every_seconds)
                if self._closed:
                    return
                asked = self._asked
            with self._failures.swallowing(f"send to {self._name}"):
                self._send()
            with self._changed:
                self._done = asked
                self._changed.notify_all()
