"""Log lines of Loki for pages: one look serves everyone who asks the same within a moment. Files need none of this."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict, Unpack

from collectors.logs import LogPage
from collectors.loki import Loki
from dashboard.feed.source import Shared


class Filters(TypedDict, total=False):
    """What `collectors.logs.tail` can look for."""

    limit: int
    level: str | None
    event: str | None
    logger: str | None
    text: str | None
    run_id: str | None
    generation: int | None
    trace_id: str | None
    only_malformed: bool


class LogLines:
    """One Loki, shared by every session; safe to use from many threads.

    Args:
        refresh_seconds: how long one look serves everyone.
        clock: unix time.
    """

    def __init__(
        self, loki: Loki, *, refresh_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._loki = loki
        self._pages: Shared[LogPage] = Shared(refresh_seconds, clock, most=32)

    def tail(self, *, resume: Mapping[Path, int] | None = None, **wanted: Unpack[Filters]) -> LogPage:
        """As `collectors.logs.tail`, without files.

        Raises:
            Unavailable: Loki cannot be read.
        """
        key = (*sorted(wanted.items()), *sorted((resume or {}).items()))
        looked = self._pages.get(key, lambda: self._loki.tail(resume=resume, **wanted))
        if looked.unavailable is not None or looked.value is None:
            raise looked.unavailable or AssertionError("a look gives a page or a reason")
        return looked.value
