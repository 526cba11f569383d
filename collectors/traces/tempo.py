"""Tempo's query API: /api/v2/traces/{id} and /api/search with TraceQL.

Written after Grafana's documentation ("Tempo HTTP API", "Query V2", "Search"). A trace is OpenTelemetry's own JSON, in
which Tempo writes ids in base64 and 64-bit numbers as text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

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

# The JSON of protocol buffers writes an enumeration as its name or as its number.
_STATUS: dict[object, Status] = {"STATUS_CODE_OK": "ok", 1: "ok", "STATUS_CODE_ERROR": "error", 2: "error"}
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_UNSEEN = "<root span not yet received>"  # what Tempo writes for a root it has not seen
_NO_SUCH_PATH = "404 page not found"  # of Go's own router: a wrong path prefix
_ATTRIBUTE = re.compile(r"[A-Za-z_][\w.-]*")


class Tempo(Http):
    """One Tempo query frontend. Every method raises `Unavailable`.

    Kinds: those of a connection (refused, dns, tls, timeout, truncated, redirect, http-<code>), not-json, not-tempo.
    """

    product = "Tempo"

    def trace(self, trace_id: str) -> Trace:
        """One trace by its id (32 hex digits); without spans where Tempo does not know it."""
        try:
            document = self._get(f"/api/v2/traces/{trace_id}")
        except HttpError as why:
            words = plain_words(why.body)
            if why.code == 404 and words != _NO_SUCH_PATH and not why.body.lstrip().startswith(b"<"):
                return Trace(trace_id, ())
            raise self._refused(why, words) from why
        try:
            trace = document["trace"] or {}
            partial = document.get("status") == "PARTIAL" or document.get("status") == 1
            said = (
                [str(document.get("message") or "Tempo returned a part of the trace only.")]
                if partial
                else []
            )
            return Trace.of(trace_id, _spans(trace, trace_id), said)
        except (Malformed, KeyError, TypeError, ValueError, AttributeError) as why:
            raise self._malformed(why) from why

    def search(self, wanted: Search) -> list[Found]:
        """Traces with a span of the service that passes, newest first. Tempo stops at the first `limit` it meets."""
        try:
            document = self._get(
                "/api/search",
                q=traceql(wanted),
                start=int(wanted.start),
                end=int(wanted.end) + 1,
                limit=wanted.limit,
            )
        except HttpError as why:
            raise self._refused(why, plain_words(why.body)) from why
        try:
            found = [_found(item) for item in document.get("traces") or []]
        except (Malformed, KeyError, TypeError, ValueError, AttributeError) as why:
            raise self._malformed(why) from why
        return sorted(found, key=lambda one: -one.start_ns)


def traceql(wanted: Search) -> str:
    """The search as TraceQL; what comes from outside stands in quotes, escaped as in Go.

    Raises:
        ValueError: an attribute's name is none.
    """
    terms = [f"resource.service.name = {_literal(wanted.service)}"]
    if wanted.name is not None:
        terms.append(f"name = {_literal(wanted.name)}")
    for name, value in wanted.attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of an attribute")
        terms.append(f"span.{name} = {_literal(value)}")
    if wanted.min_duration_seconds is not None:
        terms.append(f"duration >= {go_duration(wanted.min_duration_seconds)}")
    if wanted.errors:
        terms.append("status = error")
    return "{ " + " && ".join(terms) + " }"


def _literal(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _spans(trace: Mapping[str, Any], trace_id: str) -> Iterator[Span]:
    for resource in trace.get("resourceSpans") or trace.get("batches") or []:
        about = _attributes((resource.get("resource") or {}).get("attributes"))
        service = str(about.get("service.name", ""))
        for scope in resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans") or []:
            for span in scope.get("spans") or []:
                yield _span(span, trace_id, service)


def _span(span: Mapping[str, Any], trace_id: str, service: str) -> Span:
    if id_of(span["traceId"], TRACE_ID_BYTES) != trace_id:
        raise Malformed("a span of another trace")
    status = span.get("status") or {}
    start = int(span["startTimeUnixNano"])
    parent = span.get("parentSpanId")
    return Span(
        trace_id=trace_id,
        span_id=id_of(span["spanId"], SPAN_ID_BYTES),
        parent_id=id_of(parent, SPAN_ID_BYTES) if parent else None,
        service=service,
        name=str(span.get("name", "")),
        start_ns=start,
        duration_ns=max(0, int(span.get("endTimeUnixNano") or start) - start),
        attributes=_attributes(span.get("attributes")),
        status=_STATUS.get(status.get("code"), "unset"),
        status_message=str(status.get("message", "")),
        kind=_kind(span.get("kind")),
        events=tuple(
            SpanEvent(
                str(event.get("name", "")), int(event["timeUnixNano"]), _attributes(event.get("attributes"))
            )
            for event in span.get("events") or []
        ),
    )


def _kind(said: object) -> str:
    if isinstance(said, int):
        return _KINDS[said] if 0 <= said < len(_KINDS) else ""
    name = str(said or "").removeprefix("SPAN_KIND_").lower()
    return name if name in _KINDS else ""


def _attributes(pairs: list[Mapping[str, Any]] | None) -> dict[str, Scalar]:
    return {str(pair["key"]): _value(pair.get("value") or {}) for pair in pairs or []}


def _value(value: Mapping[str, Any]) -> Scalar:
    """OpenTelemetry's AnyValue; lists and maps become text."""
    for kind, said in value.items():
        if kind == "intValue":
            return int(said)
        if kind == "doubleValue":
            return float(said)
        if kind == "boolValue":
            return bool(said)
        if kind == "arrayValue":
            return "[" + ", ".join(str(_value(item)) for item in said.get("values") or []) + "]"
        if kind == "kvlistValue":
            return str(_attributes(said.get("values")))
        return str(said)
    return ""


def _found(item: Mapping[str, Any]) -> Found:
    root = str(item.get("rootTraceName") or "")
    return Found(
        trace_id=id_of(item["traceID"], TRACE_ID_BYTES),
        service=str(item.get("rootServiceName") or "").replace(_UNSEEN, ""),
        name=root.replace(_UNSEEN, ""),
        start_ns=int(item["startTimeUnixNano"]),
        duration_ns=int(item.get("durationMs") or 0) * 1_000_000,  # absent: under a millisecond
        spans=None,
        errors=None,
    )
