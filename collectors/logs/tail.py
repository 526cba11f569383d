"""The newest lines of several files that pass a filter, within a budget of bytes; older ones by asking again.

Files are read from their ends and merged by the lines' own times. A file's rotated predecessors (events.jsonl.1,
events.jsonl.2.gz, events.jsonl-20260101.gz) belong to it.
"""

import heapq
import itertools
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import glob
from pathlib import Path

from collectors.logs.backwards import Block, Budget, blocks, gzipped, unzipped_bytes
from collectors.logs.index import LogIndex
from collectors.logs.line import LogLine, Malformed, parse
from collectors.logs.wanted import Wanted
from collectors.unavailable import Unavailable

BUDGET_BYTES = 256 << 20
LONGEST_RAW = 10_000  # characters of a malformed line that are kept

_ROTATED = re.compile(r"[.-]\d[\d.T-]*(?:\.gz)?|\.gz")
_CLOCK_SLACK_SECONDS = 60.0  # a file's time and its lines' own may differ by so much


@dataclass(frozen=True, slots=True)
class LogPage:
    """What a search found.

    `resume` continues it where it ended: hand it to the next `tail` with the same filter for older lines.
    """

    lines: tuple[LogLine, ...]  # newest first
    malformed: int  # lines met on the way that are no JSON objects; lines passed over unread are not counted
    scanned_bytes: int
    exhausted: bool  # nothing older is left to search
    resume: Mapping[Path, int] = field(
        default_factory=dict
    )  # file -> bytes of it not searched yet, from its start
    unreadable: Mapping[Path, str] = field(default_factory=dict)  # file -> why it could not be read


def tail(
    paths: Iterable[Path | str],
    *,
    limit: int = 200,
    level: str | None = None,
    event: str | None = None,
    logger: str | None = None,
    text: str | None = None,
    run_id: str | None = None,
    generation: int | None = None,
    trace_id: str | None = None,
    only_malformed: bool = False,
    budget_bytes: int = BUDGET_BYTES,
    index: LogIndex | None = None,
    resume: Mapping[Path, int] | None = None,
) -> LogPage:
    """The newest `limit` lines that pass, over all files.

    Args:
        paths: files or globs; rotated and gzipped predecessors are found by themselves.
        level: the least level. text: anywhere in the line, whatever its case. The others: exactly.
        only_malformed: instead, the lines that are no JSON objects (their `fields` are empty).
        budget_bytes: read at most about so much; a page that is not `exhausted` can be resumed.
        index: rules out what cannot match; see `LogIndex.update`.
        resume: `LogPage.resume` of the page before.

    Raises:
        Unavailable: there is no such file (kind no-file), or none of them can be read (kind unreadable).
        ValueError: `level` is no level.
    """
    wanted = Wanted(level, event, logger, text, run_id, generation, trace_id)
    search = Search(wanted, limit, Budget(budget_bytes), index, only_malformed=only_malformed)
    found = files(paths)
    if not found:
        raise Unavailable("There is no log file.", advice="Check MOE_DASHBOARD_LOG_FILES.", kind="no-file")
    todo = [path for path in found if resume is None or resume.get(path, -1) > 0 or path not in resume]
    lines, places = _merge(search, todo, resume or {})
    if not lines and len(search.unreadable) == len(found):
        path, why = next(iter(search.unreadable.items()))
        raise Unavailable(f"The log {path} cannot be read ({why}).", kind="unreadable")
    left = {path: place for path, place in places.items() if place > 0}
    done = {path: 0 for path in found if path not in left}
    return LogPage(
        lines=tuple(lines),
        malformed=search.malformed,
        scanned_bytes=search.budget.spent,
        exhausted=not left,
        resume={**left, **done},
        unreadable=search.unreadable,
    )


