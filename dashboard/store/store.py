"""What may be said and what is kept of it: each write is one transaction together with its line in the audit log.

In SQLite, one file of the data directory, or in PostgreSQL where several dashboards share it; the statements are the
same for both, with ? for values. Knows no alert and no page: keys are text that others make. Times are unix seconds.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from dashboard.store.board import Board
from dashboard.store.postgres import Postgres
from dashboard.store.said import Acknowledgement, Action, Author, Baseline, Note, Tick
from dashboard.store.sqlite import Sqlite

LONGEST = 10_000  # letters of a comment or note
_ALWAYS = 1e18  # seconds; later than any time


class _Cursor(Protocol):
    def execute(self, sql: str, values: Sequence[object] = ...) -> int: ...


class _Database(Protocol):
    where: str

    def transaction(self) -> AbstractContextManager[_Cursor]: ...

    def rows(self, sql: str, values: Sequence[object] = ...) -> list[tuple[Any, ...]]: ...

    def close(self) -> None: ...


class Store:
    """The one store of this server; safe to share between threads, and between the processes that use one database.

    Every method raises `Unavailable` (kind "store") where the database cannot be read or written, and ValueError for a
    name or text that is empty or too long.

    Args:
        database: the path of an SQLite file, made if missing, or a postgresql:// URL.
        clock: unix seconds; of this machine also where the database is another's.
    """

    def __init__(self, database: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = _opened(database)
        self._clock = clock
        self.benchmarks = Board(self._database, clock)

    @property
    def where(self) -> str:
        """The file, or host and database; never a password."""
        return self._database.where

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self._database.close()

    def probe(self) -> None:
        """Write and take it back: raises Unavailable where that fails."""
        with suppress(_TakenBack), self._database.transaction() as cursor:
            _audit(cursor, 0.0, Author(""), "probe", "", {})
            raise _TakenBack

    def version(self) -> int:
        """A number that grows with every write of anybody: equal numbers mean nothing changed."""
        [(newest,)] = self._database.rows("SELECT coalesce(max(id), 0) FROM audit")
        return int(newest)

    # acknowledgements

    def acknowledge(
        self, fingerprint: str, *, alert: str, who: Author | str, comment: str = ""
    ) -> Acknowledgement:
        """Take an alert; who took it before is replaced."""
        author, comment, now = _author(who), _words(comment), self._clock()
        with self._written(
            now, author, "acknowledge", alert, fingerprint=fingerprint, comment=comment
        ) as cursor:
            cursor.execute(
                "UPDATE acknowledgements SET ended_at = ?, ended_by = ? WHERE fingerprint = ? AND ended_at IS NULL",
                (now, author.name, fingerprint),
            )
            cursor.execute(
                "INSERT INTO acknowledgements (fingerprint, alert, who, comment, at) VALUES (?, ?, ?, ?, ?)",
                (fingerprint, alert, author.name, comment, now),
            )
        return Acknowledgement(fingerprint, alert, author.name, comment, now, None, None)

    def release(self, fingerprint: str, *, alert: str, who: Author | str) -> None:
        """Give an alert back; nothing happens where nobody has it."""
        author, now = _author(who), self._clock()
        with self._written(now, author, "release", alert, fingerprint=fingerprint) as cursor:
            cursor.execute(
                "UPDATE acknowledgements SET ended_at = ?, ended_by = ? WHERE fingerprint = ? AND ended_at IS NULL",
                (now, author.name, fingerprint),
            )

    def alerts_ended(self, fingerprints: Sequence[str]) -> None:
        """These alerts are over, and with them their acknowledgements; one that ended already is no news."""
        if not fingerprints:
            return
        now = self._clock()
        with self._database.transaction() as cursor:
            ended = [
                fingerprint
                for fingerprint in fingerprints
                if cursor.execute(
                    "UPDATE acknowledgements SET ended_at = ? WHERE fingerprint = ? AND ended_at IS NULL",
                    (now, fingerprint),
                )
            ]
            if ended:
                _audit(cursor, now, Author(""), "alerts ended", "", {"fingerprints": ended})

    def acknowledgements(
        self, *, fingerprint: str | None = None, ended: bool = False
    ) -> tuple[Acknowledgement, ...]:
        """Who has what, oldest first; with `ended`, those that are over too."""
        rows = self._database.rows(
            "SELECT fingerprint, alert, who, comment, at, ended_at, ended_by FROM acknowledgements"
            " WHERE (? OR ended_at IS NULL) AND (CAST(? AS TEXT) IS NULL OR fingerprint = ?) ORDER BY at, id",
            (ended, fingerprint, fingerprint),
        )
        return tuple(Acknowledgement(*row) for row in rows)

    # notes

    def note(self, fingerprint: str, *, alert: str, who: Author | str, text: str) -> Note:
        """Write something on an alert."""
        author, text, now = _author(who), _words(text, needed=True), self._clock()
        with self._written(now, author, "note", alert, fingerprint=fingerprint, text=text) as cursor:
            cursor.execute(
                "INSERT INTO notes (fingerprint, alert, who, text, at) VALUES (?, ?, ?, ?, ?)",
                (fingerprint, alert, author.name, text, now),
            )
        return Note(fingerprint, alert, author.name, text, now)

    def notes(
        self, fingerprint: str | None = None, *, start: float = 0.0, end: float = _ALWAYS
    ) -> tuple[Note, ...]:
        """Notes on one alert or on all, oldest first, written between two times."""
        rows = self._database.rows(
            "SELECT fingerprint, alert, who, text, at FROM notes"
            " WHERE (CAST(? AS TEXT) IS NULL OR fingerprint = ?) AND at BETWEEN ? AND ? ORDER BY at, id",
            (fingerprint, fingerprint, start, end),
        )
        return tuple(Note(*row) for row in rows)

    # ticks

    def tick(self, episode: str, step: str, *, who: Author | str, note: str = "") -> Tick:
        """A step is done; ticking it again replaces who and when."""
        author, note, now = _author(who), _words(note), self._clock()
        with self._written(now, author, "tick", step, episode=episode, note=note) as cursor:
            cursor.execute(
                "INSERT INTO ticks (episode, step, who, note, at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (episode, step) DO UPDATE SET who = excluded.who, note = excluded.note, at = excluded.at",
                (episode, step, author.name, note, now),
            )
        return Tick(episode, step, author.name, note, now)

    def untick(self, episode: str, step: str, *, who: Author | str) -> None:
        """A step is not done after all; that it was said so stays in the audit log."""
        author, now = _author(who), self._clock()
        with self._written(now, author, "untick", step, episode=episode) as cursor:
            cursor.execute("DELETE FROM ticks WHERE episode = ? AND step = ?", (episode, step))

    def ticks(self, episode: str) -> Mapping[str, Tick]:
        """What is done in an episode, by step."""
        rows = self._database.rows(
            "SELECT episode, step, who, note, at FROM ticks WHERE episode = ? ORDER BY at", (episode,)
        )
        return {row[1]: Tick(*row) for row in rows}

    def ticked(self, alert: str) -> Mapping[str, float]:
        """The episodes of an alert in which something is ticked off, each with its newest tick's time.

        `alert` is what stands before the @ of an episode's key.
        """
        rows = self._database.rows(
            "SELECT episode, max(at) FROM ticks WHERE substr(episode, 1, ?) = ? GROUP BY episode",
            (len(alert) + 1, f"{alert}@"),
        )
        return {episode: float(at) for episode, at in rows}

    # the baseline

    def pin(self, run_id: str, *, who: Author | str) -> Baseline:
        """Make a run everybody's baseline; the one before is none any more."""
        author, now = _author(who), self._clock()
        if not run_id or len(run_id) > 200:
            raise ValueError("The id of a run has 1 to 200 letters.")
        with self._written(now, author, "pin baseline", run_id) as cursor:
            cursor.execute(
                "INSERT INTO baseline (place, run_id, who, at) VALUES (1, ?, ?, ?) ON CONFLICT (place)"
                " DO UPDATE SET run_id = excluded.run_id, who = excluded.who, at = excluded.at",
                (run_id, author.name, now),
            )
        return Baseline(run_id, author.name, now)

    def unpin(self, run_id: str, *, who: Author | str) -> None:
        """This run is no baseline any more; nothing happens where another has taken its place meanwhile."""
        author, now = _author(who), self._clock()
        with self._database.transaction() as cursor:
            if cursor.execute("DELETE FROM baseline WHERE run_id = ?", (run_id,)):
                _audit(cursor, now, author, "unpin baseline", run_id, {})

    def baseline(self) -> Baseline | None:
        """The run that is pinned now."""
        found = self._database.rows("SELECT run_id, who, at FROM baseline")
        return Baseline(*found[0]) if found else None

    # audit

    def record(self, *, who: Author | str, action: str, subject: str, **detail: Any) -> None:
        """Write down something that was done elsewhere: a benchmark started, a silence made."""
        with self._written(self._clock(), _author(who), action, subject, **detail):
            pass

    def audit(
        self, *, limit: int = 200, subject: str | None = None, start: float = 0.0, end: float = _ALWAYS
    ) -> tuple[Action, ...]:
        """What was done between two times, newest first."""
        rows = self._database.rows(
            "SELECT id, at, who, action, subject, detail, address, session, account FROM audit"
            " WHERE (CAST(? AS TEXT) IS NULL OR subject = ?) AND at BETWEEN ? AND ? ORDER BY id DESC LIMIT ?",
            (subject, subject, start, end, limit),
        )
        return tuple(
            Action(number, at, who, action, about, json.loads(detail), *origin)
            for number, at, who, action, about, detail, *origin in rows
        )

    # the database

    @contextmanager
    def _written(self, at: float, who: Author, action: str, subject: str, **detail: Any) -> Iterator[_Cursor]:
        """One transaction with its line in the audit log: both are kept, or neither is."""
        with self._database.transaction() as cursor:
            yield cursor
            _audit(cursor, at, who, action, subject, detail)


class _TakenBack(Exception):
    """Nothing of this transaction is meant to stay."""


def _opened(where: Path | str) -> _Database:
    if isinstance(where, Path):
        return Sqlite(where)
    if not where.startswith(("postgresql://", "postgres://")):
        raise ValueError("The store's URL begins with postgresql://; without one the store is SQLite.")
    return Postgres(where)


def _audit(
    cursor: _Cursor, at: float, who: Author, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    cursor.execute(
        "INSERT INTO audit (at, who, action, subject, detail, address, session, account)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            at,
            who.name,
            action,
            subject,
            json.dumps(detail, default=str),
            who.address,
            who.session,
            who.account,
        ),
    )


def _author(who: Author | str) -> Author:
    author = Author(who) if isinstance(who, str) else who
    if not author.name.strip():
        raise ValueError("Say who you are: a name is kept with what you write.")
    if len(author.name) > 200:
        raise ValueError("A name has at most 200 letters.")
    return replace(author, name=author.name.strip())


def _words(text: str, *, needed: bool = False) -> str:
    if needed and not text.strip():
        raise ValueError("There is nothing written.")
    if len(text) > LONGEST:
        raise ValueError(f"The text has {len(text)} letters; at most {LONGEST} are kept.")
    return text.strip()
