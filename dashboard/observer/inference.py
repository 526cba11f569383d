"""Inference seen from inside: latency, batch size, outcome, and throughput over a short sliding window.

Latency is the wall time between entering and leaving `with observer.inference(...)`. Only requests that succeed are
in the histograms: a fast error is not a good request. Knows no model and no server.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType

from dashboard.catalogue import inference
from dashboard.observer.failures import Failures
from dashboard.observer.instruments import Instruments
from dashboard.observer.tracing import Phase

WINDOW_SECONDS = 10
OnRequest = Callable[
    [int, float, Mapping[str, str]], None
]  # batch size in samples, latency in seconds, ids of the trace


class Throughput:
    """Samples per second over the last ten seconds, measured when asked. None before the first request.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began: float | None = None
        self._seconds: deque[list[float]] = deque()  # [whole second, samples completed in it]

    def add(self, samples: int, latency_seconds: float) -> None:
        """Count a request that ended just now."""
        now = self._clock()
        with self._lock:
            if self._began is None:
                self._began = now - latency_seconds
            second = float(int(now))
            if self._seconds and self._seconds[-1][0] == second:
                self._seconds[-1][1] += samples
            else:
                self._seconds.append([second, float(samples)])
            self._forget(now)

    def read(self) -> float | None:
        """Samples per second now; 0.0 where requests came once and then stopped. The first second counts as whole."""
        now = self._clock()
        with self._lock:
            if self._began is None:
                return None
            self._forget(now)
            oldest = max(self._began, float(int(now)) - WINDOW_SECONDS + 1)
            return sum(samples for _, samples in self._seconds) / max(now - oldest, 1.0)

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= int(now) - WINDOW_SECONDS:
            self._seconds.popleft()


class Request:
    """One request being timed. See `Observer.inference`."""

    __slots__ = (
        "_batch_size",
        "_entered",
        "_failures",
        "_instruments",
        "_on_request",
        "_span",
        "_throughput",
    )

    def __init__(
        self, batch_size: int, instruments: Instruments, throughput: Throughput, failures: Failures,
        on_request: OnRequest, span: Phase | None = None,
    ) -> None:  # fmt: skip
        self._batch_size = batch_size
        self._instruments = instruments
        self._throughput = throughput
        self._failures = failures
        self._on_request = on_request
        self._span = span
        self._entered = 0.0

    def __enter__(self) -> None:
        if self._span is not None:
            self._span.__enter__()
        self._entered = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        latency_seconds = time.perf_counter() - self._entered
        ids: Mapping[str, str] = {}
        if self._span is not None:
            ids = self._span.ids
            self._span.__exit__(kind, error, trace)
        with self._failures.swallowing("record an inference request"):
            self._instruments.count(inference.REQUESTS, ("ok" if error is None else "error",))
            if error is None:
                self._instruments.observe(inference.LATENCY, (latency_seconds,), ids)
                self._instruments.observe(inference.BATCH_SIZE, (self._batch_size,))
                self._throughput.add(self._batch_size, latency_seconds)
                self._on_request(self._batch_size, latency_seconds, ids)