def files(paths: Iterable[Path | str]) -> list[Path]:
    """The files that paths and globs name, and their rotated predecessors; each once, those that exist."""
    found: dict[Path, None] = {}
    for path in paths:
        named = [Path(name) for name in sorted(glob(str(path)))] if _is_glob(str(path)) else [Path(path)]  # noqa: PTH207  it may be absolute
        for file in named:
            for item in (file, *_rotated(file)):
                if item not in found and item.is_file():
                    found[item] = None
    return list(found)


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[") and not Path(path).exists()


def _rotated(file: Path) -> list[Path]:
    try:
        names = [name for name in os.listdir(file.parent) if name.startswith(file.name)]  # noqa: PTH208  names are enough
    except OSError:
        return []
    return [file.parent / name for name in sorted(names) if _ROTATED.fullmatch(name[len(file.name) :])]


Found = tuple[LogLine, int]  # a line, and the offset of the byte after it


@dataclass
class Search:
    """One search through files: what it looks for, what it may read, and what it met on the way."""

    wanted: Wanted
    limit: int
    budget: Budget
    index: LogIndex | None
    only_malformed: bool = False
    malformed: int = 0
    unreadable: dict[Path, str] = field(default_factory=dict)
    reached: dict[Path, int] = field(default_factory=dict)  # everything behind this place was searched

    def read(self, path: Path, before: int | None) -> Iterator[Found]:
        """The file's lines that pass, from the last to the first; `before` is where to begin, in bytes."""
        try:
            if path.suffix == ".gz":
                kept = deque(self._forwards(path, before), maxlen=self.limit + 1)
                yield from reversed(kept)
            else:
                yield from self._backwards(path, before)
        except OSError as why:
            self.unreadable[path] = why.strerror or str(why)

    def in_any_order(self, path: Path) -> Iterator[LogLine]:
        """All of the file's lines that pass, as it is quickest to read them; none is kept."""
        found = self._forwards(path, None) if path.suffix == ".gz" else self.read(path, None)
        for line, _ in found:
            yield line

    def _backwards(self, path: Path, before: int | None) -> Iterator[Found]:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            end = about.st_size if before is None else min(before, about.st_size)
            parts = [(0, end)]
            if self.index is not None and not self.only_malformed:
                parts = self.index.ranges(path, about.st_ino, end, self.wanted)
            for begin, stop in parts:
                for block in blocks(file.fileno(), begin, stop, self.budget):
                    unfinished = block[0] + len(block[1]) == about.st_size and not block[1].endswith(b"\n")
                    yield from self._lines(block, path, unfinished=unfinished)
                    self.reached[path] = block[0]

    def _forwards(self, path: Path, before: int | None) -> Iterator[Found]:
        """The lines of a gzipped file that pass, from its start, where alone it can be read: all of it.

        It is begun only while the budget holds all of it, or as the first file of a search: else the same file would
        stop every search that is resumed.
        """
        try:
            if unzipped_bytes(path) > self.budget.left and self.budget.spent:
                self.budget.short = True
                return
            for offset, data in gzipped(path):
                self.budget.take(len(data))
                stop = len(data) if before is None else before - offset
                if stop <= 0:
                    break
                yield from reversed(list(self._lines((offset, data[:stop]), path, unfinished=False)))
        except OSError as why:
            self.unreadable[path] = why.strerror or str(why)  # what came before the damage counts

    def _lines(self, block: Block, path: Path, *, unfinished: bool) -> Iterator[Found]:
        offset, data = block
        wanted = Wanted() if self.only_malformed else self.wanted
        for place, raw in wanted.candidates(data):
            if not raw.strip():
                continue
            behind = offset + place + len(raw) + 1
            try:
                line = parse(raw, path, offset + place)
            except Malformed:
                if unfinished and place + len(raw) == len(data):
                    continue  # the last line, still being written
                self.malformed += 1
                if self.only_malformed:
                    shown = raw[: 4 * LONGEST_RAW].decode(errors="replace")[:LONGEST_RAW]
                    yield LogLine(None, None, "", None, {}, shown, path, offset + place), behind
                continue
            if not self.only_malformed and self.wanted.accepts(line):
                yield line, behind


def _merge(
    search: Search, paths: list[Path], resume: Mapping[Path, int]
) -> tuple[list[LogLine], dict[Path, int]]:
    """The newest lines of all files, and how much of each file is left to search.

    A file is opened when the newest line found so far is older than the file's last change: a directory of a thousand
    old logs costs a thousand stats.
    """
    waiting = sorted(((changed(path), path) for path in paths), key=lambda item: item[0])
    places = {path: resume.get(path, _size(path)) for path in paths}
    heads: list[tuple[float, int, LogLine, int, Iterator[Found]]] = []
    lines: list[LogLine] = []
    turns = itertools.count()

    def advance(reader: Iterator[Found], path: Path, newer: float) -> None:
        found = next(reader, None)
        if found is None:
            short = search.budget.short and path not in search.unreadable
            places[path] = search.reached.get(path, places[path]) if short else 0
            return
        line, behind = found
        # a line without a time stands where it stands in its file
        at = newer if line.time is None else line.time.timestamp()
        heapq.heappush(heads, (-at, next(turns), line, behind, reader))

    while len(lines) < search.limit:
        while waiting and (not heads or waiting[-1][0] + _CLOCK_SLACK_SECONDS >= -heads[0][0]):
            at, path = waiting.pop()
            advance(search.read(path, resume.get(path)), path, at)
        if not heads:
            break
        minus_at, _, line, _, reader = heapq.heappop(heads)
        lines.append(line)
        places[line.path] = line.offset
        advance(reader, line.path, -minus_at)
    for _, _, line, behind, _ in heads:  # found, but not shown: the next page begins with them
        places[line.path] = behind
    return lines, places


def changed(path: Path) -> float:
    """When the file was last written, in unix seconds; now, where that cannot be known."""
    try:
        return path.stat().st_mtime
    except OSError:
        return datetime.now(UTC).timestamp()


def _size(path: Path) -> int:
    try:
        return unzipped_bytes(path) if path.suffix == ".gz" else path.stat().st_size
    except OSError:
        return 0
