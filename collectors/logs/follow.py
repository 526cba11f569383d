"""The lines that are new since the last look, through rotation, truncation and half-written lines."""

import os
from pathlib import Path
from typing import BinaryIO

from collectors.logs.line import LogLine, Malformed, parse

_MOST_BYTES = 16 << 20  # taken in at one poll; the rest comes with the next


class Follow:
    """Follows one file by inode and offset. Not safe for threads.

    A file that was renamed is read to its end before its successor is begun. Several rotations between two polls lose
    the files in between: poll more often than the log rotates.
    """

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        """Begin at the end of what is there, or at its start. The file need not exist yet."""
        self.path = Path(path)
        self.malformed = 0
        self._offset = 0
        self._half = b""
        self._file: BinaryIO | None = self._opened()
        if self._file is not None and not from_start:
            self._offset = _whole_end(self._file)

    def poll(self) -> list[LogLine]:
        """Whole lines written since the last poll, oldest first; raises OSError when the file cannot be read."""
        if self._file is None:
            self._file = self._opened()
        lines = self._take()
        if self._replaced():
            lines += self._take()  # what came between reading and renaming
            self.close()
            self._file = self._opened()
            lines += self._take()
        return lines

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._offset, self._half = None, 0, b""

    def _opened(self) -> BinaryIO | None:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            return None

    def _take(self) -> list[LogLine]:
        if self._file is None:
            return []
        size = os.fstat(self._file.fileno()).st_size
        if size < self._offset:  # cut: what is there now is new
            self._offset, self._half = 0, b""
        new = os.pread(self._file.fileno(), _MOST_BYTES, self._offset)
        begin = self._offset - len(self._half)
        self._offset += len(new)
        data = self._half + new
        *whole, self._half = data.split(b"\n")
        lines = []
        for raw in whole:
            if raw.strip():
                try:
                    lines.append(parse(raw, self.path, begin))
                except Malformed:
                    self.malformed += 1
            begin += len(raw) + 1
        return lines

    def _replaced(self) -> bool:
        if self._file is None:
            return False
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False  # renamed, and its successor is not there yet: go on with the old one
        ours = os.fstat(self._file.fileno())
        return (now.st_ino, now.st_dev) != (ours.st_ino, ours.st_dev)


def _whole_end(file: BinaryIO) -> int:
    """The end of the last whole line, so that a half one is given when it is whole."""
    size = os.fstat(file.fileno()).st_size
    data = os.pread(file.fileno(), 1 << 20, max(0, size - (1 << 20)))
    return size - len(data) + data.rfind(b"\n") + 1
