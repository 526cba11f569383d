"""Which stretch of time is looked at, and in which steps. Pure: `now` is always an argument.

A window is written as in the URL and as in Grafana: `now-6h` to `now`, or milliseconds since 1970.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

MOST_COLUMNS = 400  # about one point per pixel column of a figure; far below Prometheus's 11 000
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}
_NAMES = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "M": "month", "y": "year"}
_SPAN = re.compile(r"(\d{1,9})([smhdwMy])")
_NOW = re.compile(r"now(?:-(\d{1,9})([smhdwMy]))?")
_STEPS = (
    1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200,
    86_400, 172_800, 604_800,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when, as written in the URL."""

    from_: str
    to: str = "now"

    @classmethod
    def parse(cls, from_: str | None, to: str | None, default: str = "1h") -> "Window":
        """Read the two URL parameters; both missing means the last `default` ("6h").

        Raises:
            ValueError: with a sentence, where one cannot be read or the window would be empty.
        """
        if not from_ and not to:
            if not _SPAN.fullmatch(default):
                raise ValueError(f"{default!r} is not a span of time such as 30m, 6h or 7d.")
            return cls(f"now-{default}", "now")
        window = cls(from_ or "now-1h", to or "now")
        for moment in (window.from_, window.to):
            _moment(moment, 0.0)
        start, end = window.bounds(datetime.now(UTC).timestamp())
        if end <= start:
            raise ValueError(f"The window from {window.from_} to {window.to} ends before it begins.")
        return window

    @property
    def live(self) -> bool:
        """Whether it moves with the clock."""
        return self.to == "now"

    def bounds(self, now: float) -> tuple[float, float]:
        """(start, end) in unix seconds."""
        return _moment(self.from_, now), _moment(self.to, now)

    def seconds(self, now: float) -> float:
        """How long it is."""
        start, end = self.bounds(now)
        return end - start

    def label(self) -> str:
        """For a person: "last 6 hours", or both ends in UTC."""
        span = _NOW.fullmatch(self.from_)
        if self.live and span and span[1]:
            count = int(span[1])
            name = _NAMES[span[2]]
            return f"last {name}" if count == 1 else f"last {count} {name}s"
        return f"{_said(self.from_)} to {_said(self.to)}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The times a window is asked at: start, start + step, …, end, all multiples of the step (unix seconds)."""

    start: int
    end: int
    step: int

    @property
    def points(self) -> int:
        """How many columns."""
        return (self.end - self.start) // self.step + 1


def grid(window: Window, now: float, scrape_seconds: float, columns: int = MOST_COLUMNS) -> Grid:
    """Aligned times for a window: never finer than the scrape interval, at most about `columns` points, never ahead of now.

    Asked again within the same step, it is the same grid, so that answers can be shared and points never shift.
    """
    start, end = window.bounds(now)
    end = min(end, now) if end > start else start
    span = max(end - start, 1.0)
    step = step_seconds(span, scrape_seconds, columns)
    last = math.floor(end / step) * step
    return Grid(last - max(1, math.floor(span / step)) * step, last, step)


def step_seconds(span: float, scrape_seconds: float, columns: int = MOST_COLUMNS) -> int:
    """The smallest round step that is not below the scrape interval and gives at most `columns` points."""
    least = max(scrape_seconds, span / columns)
    for step in _STEPS:
        if step >= least:
            return step
    return math.ceil(least / 604_800) * 604_800


def _moment(text: str, now: float) -> float:
    ago = _NOW.fullmatch(text)
    if ago:
        return max(0.0, now - (int(ago[1]) * _SECONDS[ago[2]] if ago[1] else 0))
    if re.fullmatch(r"\d{10,14}", text):
        return int(text) / 1000
    raise ValueError(f"{text[:40]!r} is not a time: write now, now-6h, or milliseconds since 1970.")


def _said(moment: str) -> str:
    if moment.startswith("now"):
        return moment.replace("now-", "") + " ago" if "-" in moment else "now"
    return datetime.fromtimestamp(int(moment) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
