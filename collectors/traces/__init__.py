"""Traces read back from where they are stored: Jaeger or Tempo, in one form.

    trace = Jaeger("http://jaeger:16686").trace("4bf92f3577b34da6a3ce929d0e0e4736")

A trace that the store does not know is a `Trace` without spans; a store that cannot be read is `Unavailable`. Knows no
page and no setting; every name and attribute is outside text.
"""

from typing import Protocol

from collectors.traces.jaeger import Jaeger
from collectors.traces.span import Found, Span, SpanEvent, Trace, trace_id_of
from collectors.traces.store import Search
from collectors.traces.tempo import Tempo

__all__ = ["Found", "Jaeger", "Search", "Span", "SpanEvent", "Tempo", "Trace", "TraceStore", "trace_id_of"]


class TraceStore(Protocol):
    """What Jaeger and Tempo have in common."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""

    def trace(self, trace_id: str) -> Trace:
        """One trace; raises Unavailable."""

    def search(self, wanted: Search) -> list[Found]:
        """Traces that pass, newest first; raises Unavailable."""
