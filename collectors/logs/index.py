"""Which parts of a log can hold a generation, a level or an event: a few numbers for every 4 MB, kept in memory.

Built once and then added to as the file grows. A file that was replaced or cut is indexed anew. The index only ever
rules parts out: what it does not know yet is searched.
"""

import itertools
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from collectors.logs.line import event_of, level_of, rank
from collectors.logs.wanted import Wanted

PART_BYTES = 4 << 20
_PIECE_BYTES = 512 << 10  # parsed at once: longer would hold other threads up for longer
_MOST_WORDS = 64  # different events or runs remembered for a part; beyond, it may hold any


@dataclass(slots=True)
class _Part:
    begin: int
    end: int
    lines: int = 0
    malformed: int = 0
    first_generation: float = float("inf")
    last_generation: float = float("-inf")
    ranks: int = 0  # bit n: a line of rank n
    events: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)

    def may_hold(self, wanted: Wanted) -> bool:
        least = rank(wanted.level)
        return (
            (wanted.generation is None or self.first_generation <= wanted.generation <= self.last_generation)
            and (least is None or self.ranks >> least != 0)
            and _may(self.events, wanted.event)
            and _may(self.runs, wanted.run_id)
        )


@dataclass(slots=True)
class _File:
    inode: int
    parts: list[_Part] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.parts[-1].end if self.parts else 0


class LogIndex:
    """The index of any number of plain files. Safe to share between threads; about 0.3 kB for every 4 MB of log."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._files: dict[Path, _File] = {}
        self._lock = threading.Lock()

    def update(self, paths: Iterable[Path], seconds: float = 0.2) -> bool:
        """Take in what is new, for about so long. True: everything is indexed but the last unfinished part."""
        until = time.monotonic() + seconds
        for path in paths:
            if path.suffix == ".gz":
                continue  # read forwards anyway
            try:
                with path.open("rb") as file:
                    if not self._extend(path, file.fileno(), until):
                        return False
            except OSError:
                self._files.pop(path, None)
        return True

    def ranges(self, path: Path, inode: int, end: int, wanted: Wanted) -> list[tuple[int, int]]:
        """Where in the first `end` bytes of the file `wanted` may stand: (begin, end) from the last to the first.

        The inode keeps a file that was replaced since from being searched by its predecessor's index.
        """
        with self._lock:
            known = self._files.get(path)
            parts = (
                list(known.parts) if known is not None and known.inode == inode and known.end <= end else []
            )
        found = [(parts[-1].end if parts else 0, end)]
        for part in reversed(parts):
            if part.may_hold(wanted):
                if found[-1][0] == part.end:
                    found[-1] = (part.begin, found[-1][1])
                else:
                    found.append((part.begin, part.end))
        return [(begin, stop) for begin, stop in found if begin < stop]

    def malformed(self, path: Path) -> int:
        """Lines of this file that are not JSON objects, as far as it is indexed."""
        with self._lock:
            known = self._files.get(path)
            return sum(part.malformed for part in known.parts) if known else 0

    def _extend(self, path: Path, descriptor: int, until: float) -> bool:
        about = os.fstat(descriptor)
        with self._lock:
            known = self._files.get(path)
            if known is None or known.inode != about.st_ino or known.end > about.st_size:
                known = self._files[path] = _File(about.st_ino)
        while known.end + PART_BYTES <= about.st_size:  # a part is indexed once, when it is full
            if time.monotonic() >= until:
                return False
            part = _read_part(descriptor, known.end, about.st_size)
            with self._lock:
                if part is None:
                    return True  # one line without an end: nothing to index before it has one
                if self._files.get(path) is known and known.end == part.begin:
                    known.parts.append(part)
        return True


def _read_part(descriptor: int, begin: int, size: int) -> _Part | None:
    """The part that begins here: about 4 MB, to the end of a line."""
    length = PART_BYTES
    while True:
        data = os.pread(descriptor, length, begin)
        last = data.rfind(b"\n") + 1
        if last:
            break
        if begin + length >= size:
            return None
        length *= 2
    part = _Part(begin, begin + last)
    at = 0
    while at < last:
        stop = data.rfind(b"\n", at, min(last, at + _PIECE_BYTES)) + 1 or data.find(b"\n", at) + 1
        _take(part, data[at:stop])
        at = stop
    return part


def _take(part: _Part, piece: bytes) -> None:
    lines = piece.split(b"\n")
    lines.pop()
    part.lines += len(lines)
    said: Sequence[Any]
    try:
        said = orjson.loads(b"[" + b",".join(lines) + b"]")  # all at once is twice as fast as one by one
        if len(said) != len(lines):
            said = [_loads(line) for line in lines]
    except orjson.JSONDecodeError:
        said = [_loads(line) for line in lines]
    levels: set[str | None] = set()
    events: set[str] = set()
    runs: set[str] = set()
    for fields, line in zip(
        said, lines, strict=True
    ):  # the usual spelling first: this loop is most of the cost
        if type(fields) is not dict:
            part.malformed += bool(line.strip())
            continue
        get = fields.get
        generation = get("generation")
        if type(generation) is int or type(generation) is float:
            if generation < part.first_generation:
                part.first_generation = generation
            if generation > part.last_generation:
                part.last_generation = generation
        level, event, run_id = get("level"), get("event"), get("run_id")
        levels.add(level if type(level) is str else level_of(fields))
        events.add(event if type(event) is str else event_of(fields))
        if run_id is not None:
            runs.add(run_id if type(run_id) is str else str(run_id))
    for known in map(rank, levels):
        part.ranks |= 0 if known is None else 1 << known
    part.events |= set(itertools.islice(events, _MOST_WORDS + 1))
    part.runs |= set(itertools.islice(runs, _MOST_WORDS + 1))


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _may(known: set[str], wanted: str | None) -> bool:
    return wanted is None or wanted in known or len(known) > _MOST_WORDS
