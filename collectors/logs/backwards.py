"""A file read from its end in blocks of whole lines, within a budget of bytes. Knows no JSON."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

FIRST_BYTES = 256 << 10  # the last 200 lines are usually here
BLOCK_BYTES = 4 << 20
LONGEST_LINE_BYTES = 16 << 20  # a longer "line" is no log line; it is passed over

_SMALLEST_GZIP_BYTES = 18  # header and trailer

Block = tuple[int, bytes]  # offset of the first byte, whole lines


class Budget:
    """How many bytes one search may still read. `short` says that it ran out before the search was over."""

    def __init__(self, left: int) -> None:
        """So many bytes in all, for every file of the search together."""
        self.left = left
        self.spent = 0
        self.short = False

    def take(self, wanted: int) -> bool:
        """Take so many; False, and `short`, when nothing is left."""
        if self.left <= 0:
            self.short = True
            return False
        self.left -= wanted
        self.spent += wanted
        return True


def blocks(descriptor: int, begin: int, end: int, budget: Budget) -> Iterator[Block]:
    """Blocks from the last to the first. `begin` and `end` are starts of lines, or the file's own ends."""
    position, rest, size = end, b"", FIRST_BYTES
    while position > begin:
        size = min(size, position - begin, max(1, budget.left))
        if not budget.take(size):
            return
        position -= size
        data = os.pread(descriptor, size, position) + rest
        size = BLOCK_BYTES
        first = 0 if position == begin else data.find(b"\n") + 1
        if position > begin and first == 0:  # all of it is the middle of one line
            rest = data if len(data) <= LONGEST_LINE_BYTES else b"\n"
            continue
        rest = data[:first]
        if first < len(data):
            yield position + first, data[first:]


def gzipped(path: Path) -> Iterator[Block]:
    """Blocks of a gzipped file, from the first to the last: it can be read no other way.

    Raises:
        OSError: it is damaged or cut off; the blocks before that were given.
    """
    offset, rest = 0, b""
    try:
        with gzip.open(path, "rb") as file:
            while piece := file.read(BLOCK_BYTES):
                data = rest + piece
                last = data.rfind(b"\n") + 1
                if last:
                    yield offset, data[:last]
                    offset += last
                rest = data[last:] if len(data) - last <= LONGEST_LINE_BYTES else b""
    except (EOFError, zlib.error) as why:
        raise OSError(f"the gzip is damaged ({why})") from why
    if rest:
        yield offset, rest


def unzipped_bytes(path: Path) -> int:
    """About how much text a gzipped file holds: its last four bytes say it modulo 4 GiB (RFC 1952), a cut file lies.

    Logs shrink ten- to twentyfold; more than thirtyfold is not believed.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _SMALLEST_GZIP_BYTES:
            return 0
        file.seek(-4, os.SEEK_END)
        return min(30 * size, int.from_bytes(file.read(4), "little"))
