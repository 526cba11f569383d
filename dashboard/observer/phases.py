"""How long the phases of a generation took, by the loop's own words around them. Knows no metric and no span.

Only what the thread does that ends the generation is a part of its wall time, and only phases that lie in no other phase:
the parts never sum to more than the whole.
"""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

MOST_PHASES = 16  # names of one generation; each is a series
LONGEST_NAME = 64  # letters


class Phases:
    """Adds up wall time by phase, thread by thread."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._seconds: dict[int, dict[str, float]] = {}  # by thread
        self._inside = threading.local()

    def begin(self) -> None:
        """A run begins: what came before it belongs to none of its generations."""
        with self._lock:
            self._seconds = {}

    def timed(self, name: str, span: "AbstractContextManager[None] | None" = None) -> "Timed":
        """A phase around a block; `span` is entered and left with it."""
        return Timed(self, name, span)

    def generation_ended(self) -> Mapping[str, float]:
        """Seconds by phase since the generation before ended, of this thread; every thread begins anew."""
        with self._lock:
            ended, self._seconds = self._seconds, {}
        return ended.get(threading.get_ident(), {})

    def enter(self) -> None:
        """One phase deeper."""
        self._inside.depth = getattr(self._inside, "depth", 0) + 1

    def leave(self, name: str, seconds: float) -> None:
        """One phase less deep; the outermost is counted."""
        self._inside.depth = max(0, getattr(self._inside, "depth", 1) - 1)  # 1: entered in another thread
        if self._inside.depth or os.getpid() != self._pid:
            return
        with self._lock:
            mine = self._seconds.setdefault(threading.get_ident(), {})
            if name in mine or len(mine) < MOST_PHASES:
                mine[name] = mine.get(name, 0.0) + seconds


class Timed:
    """A phase as a context. Gives the loop nothing, takes nothing from it, and lets its exceptions pass."""

    __slots__ = ("_began", "_name", "_phases", "_span")

    def __init__(self, phases: Phases, name: str, span: "AbstractContextManager[None] | None") -> None:
        self._phases, self._name, self._span = phases, str(name)[:LONGEST_NAME], span
        self._began = 0.0

    def __enter__(self) -> None:
        self._phases.enter()
        if self._span is not None:
            self._span.__enter__()
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._phases.leave(self._name, time.perf_counter() - self._began)
        if self._span is not None:
            self._span.__exit__(kind, error, trace)
