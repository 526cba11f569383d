"""Spans of the loop: evolution_step with its phases, and inference requests, sent out by OTLP over HTTP.

Needs the extra `otel`. Where tracing was not asked for, or cannot be, there is no span and no id is made up for one.
Only sampled spans have ids: an id in a log line or an exemplar leads to a trace that was sent.

A generation is one trace, whose root is `evolution_step`; its phases are what the loop says with `observer.span`.
A step begins where the one before ended, the first of a run with its first phase. An inference request is a trace of
its own, unless it happens inside a span that somebody opened.

Knows no metric and no file. Sending is a `WayOut`: a thread of its own, a bounded queue, a bounded wait at the end.
"""

import atexit
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dashboard.observer import otlp
from dashboard.observer.failures import Failures
from dashboard.observer.waysout import WayOut

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

Ids = Mapping[str, str]  # {"trace_id": 32 hex digits, "span_id": 16}, or empty

EVOLUTION_STEP = "evolution_step"  # the guide's span names
INFERENCE = "inference"
ASKED_BY = (otlp.ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

EVERY_SECONDS = 1.0
MOST_WAITING = 4096  # spans; the oldest go first when a collector is down
BATCH = 512  # spans in one request

_NAME = "the trace collector"
_NO_IDS: Ids = {}
_OVERHEARD = otlp.Overheard(_NAME)


def asked(tracing: bool | None) -> bool:  # noqa: FBT001  the loop's own word, None where it said nothing
    """Whether spans are wanted: by the loop's word, else by the environment variables of OpenTelemetry."""
    return otlp.set_in_environment(ASKED_BY) if tracing is None else tracing


class Tracing:
    """Opens and ends spans; hands out their ids.

    Args:
        tracer: where spans are begun.
        failures: takes what goes wrong.
        way: what sends them; None where the process has a pipeline of its own.
    """

    def __init__(self, tracer: "Tracer", failures: Failures, way: WayOut | None = None) -> None:
        self._tracer, self._failures, self._way = tracer, failures, way
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._run_id: str | None = None
        self._step: Span | None = None  # of the generation in progress
        self._step_counts = False  # something refers to it, so it must be sent
        self._said_steps = False  # the loop opens its evolution_step itself
        self._last: tuple[int, Ids] | None = None  # the generation that ended last, and its step's ids
        self._last_said: Ids = _NO_IDS  # of the evolution_step that the loop itself closed last
        atexit.register(self.flush)

    @classmethod
    def open(cls, failures: Failures) -> "Tracing":
        """Set tracing up as the OTEL_* environment variables say.

        A process that already traces (its global tracer provider is an SDK's) gets our spans in its own pipeline.

        Raises:
            ImportError: the extra `otel` is not installed.
        """
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace import TracerProvider
        except ImportError as why:
            raise ImportError(f"install moe-router-dashboard[otel] ({why})") from why
        theirs = trace.get_tracer_provider()
        if isinstance(theirs, TracerProvider):
            return cls(theirs.get_tracer("dashboard.observer"), failures)
        queue = _Queue(OTLPSpanExporter(timeout=otlp.timeout_seconds("TRACES")))
        way = WayOut(
            _NAME, queue.send, failures, EVERY_SECONDS, longest_wait_seconds=otlp.LONGEST_WAIT_SECONDS, give_up=queue.close
        )  # fmt: skip
        provider = TracerProvider(
            resource=otlp.resource(), shutdown_on_exit=False
        )  # it would wait for half a minute
        provider.add_span_processor(_processor(queue))
        return cls(provider.get_tracer("dashboard.observer"), failures, way)

    def span(self, name: str, attributes: Mapping[str, object]) -> "Phase":
        """A span around a block: below the one that is open here, else below the generation in progress."""
        return Phase(self, name, attributes)

    def run_began(self, run_id: str) -> None:
        """Phases from now on belong to a generation of this run."""
        with self._lock:
            self._run_id, self._step, self._step_counts = run_id, None, False
            self._said_steps, self._last, self._last_said = False, None, _NO_IDS

    def generation_ended(self, generation: int) -> Ids:
        """End the generation's step and begin the next; ids of the ended one. A generation ends once."""
        with self._lock:
            if self._last is not None and self._last[0] == generation:
                return self._last[1]
            step = self._step
            if step is not None:
                step.set_attribute("generation", generation)
            if self._said_steps:
                ids = _ids(step) if step is not None else self._last_said
            else:
                ids = _NO_IDS if step is None else _ids(step)
                if step is not None:
                    step.end()
                self._begin_step()
            self._last = generation, ids
            return ids

    def run_ended(self, error: str | None = None) -> None:
        """End what is open. A step in which nothing happened was no generation, and is not sent."""
        with self._lock:
            step, self._step = self._step, None
            if step is not None and not self._said_steps and (self._step_counts or error):
                if error:
                    _fail(step, error)
                step.end()
            self._run_id = None
        self.flush()

    def here(self, *, promised: bool = False) -> Ids:
        """Ids of the span that is open here, else of the generation in progress.

        `promised`: the generation's step will be sent, whatever else happens in it.
        """
        from opentelemetry import trace

        ids = _ids(trace.get_current_span())
        if ids:
            return ids
        with self._lock:
            if self._step is None or not (self._step_counts or promised):
                return _NO_IDS
            self._step_counts = True
            return _ids(self._step)

    def flush(self) -> None:
        """Send now; wait half a second at most."""
        if self._way is not None and os.getpid() == self._pid:
            self._way.flush()

    def close(self) -> None:
        """Send what is left and stop; waits a second at most."""
        atexit.unregister(self.flush)
        if self._way is not None and os.getpid() == self._pid:
            self._way.flush()
            self._way.close()

    def begin(self, name: str, attributes: Mapping[str, object]) -> "Span | None":
        """Start a span; None in a forked worker, which has nobody to send it."""
        from opentelemetry import trace

        if os.getpid() != self._pid:
            return None
        said = {key: _attribute(value) for key, value in attributes.items() if value is not None}
        with self._lock:
            if self._run_id is not None:
                said.setdefault("run_id", self._run_id)
            inside = trace.get_current_span().get_span_context().is_valid
            if name == EVOLUTION_STEP:
                return self._begin_said_step(said)
            above: Context | None = None  # the context of the moment
            if name != INFERENCE and not inside and self._run_id is not None:
                if self._step is None and not self._said_steps:
                    self._begin_step()
                if self._step is not None:
                    self._step_counts = True
                    above = trace.set_span_in_context(self._step)
            return self._tracer.start_span(name, context=above, attributes=said)

    def end(self, span: "Span", error: BaseException | None) -> None:
        """End a span; an exception is kept with it."""
        if isinstance(error, Exception):
            span.record_exception(error)
            _fail(span, f"{type(error).__name__}: {error}")
        span.end()
        with self._lock:
            if span is self._step:
                self._step, self._last_said = None, _ids(span)

    def _begin_step(self) -> None:
        from opentelemetry.context import Context

        known: dict[str, str] = {} if self._run_id is None else {"run_id": self._run_id}
        self._step = self._tracer.start_span(EVOLUTION_STEP, context=Context(), attributes=known)
        self._step_counts = False

    def _begin_said_step(self, attributes: Mapping[str, Any]) -> "Span":
        """The loop's own evolution_step takes the place of ours."""
        if self._step is not None and not self._said_steps and self._step_counts:
            self._step.end()  # phases said before it refer to it
        self._said_steps = True
        self._step = self._tracer.start_span(EVOLUTION_STEP, attributes=attributes)
        return self._step


class Phase:
    """A span as a context. Gives the loop nothing, takes nothing from it, and lets its exceptions pass."""

    __slots__ = ("_attributes", "_name", "_span", "_token", "_tracing")

    def __init__(self, tracing: Tracing, name: str, attributes: Mapping[str, object]) -> None:
        self._tracing, self._name, self._attributes = tracing, name, attributes
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    @property
    def ids(self) -> Ids:
        """Ids of the span; empty where it is not sent."""
        return _NO_IDS if self._span is None else _ids(self._span)

    def __enter__(self) -> None:
        with self._tracing._failures.swallowing("begin a span"):
            from opentelemetry import context, trace

            self._span = self._tracing.begin(self._name, self._attributes)
            if self._span is not None:
                self._token = context.attach(trace.set_span_in_context(self._span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._tracing._failures.swallowing("end a span"):
            from opentelemetry import context

            if self._token is not None:
                context.detach(self._token)
            if self._span is not None:
                self._tracing.end(self._span, error)


class _Queue:
    """Ended spans on their way out. Appended to by the loop, emptied by the way out's thread."""

    def __init__(self, exporter: "SpanExporter") -> None:
        self._exporter = exporter
        self._waiting: deque[ReadableSpan] = deque(maxlen=MOST_WAITING)
        logging.getLogger(type(exporter).__module__).addFilter(_OVERHEARD)  # the same filter is added once

    def add(self, span: "ReadableSpan") -> None:
        """Queue a span that ended."""
        self._waiting.append(span)

    def send(self) -> None:
        """Send everything that waits, in batches.

        Raises:
            ConnectionError: a batch was not taken; it is lost, what waits behind it is not.
        """
        from opentelemetry.sdk.trace.export import SpanExportResult

        while self._waiting:
            batch: list[ReadableSpan] = []
            with contextlib.suppress(IndexError):
                while len(batch) < BATCH:
                    batch.append(self._waiting.popleft())
            if self._exporter.export(batch) is not SpanExportResult.SUCCESS:
                raise ConnectionError(_OVERHEARD.taken())

    def close(self) -> None:
        """Give up what is being sent."""
        self._exporter.shutdown()


def _processor(queue: _Queue) -> "SpanProcessor":
    from opentelemetry.sdk.trace import SpanProcessor

    class ToQueue(SpanProcessor):
        def on_end(self, span: "ReadableSpan") -> None:
            if span.context is not None and span.context.trace_flags.sampled:
                queue.add(span)

    return ToQueue()


def _ids(span: "Span") -> Ids:
    context = span.get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return _NO_IDS
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _fail(span: "Span", why: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, why))


def _attribute(value: object) -> str | bool | int | float:
    """A value as OpenTelemetry takes it; numbers of numpy and torch as numbers, the rest as text."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", 0) == 0:
        value = item()
    return value if isinstance(value, str | bool | int | float) else str(value)
