"""The board on which dashboards show each other their benchmark runs, and leave requests: start one there, cancel that.

A place is one dashboard with its data directory. Each place writes its own runs and heartbeat, and claims the requests
addressed to it; a request is claimed once, by a conditional update. What is in a summary, a detail or a request is
text that `dashboard.benchmark.hosts` writes and reads; nothing here knows what a benchmark is. Times are unix seconds.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

KEPT = 500  # runs a place keeps on the board
_REQUESTS_KEPT_SECONDS = 86_400.0


class _Cursor(Protocol):
    def execute(self, sql: str, values: Sequence[object] = ...) -> int: ...


class _Database(Protocol):
    def transaction(self) -> AbstractContextManager[_Cursor]: ...

    def rows(self, sql: str, values: Sequence[object] = ...) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Posted:
    """A run as its place last showed it. `summary` and `detail` are JSON."""

    run_id: str
    place: str
    summary: str
    detail: str
    at: float


@dataclass(frozen=True, slots=True)
class PlaceSeen:
    """A dashboard that shows its runs here, and when it was last heard."""

    place: str
    host: str
    offers: str  # JSON: what can be started there
    heard_at: float


@dataclass(frozen=True, slots=True)
class Request:
    """Something one place asks of another."""

    number: int
    action: str
    detail: str  # JSON
    who: str


class Board:
    """All of it; every method raises `Unavailable` where the database cannot be used."""

    def __init__(self, database: _Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def post(self, place: PlaceSeen, runs: Sequence[Posted]) -> None:
        """Show that a place lives, and runs of it that are new or changed."""
        now = self._clock()
        with self._database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO benchmark_places (place, host, offers, heard_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (place) DO UPDATE SET host = excluded.host, offers = excluded.offers,"
                " heard_at = excluded.heard_at",
                (place.place, place.host, place.offers, now),
            )
            for run in runs:
                cursor.execute(
                    "INSERT INTO benchmark_runs (run_id, place, summary, detail, at) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (run_id) DO UPDATE SET place = excluded.place, summary = excluded.summary,"
                    " detail = excluded.detail, at = excluded.at",
                    (run.run_id, place.place, run.summary, run.detail, now),
                )
            if runs:
                cursor.execute(
                    "DELETE FROM benchmark_runs WHERE place = ? AND run_id NOT IN"
                    " (SELECT run_id FROM benchmark_runs WHERE place = ? ORDER BY run_id DESC LIMIT ?)",
                    (place.place, place.place, KEPT),
                )

    def places(self) -> tuple[PlaceSeen, ...]:
        """Every place that ever showed itself, by name of its host."""
        rows = self._database.rows(
            "SELECT place, host, offers, heard_at FROM benchmark_places ORDER BY host, place"
        )
        return tuple(PlaceSeen(*row) for row in rows)

    def posted(self, *, but: str) -> tuple[Posted, ...]:
        """Runs of every place but one, newest first, without their details."""
        rows = self._database.rows(
            "SELECT run_id, place, summary, '', at FROM benchmark_runs WHERE place <> ? ORDER BY run_id DESC",
            (but,),
        )
        return tuple(Posted(*row) for row in rows)

    def one(self, run_id: str) -> Posted | None:
        """One run with its detail."""
        rows = self._database.rows(
            "SELECT run_id, place, summary, detail, at FROM benchmark_runs WHERE run_id = ?", (run_id,)
        )
        return Posted(*rows[0]) if rows else None

    def ask(self, place: str, action: str, detail: str, who: str) -> None:
        """Leave a request for a place."""
        now = self._clock()
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM benchmark_requests WHERE at < ?", (now - _REQUESTS_KEPT_SECONDS,))
            cursor.execute(
                "INSERT INTO benchmark_requests (place, action, detail, who, at) VALUES (?, ?, ?, ?, ?)",
                (place, action, detail, who, now),
            )

    def claim(self, place: str, *, younger_than_seconds: float) -> tuple[Request, ...]:
        """Take the requests for a place, each once; one that waited too long is nobody's wish any more."""
        now = self._clock()
        found = self._database.rows(
            "SELECT id, action, detail, who FROM benchmark_requests"
            " WHERE place = ? AND claimed_at IS NULL AND at > ? ORDER BY id",
            (place, now - younger_than_seconds),
        )
        taken = []
        for row in found:
            with self._database.transaction() as cursor:
                if cursor.execute(
                    "UPDATE benchmark_requests SET claimed_at = ? WHERE id = ? AND claimed_at IS NULL",
                    (now, row[0]),
                ):
                    taken.append(Request(*row))
        return tuple(taken)

    def answer(self, number: int, text: str) -> None:
        """Say what became of a request."""
        with self._database.transaction() as cursor:
            cursor.execute("UPDATE benchmark_requests SET answer = ? WHERE id = ?", (text, number))

    def refused(self, place: str, *, younger_than_seconds: float) -> tuple[tuple[str, str], ...]:
        """Requests to a place that came to nothing lately, newest first: (who, why)."""
        rows = self._database.rows(
            "SELECT who, answer FROM benchmark_requests WHERE place = ? AND at > ?"
            " AND substr(answer, 1, 9) = 'refused: ' ORDER BY id DESC",
            (place, self._clock() - younger_than_seconds),
        )
        return tuple((str(who), str(answer).removeprefix("refused: ")) for who, answer in rows)
