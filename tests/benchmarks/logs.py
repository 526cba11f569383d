"""The rows about long logs: the newest lines, a generation's, the errors, and what no filter may exceed, of one big file.

The floor of each row is a plain reading of as many bytes (`os.pread` in blocks of 4 MB, nothing decoded) in the same
round, so that a ratio says what our work costs beyond moving the bytes. The file is written anew and deleted.
"""

import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collectors.logs import Errors, LogIndex, LogPage, errors, tail
from tests.benchmarks.measure import compare, milliseconds, seconds

LINES, FULL_LINES = 500_000, 5_000_000
BUDGET_BYTES = 64 << 20  # that of the Logs page
BLOCK_BYTES = 4 << 20
GENERATION_LINES = 1000
_AT_ONCE = 20_000
_BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
_TYPES = ("ValueError", "FloatingPointError", "OutOfMemoryError")


def write(path: Path, count: int) -> int:
    """A run's log as the observer writes it: 1 000 lines a generation, one in 2 000 an error, now and then half a line. Its bytes."""
    draw = random.Random(1)
    with path.open("w") as file:
        for begin in range(0, count, _AT_ONCE):
            file.write("".join(_line(number, draw) for number in range(begin, min(count, begin + _AT_ONCE))))
    return path.stat().st_size


def _line(number: int, draw: random.Random) -> str:
    chance = draw.random()
    if chance < 1e-6:
        return '{"event": "cut\n'
    failed = chance < 0.0005
    stamp = (_BEGAN + timedelta(milliseconds=10 * number)).isoformat(timespec="milliseconds")
    said = (
        f'"error_type": "{_TYPES[number % 3]}", "message": "no"'
        if failed
        else f'"latency_seconds": {chance:.9f}'
    )
    return (
        f'{{"event": "{"Evolution step failed" if failed else "Routing decision made"}", '
        f'"level": "{"error" if failed else "info" if number % 3 else "debug"}", '
        f'"logger": "self_evolving_moe.part{number % 4}", "timestamp": "{stamp}", "run_id": "bench", '
        f'"generation": {number // GENERATION_LINES}, "number": {number}, "token_id": {number % 512}, '
        f'"expert_id": {number % 64}, {said}}}\n'
    )


class Report:
    """Rows of the table, one line each; `missed` counts the lines that were not reached."""

    def __init__(self, directory: Path, *, lines: int, rounds: int) -> None:
        self.path, self.lines, self.rounds = directory / "events.jsonl", lines, rounds
        self.missed = 0

    def rows(self) -> Iterator[str]:
        """Write the file, then measure row by row."""
        size = write(self.path, self.lines)
        yield f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {self.lines:,} lines, {size / 1e9:.2f} GB; floor: as many bytes read plainly"
        yield f"{'what':<44}{'read':>10}{'floor':>10}{'ours':>10}{'wall':>9}{'CPU':>8}  to reach"
        yield from self.newest()
        yield from self.generations()
        yield from self.filters(size)

    def newest(self) -> Iterator[str]:
        """The last lines, which must not depend on the file's size."""
        for limit, most in ((200, 0.05), (2000, 0.25)):
            yield self.line(
                f"last {limit:,} lines", lambda limit=limit: tail([self.path], limit=limit), most=most,
                right=lambda page, limit=limit: len(page.lines) == limit,
            )  # fmt: skip

    def generations(self) -> Iterator[str]:
        """One generation's lines through the index, wherever in the file they stand, and what the index costs once."""
        index = LogIndex()
        size = self.path.stat().st_size
        floor = seconds(lambda: read_plainly(self.path, 0, size))
        built = seconds(lambda: index.update([self.path], seconds=3600))
        yield f"{'building the index, once':<44}{_size(size):>10}{milliseconds(floor):>10}{milliseconds(built):>10}{built / floor:>8.2f}×"
        last = self.lines // GENERATION_LINES - 1
        for name, generation in (("first", 0), ("middle", last // 2), ("last", last)):
            yield self.line(
                f"the {name} generation, with the index",
                lambda generation=generation: tail(
                    [self.path], limit=2 * GENERATION_LINES, generation=generation, index=index, budget_bytes=BUDGET_BYTES
                ),
                most=0.1, most_bytes=4 * BLOCK_BYTES,
                right=lambda page, generation=generation: page.exhausted and {line.fields["generation"] for line in page.lines} == {generation}
                and len(page.lines) > 0.99 * GENERATION_LINES,
            )  # fmt: skip

    def filters(self, size: int) -> Iterator[str]:
        """Filters that find little or nothing: what they read has an end, whatever the file's size."""
        for name, asked in {
            "level error": {"level": "error"},
            "an event": {"event": "Evolution step failed"},
            "a logger nobody has": {"logger": "nobody"},
            "a run nobody has": {"run_id": "other"},
            "a trace nobody has": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
            "a generation, without the index": {"generation": 0},
            "a text that is nowhere": {"text": "nowhere to be found"},
        }.items():
            yield self.line(
                name, lambda asked=asked: tail([self.path], limit=100_000, budget_bytes=BUDGET_BYTES, **asked), most=None,
                most_bytes=BUDGET_BYTES, right=lambda page: page.exhausted is (size <= BUDGET_BYTES),
            )  # fmt: skip
        yield self.line(
            "errors by type", lambda: errors([self.path], budget_bytes=BUDGET_BYTES), most=None, most_bytes=BUDGET_BYTES,
            right=lambda found: sorted(kind.name for kind in found.types) == sorted(_TYPES),
        )  # fmt: skip

    def line(
        self, what: str, way: Callable[[], LogPage | Errors], *, most: float | None, right: Callable[..., bool],
        most_bytes: int = BUDGET_BYTES,
    ) -> str:  # fmt: skip
        """One row: the file's end is the floor, since that is where most looks begin."""
        found = way()
        size = self.path.stat().st_size
        begin = max(0, size - found.scanned_bytes)
        took = compare(lambda: read_plainly(self.path, begin, size), {"ours": way}, self.rounds, os.getpid())
        floor, ours = took["floor"], took["ours"]
        reached = (
            right(found)
            and found.scanned_bytes <= most_bytes
            and (most is None or ours.own_cpu_seconds <= most)
        )
        self.missed += not reached
        reach = f"≤ {_size(most_bytes)}" + (f", ≤ {milliseconds(most)} of CPU" if most is not None else "")
        return (
            f"{what:<44}{_size(found.scanned_bytes):>10}{milliseconds(floor.seconds):>10}{milliseconds(ours.seconds):>10}"
            f"{ours.ratio:>8.2f}×{ours.own_cpu_seconds / max(floor.own_cpu_seconds, 1e-9):>7.2f}×  {reach} {'✓' if reached else '✗'}"
        )


def read_plainly(path: Path, begin: int, end: int) -> None:
    """Move these bytes and do nothing with them."""
    with path.open("rb", buffering=0) as file:
        for position in range(begin, end, BLOCK_BYTES):
            os.pread(file.fileno(), min(BLOCK_BYTES, end - position), position)


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
