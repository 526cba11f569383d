"""Jaeger's query API, the one its own user interface asks: /api/traces/{id} and /api/traces?service=….

Written after Jaeger's documentation ("Internal HTTP JSON") and the answers in its repository's tests; times there are
microseconds. Jaeger calls that API internal, and has kept it since 2017.
"""

from collections.abc import Mapping
from typing import Any, cast

import orjson

from collectors.prometheus.connection import HttpError
from collectors.traces.span import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    Found,
    Malformed,
    Scalar,
    Span,
    SpanEvent,
    Status,
    Trace,
    id_of,
)
from collectors.traces.store import Http, Search, go_duration, plain_words

_STATUS: dict[str, Status] = {"OK": "ok", "ERROR": "error"}
_KIND = frozenset({"internal", "server", "client", "producer", "consumer"})


class Jaeger(Http):
    """One jaeger-query. Every method raises `Unavailable`.

    Kinds: those of a connection (refused, dns, tls, timeout, truncated, redirect, http-<code>), not-json, not-jaeger.
    """

    product = "Jaeger"

    def trace(self, trace_id: str) -> Trace:
        """One trace by its id (32 hex digits); without spans where Jaeger does not know it."""
        try:
            document = self._get(f"/api/traces/{trace_id}")
        except HttpError as why:
            if why.code == 404 and _says_not_found(why.body):
                return Trace(trace_id, ())
            raise self._refused(why, _errors(why.body)) from why
        return next(iter(self._traces(document)), Trace(trace_id, ()))

    def search(self, wanted: Search) -> list[Found]:
        """Traces with a span of the service that passes, newest first."""
        tags = {name: _tag(value) for name, value in wanted.attributes.items()}
        if wanted.errors:
            tags["error"] = "true"
        shortest = wanted.min_duration_seconds
        try:
            document = self._get(
                "/api/traces",
                service=wanted.service,
                operation=wanted.name,
                start=round(wanted.start * 1e6),
                end=round(wanted.end * 1e6),
                minDuration=None if shortest is None else go_duration(shortest),
                tags=orjson.dumps(tags).decode() if tags else None,
                limit=wanted.limit,
            )
        except HttpError as why:
            raise self._refused(why, _errors(why.body)) from why
        found = [_summary(trace) for trace in self._traces(document) if trace.spans]
        return sorted(found, key=lambda one: -one.start_ns)

    def _traces(self, document: Mapping[str, Any]) -> list[Trace]:
        try:
            return [_trace(item) for item in document["data"]]
        except (Malformed, KeyError, TypeError, ValueError, AttributeError) as why:
            raise self._malformed(why) from why


def _trace(item: Mapping[str, Any]) -> Trace:
    trace_id = id_of(item["traceID"], TRACE_ID_BYTES)
    services = {key: str(process["serviceName"]) for key, process in (item.get("processes") or {}).items()}
    spans = [_span(span, trace_id, services) for span in item["spans"]]
    said = [
        *(item.get("warnings") or []),
        *(word for span in item["spans"] for word in span.get("warnings") or []),
    ]
    return Trace.of(trace_id, spans, dict.fromkeys(map(str, said)))


def _span(span: Mapping[str, Any], trace_id: str, services: Mapping[str, str]) -> Span:
    tags = _tags(span.get("tags"))
    said = str(tags.pop("otel.status_code", "")).upper()
    status = _STATUS.get(said, "error" if tags.get("error") in (True, "true") else "unset")
    kind = str(tags.get("span.kind", ""))
    parent = _parent(span, trace_id)
    return Span(
        trace_id=trace_id,
        span_id=id_of(span["spanID"], SPAN_ID_BYTES),
        parent_id=parent,
        service=services.get(span.get("processID", ""), ""),
        name=str(span["operationName"]),
        start_ns=int(span["startTime"]) * 1000,
        duration_ns=int(span["duration"]) * 1000,
        attributes={
            name: value
            for name, value in tags.items()
            if name not in ("otel.status_description", "span.kind")
        },
        status=status,
        status_message=str(tags.get("otel.status_description", "")),
        kind=kind if kind in _KIND else "",
        events=tuple(_event(log) for log in span.get("logs") or []),
    )


def _parent(span: Mapping[str, Any], trace_id: str) -> str | None:
    """The parent inside the same trace; a link to another trace is none."""
    for reference in span.get("references") or []:
        same = id_of(reference["traceID"], TRACE_ID_BYTES) == trace_id
        if reference["refType"] == "CHILD_OF" and same:
            return id_of(reference["spanID"], SPAN_ID_BYTES)
    older = span.get("parentSpanID")
    return id_of(older, SPAN_ID_BYTES) if older else None


def _event(log: Mapping[str, Any]) -> SpanEvent:
    fields = _tags(log.get("fields"))
    name = str(fields.pop("event", "") or fields.pop("message", ""))
    return SpanEvent(name, int(log["timestamp"]) * 1000, fields)


def _tags(tags: list[Mapping[str, Any]] | None) -> dict[str, Scalar]:
    """Key → value. Jaeger writes whole numbers beyond 2^53 as text, which they stay."""
    return {str(tag["key"]): cast("Scalar", tag["value"]) for tag in tags or []}


def _tag(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _summary(trace: Trace) -> Found:
    root = trace.root
    return Found(
        trace_id=trace.trace_id,
        service=root.service if root else "",
        name=root.name if root else "",
        start_ns=trace.start_ns,
        duration_ns=trace.duration_ns,
        spans=len(trace.spans),
        errors=sum(span.status == "error" for span in trace.spans),
    )


def _said(body: bytes) -> list[Mapping[str, Any]]:
    try:
        errors = orjson.loads(body)["errors"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
    return [error for error in errors or [] if isinstance(error, dict)] if isinstance(errors, list) else []


def _errors(body: bytes) -> str:
    said = "; ".join(str(error.get("msg", "")) for error in _said(body))
    return said or plain_words(body)


def _says_not_found(body: bytes) -> bool:
    """Jaeger's own 404; a wrong path prefix has another."""
    return any(error.get("code") == 404 for error in _said(body))
