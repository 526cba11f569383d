"""One kind of event out of a run's events.jsonl, however much else is written there. Knows no run and no metric.

Read from where the last look ended, whole lines only; lines that are not the event are passed over without being parsed.
"""

import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from collectors.unavailable import Unavailable

_READ_BYTES = 8 << 20  # read at once; a line may be longer
_MOST = 10_000  # events kept; the newest


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One line. `time` is unix seconds, None where the line has none."""

    time: float | None
    fields: Mapping[str, Any]


class Events:
    """The lines of one file with one `event`. Safe to share between threads."""

    def __init__(self, path: Path, event: str) -> None:
        self._path, self._event = path, event
        self._needle = orjson.dumps(event)
        self._guard = threading.Lock()
        self._inode, self._offset = -1, 0
        self._found: deque[RunEvent] = deque(maxlen=_MOST)
        self._said: tuple[RunEvent, ...] = ()

    def read(self) -> tuple[RunEvent, ...]:
        """All of them so far, oldest first; the same object until one is added. A file that was replaced is read anew.

        Raises:
            Unavailable: the file is there and cannot be read.
        """
        with self._guard:
            try:
                with self._path.open("rb") as file:
                    about = os.fstat(file.fileno())
                    if about.st_ino != self._inode or about.st_size < self._offset:
                        self._inode, self._offset = about.st_ino, 0
                        self._found.clear()
                    file.seek(self._offset)
                    rest = b""
                    while piece := file.read(_READ_BYTES):
                        rest += piece
                        whole = rest.rfind(b"\n") + 1
                        self._take(rest[:whole])
                        rest = rest[whole:]
                        self._offset += whole
            except FileNotFoundError:
                self._inode, self._offset = -1, 0
                self._found.clear()
            except OSError as why:
                raise Unavailable(f"The log {self._path} cannot be read ({why}).", kind="unreadable") from why
            if len(self._said) != len(self._found) or (self._found and self._said[-1] is not self._found[-1]):
                self._said = tuple(self._found)
            return self._said

    def _take(self, lines: bytes) -> None:
        at = lines.find(self._needle)
        while at >= 0:  # jump from one mention to the next
            start, end = lines.rfind(b"\n", 0, at) + 1, lines.find(b"\n", at)
            try:
                said = orjson.loads(lines[start:end])
            except ValueError:
                said = None
            if isinstance(said, dict) and said.get("event") == self._event:
                self._found.append(RunEvent(_seconds(said.get("timestamp")), said))
            at = lines.find(self._needle, end)


def _seconds(stamp: object) -> float | None:
    try:
        when = datetime.fromisoformat(stamp) if isinstance(stamp, str) else None
    except ValueError:
        return None
    return when.timestamp() if when is not None and when.tzinfo is not None else None
