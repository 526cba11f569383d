"""What is looked for in a log, and the bytes by which most lines can be passed over without reading them.

A line is a candidate when it holds every needle; only candidates are parsed, and `accepts` then decides exactly. A
needle is used only where JSON has one way to write it: plain ASCII without quotes and backslashes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from collectors.logs.line import LogLine, level_patterns, rank, words

PLAIN = re.compile(r"[ !#-.0-\[\]-~]+")  # ASCII that every JSON writer leaves as it is; "/" may be escaped


@dataclass(frozen=True)
class Wanted:
    """A filter. None: not asked for. All that are asked for must hold."""

    level: str | None = None  # the least level
    event: str | None = None  # exactly this event
    logger: str | None = None  # this logger or one below it
    text: str | None = None  # anywhere in the line, whatever its case
    run_id: str | None = None
    generation: int | None = None
    trace_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse a level that is none."""
        if self.level is not None and rank(self.level) is None:
            raise ValueError(f"{self.level!r} is not a level: debug, info, warning, error or critical.")

    def accepts(self, line: LogLine) -> bool:
        """Whether a parsed line passes."""
        fields = line.fields
        return (
            (self.level is None or self._severe(line.level))
            and (self.event is None or line.event == self.event)
            and (self.logger is None or line.logger == self.logger or (line.logger or "").startswith(f"{self.logger}."))
            and (self.run_id is None or _same(fields.get("run_id"), self.run_id))
            and (self.trace_id is None or _same(fields.get("trace_id"), self.trace_id))
            and (self.generation is None or _is(fields.get("generation"), self.generation))
            and (self.text is None or self._says(line))
        )  # fmt: skip

    def candidates(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(place in `data`, line) of every line that may pass, from the last to the first. `data` is whole lines."""
        folded = data.lower() if self._folded else b""
        if any(needle not in data for needle in self._needles) or any(
            needle not in folded for needle in self._folded
        ):
            return
        stop = len(data)
        for hit in self._hits(data, folded):
            if hit >= stop:
                continue  # a second hit in a line already given
            first = data.rfind(b"\n", 0, hit) + 1
            last = data.find(b"\n", hit, stop)
            stop = first
            line = data[first : last if last >= 0 else None]
            if all(needle in line for needle in self._needles) and (
                not self._patterns or any(pattern.search(line) for _, pattern in self._patterns)
            ):
                yield first, line

    def _hits(self, data: bytes, folded: bytes) -> Iterator[int]:
        """Places from the last to the first, at least one in every line that may pass."""
        by_pattern = self.generation is not None and self.trace_id is None  # rarer than a run or an event
        if self._folded:
            yield from _backwards(folded, self._folded[0])
        elif self._needles and not by_pattern:
            yield from _backwards(data, self._needles[0])
        elif self._patterns:
            places = [
                match.start()
                for key, pattern in self._patterns
                if key in data
                for match in pattern.finditer(data)
            ]
            yield from sorted(places, reverse=True)
        else:
            end = len(data)
            while end > 0:
                yield end - 1
                end = data.rfind(b"\n", 0, end - 1) + 1

    @cached_property
    def _needles(self) -> tuple[bytes, ...]:
        """Rarest first, as far as one can know."""
        texts = (self.trace_id, self.run_id, self.event, self.logger)
        return tuple(text.encode() for text in texts if text and PLAIN.fullmatch(text))

    @cached_property
    def _folded(self) -> tuple[bytes, ...]:
        return (self.text.lower().encode(),) if self.text and PLAIN.fullmatch(self.text) else ()

    @cached_property
    def _patterns(self) -> "list[tuple[bytes, re.Pattern[bytes]]]":
        """(bytes a pattern begins with, pattern): a line that passes matches one of them; none: any line may."""
        if self.generation is not None:
            return [(b'generation"', re.compile(rb'generation"\s*:\s*%d\b' % self.generation))]
        minimum = rank(self.level)
        return level_patterns(minimum) if minimum else []

    def _severe(self, level: str | None) -> bool:
        seen, least = rank(level), rank(self.level)
        return seen is not None and least is not None and seen >= least

    def _says(self, line: LogLine) -> bool:
        text = (self.text or "").lower()
        if text in line.raw.lower():
            return True
        return "\\" in line.raw and any(text in word.lower() for word in words(line.fields))


def _backwards(data: bytes, needle: bytes) -> Iterator[int]:
    end = len(data)
    while (hit := data.rfind(needle, 0, end)) >= 0:
        yield hit
        end = data.rfind(b"\n", 0, hit) + 1  # one hit a line is enough


def _same(said: Any, wanted: str) -> bool:
    return said is not None and str(said) == wanted


def _is(said: Any, wanted: int) -> bool:
    return isinstance(said, int | float) and not isinstance(said, bool) and said == wanted
