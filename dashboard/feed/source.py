"""Prometheus as the feed sees it: counted, not asked again while it is known to be down, and its own clock the clock.

Also `Shared`: one answer for everybody who asks the same within a moment, and the last good one while it fails.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.feed.counters import Counters

Value = TypeVar("Value")

# Causes that lie with the source and not with one query: whoever asks next would only wait for the same.
_DOWN = frozenset({"refused", "dns", "tls", "url", "credentials", "redirect", "not-prometheus", "not-json", "unreachable",
                   "http-401", "http-403", "http-404", "http-500", "http-502", "http-503", "http-504"})  # fmt: skip
_SKEW_SECONDS = 5.0  # below this two clocks agree: the header that tells has whole seconds and travels


class Source:
    """One Prometheus, or none; shared by all threads."""

    def __init__(
        self,
        prometheus: Prometheus | None,
        counters: Counters,
        *,
        hold_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.prometheus = prometheus
        self.counters = counters
        self.clock = clock
        self._hold_seconds = hold_seconds
        self._down: tuple[float, Unavailable] | None = None
        self._answered = float("-inf")  # when it last answered anything, by the monotonic clock

    def ask(self, call: Callable[[Prometheus], Value]) -> Value:
        """Make one call, counted.

        Raises:
            Unavailable: the call's own, or at once the last one while the source is known to be down.
        """
        if self.prometheus is None:
            raise Unavailable(
                "No Prometheus is configured.",
                advice="Set MOE_DASHBOARD_PROMETHEUS_URL.",
                kind="not-configured",
            )
        down = self._down
        if down is not None and self.clock() < down[0]:
            raise down[1]
        began = time.monotonic()
        try:
            answer = call(self.prometheus)
        except Unavailable as why:
            self.counters.query(time.monotonic() - began, why.kind)
            silent = why.kind == "timeout" and self._answered < began  # not one slow query beside quick ones
            if why.kind in _DOWN or silent:
                self._down = (self.clock() + self._hold_seconds, why)
            raise
        self._answered = time.monotonic()
        self._down = None
        self.counters.query(self._answered - began)
        return answer

    @property
    def skew_seconds(self) -> float:
        """How far Prometheus's clock is ahead of ours, where that is more than a few seconds; else 0."""
        skew = self.prometheus.skew_seconds if self.prometheus is not None else None
        return 0.0 if skew is None or abs(skew) < _SKEW_SECONDS else skew

    def now(self) -> float:
        """Unix time by Prometheus's clock, which stamps the samples."""
        return self.clock() + self.skew_seconds

    def notes(self) -> tuple[str, ...]:
        """What a reader must know about every answer of this source."""
        skew = self.skew_seconds
        if not skew:
            return ()
        side = "ahead of" if skew > 0 else "behind"
        return (f"Prometheus's clock is {abs(skew):.0f} s {side} this machine's; windows end at its time.",)


@dataclass(frozen=True, slots=True)
class Looked(Generic[Value]):
    """The newest good value (None before the first), when it was read, and why the newest look failed if it did."""

    value: Value | None
    looked_at: float | None
    unavailable: Unavailable | None
    seconds: float = 0.0


class Shared(Generic[Value]):
    """Values by key: fresh for a while, fetched once however many threads ask, kept while the fetch fails."""

    def __init__(self, fresh_seconds: float, clock: Callable[[], float], *, most: int = 512) -> None:
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._most = most
        self._guard = threading.Lock()
        self._known: OrderedDict[Hashable, Looked[Value]] = OrderedDict()
        self._tried: dict[Hashable, float] = {}
        self._pending: dict[Hashable, Future[Looked[Value]]] = {}

    def get(
        self, key: Hashable, fetch: Callable[[], Value], hit: Callable[[], None] = lambda: None
    ) -> Looked[Value]:
        """The value for the key; `fetch` runs in this thread unless another is already at it. Raises nothing of Unavailable."""
        now = self._clock()
        with self._guard:
            known = self._known.get(key)
            if known is not None and 0 <= now - self._tried[key] < self._fresh_seconds:
                self._known.move_to_end(key)
                hit()
                return known
            pending = self._pending.get(key)
            if pending is None:
                mine: Future[Looked[Value]] = Future()
                self._pending[key] = mine
        if pending is not None:
            hit()
            return pending.result()
        began = time.monotonic()
        try:
            looked = Looked(fetch(), now, None, time.monotonic() - began)
        except Unavailable as why:
            looked = Looked(known.value, known.looked_at, why) if known else Looked(None, None, why)
        except BaseException as why:
            with self._guard:
                del self._pending[key]
            mine.set_exception(why)
            raise
        with self._guard:
            self._known[key] = looked
            self._known.move_to_end(key)
            self._tried[key] = now
            del self._pending[key]
            while len(self._known) > self._most:
                old, _ = self._known.popitem(last=False)
                del self._tried[old]
        mine.set_result(looked)
        return looked
