"""The errors of a log by type: how many, the first and the last, over everything a filter matches within its budget.

Lines are counted as they are read and not kept: a log of nothing but errors costs one line of each type.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from collectors.logs.backwards import Budget
from collectors.logs.index import LogIndex
from collectors.logs.line import LEVELS, LogLine, rank
from collectors.logs.tail import BUDGET_BYTES, Search, changed, files
from collectors.logs.wanted import Wanted

MOST_TYPES = 200  # told apart; an event with a number in it is another type every time
_ERROR = "error"


@dataclass(slots=True)
class ErrorType:
    """Errors of one type; without times where no line says one."""

    name: str
    newest: LogLine
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Errors:
    """What was found, the most frequent type first."""

    types: tuple[ErrorType, ...]
    further: int  # errors of still other types
    scanned_bytes: int
    exhausted: bool  # nothing older is left to search
    unreadable: Mapping[Path, str] = field(default_factory=dict)


def least_level(level: str | None) -> str:
    """Where a filter for this level meets the errors: "error", or "critical" if that is asked for."""
    return LEVELS[max(rank(level) or 0, LEVELS.index(_ERROR))]


def errors(
    paths: Iterable[Path | str],
    *,
    level: str | None = None,
    budget_bytes: int = BUDGET_BYTES,
    index: LogIndex | None = None,
    **filters: Any,
) -> Errors:
    """Every error that passes, by type; where the budget ends before the files do, those of the newest files' ends.

    Args:
        paths, level, budget_bytes, index, filters: as for `collectors.logs.tail`.

    Raises:
        ValueError: `level` is no level.
    """
    wanted = Wanted(level=level, **filters)
    search = Search(replace(wanted, level=least_level(level)), 0, Budget(budget_bytes), index)
    newest_first = sorted(files(paths), key=changed, reverse=True)
    found = grouped(line for path in newest_first for line in search.in_any_order(path))
    return replace(
        found,
        scanned_bytes=search.budget.spent,
        exhausted=not search.budget.short,
        unreadable=search.unreadable,
    )


def grouped(lines: Iterable[LogLine], *, scanned_bytes: int = 0, exhausted: bool = True) -> Errors:
    """The errors among lines, by type; the lines may be a generator and are read once."""
    types: dict[str, ErrorType] = {}
    further = 0
    for line in lines:
        if (rank(line.level) or 0) < LEVELS.index(_ERROR):
            continue
        name = _type_of(line)
        known = types.get(name)
        if known is None:
            if len(types) >= MOST_TYPES:
                further += 1
                continue
            known = types[name] = ErrorType(name, line)
        known.count += 1
        if line.time is not None:
            if known.last is None or line.time > known.last:
                known.last, known.newest = line.time, line
            if known.first is None or line.time < known.first:
                known.first = line.time
    ordered = sorted(types.values(), key=lambda kind: -kind.count)
    return Errors(tuple(ordered), further, scanned_bytes, exhausted)


def _type_of(line: LogLine) -> str:
    """The exception's type if the line names one, else what happened."""
    said = line.fields.get("error_type")
    if not said and isinstance(chain := line.fields.get("exception"), list) and chain:
        said = chain[-1].get("exc_type") if isinstance(chain[-1], dict) else None
    return str(said) if said else line.event or _ERROR
