"""A span and a trace as this project reads them, whatever store they come from.

Times are integer nanoseconds since 1970: a float of seconds holds microseconds at best.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Scalar = str | int | float | bool
Status = Literal["unset", "ok", "error"]

_HEX = re.compile(r"[0-9a-fA-F]+")
TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8


class Malformed(ValueError):
    """An answer that is no trace."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened inside a span, e.g. an exception."""

    name: str
    time_ns: int
    attributes: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of work."""

    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    parent_id: str | None  # None: a root; it may name a span that the store does not have
    service: str
    name: str
    start_ns: int  # unix time
    duration_ns: int
    attributes: Mapping[str, Scalar]
    status: Status
    status_message: str = ""
    kind: str = ""  # internal, server, client, producer, consumer; empty where not said
    events: tuple[SpanEvent, ...] = ()

    @property
    def end_ns(self) -> int:
        """Unix time of its end."""
        return self.start_ns + self.duration_ns


@dataclass(frozen=True, slots=True)
class Trace:
    """All spans of a trace that the store has, by their start."""

    trace_id: str
    spans: tuple[Span, ...]
    warnings: tuple[str, ...] = ()  # in the store's own words, e.g. that spans are missing

    @classmethod
    def of(cls, trace_id: str, spans: Iterable[Span], warnings: Iterable[str] = ()) -> "Trace":
        """Sort, and leave out what was delivered twice: exporters send again what they believe was lost."""
        once = {(span.span_id, span.service, span.name, span.start_ns): span for span in spans}
        ordered = sorted(once.values(), key=lambda span: (span.start_ns, -span.duration_ns, span.span_id))
        return cls(trace_id, tuple(ordered), tuple(warnings))

    @property
    def root(self) -> Span | None:
        """The first span without a parent, else the first; None where there is none."""
        return next(
            (span for span in self.spans if span.parent_id is None), self.spans[0] if self.spans else None
        )

    @property
    def start_ns(self) -> int:
        """Start of the first span; 0 where there is none."""
        return min((span.start_ns for span in self.spans), default=0)

    @property
    def duration_ns(self) -> int:
        """From the first start to the last end."""
        return max((span.end_ns for span in self.spans), default=0) - self.start_ns


@dataclass(frozen=True, slots=True)
class Found:
    """A trace in a list."""

    trace_id: str
    service: str  # of its root, as the others; empty where the store has not seen the root
    name: str
    start_ns: int
    duration_ns: int
    spans: int | None  # None: the store does not say
    errors: int | None


def trace_id_of(text: str) -> str | None:
    """The 32 hex digits of a trace id as people and stores write it (short, upper case); None where it is none."""
    return _hex(text.strip(), TRACE_ID_BYTES)


def id_of(said: object, size: int) -> str:
    """An id as hex: from hex, or from the base64 of Tempo's JSON.

    Args:
        size: its bytes.

    Raises:
        Malformed: it is neither.
    """
    if not isinstance(said, str) or not said:
        raise Malformed(f"{said!r} is no id")
    if said.endswith("="):  # base64 of 16 or of 8 bytes always does, hex never
        try:
            said = base64.b64decode(said, validate=True).hex()
        except binascii.Error as why:
            raise Malformed(f"{said[:80]!r} is no id") from why
    found = _hex(said, size)
    if found is None:
        raise Malformed(f"{said[:80]!r} is no id")
    return found


def _hex(text: str, size: int) -> str | None:
    if not _HEX.fullmatch(text):
        return None
    digits = text.lower().lstrip("0").zfill(2 * size)  # old stores drop leading zeros
    return digits if len(digits) == 2 * size and digits.strip("0") else None
