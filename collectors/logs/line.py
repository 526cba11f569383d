"""One line of a structured log and the spellings in which loggers write it.

structlog writes event, level, logger and timestamp; others msg or message, severity, time. All are accepted; the
fields stay as they were written.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

# From the least to the most severe; the index is the rank.
LEVELS = ("debug", "info", "warning", "error", "critical")

EVENT_KEYS = ("event", "msg", "message")
LEVEL_KEYS = ("level", "severity", "levelname", "lvl", "log.level")
TIME_KEYS = ("timestamp", "time", "ts", "@timestamp", "asctime")
LOGGER_KEYS = ("logger", "logger_name", "name")

_LEVEL_OF = {
    **{name: name for name in LEVELS},
    "trace": "debug", "notset": "debug", "default": "info", "information": "info", "notice": "info", "success": "info",
    "warn": "warning", "err": "error", "exception": "error", "severe": "error",
    "crit": "critical", "fatal": "critical", "alert": "critical", "emergency": "critical", "panic": "critical",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `fields` is everything the line says; event, level, logger and time are taken from their spellings."""

    time: datetime | None  # aware UTC; None where the line has none that can be read
    level: str | None  # one of LEVELS, or the line's own word in lower case
    event: str
    logger: str | None
    fields: Mapping[str, Any]  # empty for a malformed line
    raw: str
    path: Path
    offset: int  # of the line's first byte; in a gzipped file, of the text it holds


class Malformed(ValueError):
    """The line is not a JSON object."""


def parse(raw: bytes, path: Path, offset: int) -> LogLine:
    """Read one line (without its newline).

    Raises:
        Malformed: it is not a JSON object.
    """
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as why:
        raise Malformed(str(why)) from why
    if not isinstance(fields, dict):
        raise Malformed("not an object")
    logger = _first(fields, LOGGER_KEYS)
    return LogLine(
        time=time_of(fields),
        level=level_of(fields),
        event=event_of(fields),
        logger=logger if isinstance(logger, str) else None,
        fields=fields,
        raw=raw.decode(errors="replace"),
        path=path,
        offset=offset,
    )


def event_of(fields: Mapping[str, Any]) -> str:
    """What happened; empty where the line does not say."""
    event = _first(fields, EVENT_KEYS)
    return "" if event is None else event if isinstance(event, str) else orjson.dumps(event).decode()


def level_of(fields: Mapping[str, Any]) -> str | None:
    """The level by its usual name. Numbers are those of pino and bunyan: 10 trace to 60 fatal."""
    said = _first(fields, LEVEL_KEYS)
    if isinstance(said, str):
        word = said.strip().lower()
        return _LEVEL_OF.get(word, word) or None
    if isinstance(said, int | float) and not isinstance(said, bool):
        return LEVELS[min(4, max(0, int(said) // 10 - 2))]
    return None


def rank(level: str | None) -> int | None:
    """How severe a level is, 0 to 4; None for a word that is no level."""
    word = _LEVEL_OF.get((level or "").strip().lower())
    return None if word is None else LEVELS.index(word)


def level_patterns(minimum: int) -> list[tuple[bytes, re.Pattern[bytes]]]:
    """Find every place where a line may say a level of this rank or above; a parse then decides.

    One pattern for each key, with the bytes it begins with: a search for fixed bytes is many times faster than one for
    alternatives, and most files use one key.
    """
    words = [word for word, level in _LEVEL_OF.items() if LEVELS.index(level) >= minimum]
    numbers = rf"(?:[{minimum + 2}-9]\d|\d\d\d)"
    longest_first = "|".join(sorted(words, key=len, reverse=True))
    value = rf'\s*:\s*(?:"\s*(?i:{longest_first})\s*"|{numbers})'
    keys = sorted({f'{key.rpartition(".")[2]}"' for key in LEVEL_KEYS})
    return [(key.encode(), re.compile((key + value).encode())) for key in keys]


def time_of(fields: Mapping[str, Any]) -> datetime | None:
    """The line's time as aware UTC. A time without a zone is taken as UTC; a number as unix s, ms, µs or ns by its size."""
    said = _first(fields, TIME_KEYS)
    try:
        if isinstance(said, str):
            when = datetime.fromisoformat(said.strip())
            return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        if isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said):
            size = abs(said)
            scale = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9
            return datetime.fromtimestamp(said / scale, UTC)
    except (ValueError, OverflowError, OSError):
        pass  # not a time that can be read
    return None


def words(value: object) -> Iterator[str]:
    """Every text inside a field, keys included: what a search for text looks at when the raw line has escapes."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from words(item)
    elif isinstance(value, list):
        for item in value:
            yield from words(item)
    elif isinstance(value, str):
        yield value


def _first(fields: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = fields.get(key)
        if value is not None:
            return value
    return None
