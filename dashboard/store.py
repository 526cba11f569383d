"""What people said: acknowledgements, notes, ticks of runbook steps, and the audit log of everything that was done.

SQLite with a write-ahead log, one file in the data directory; every write is one transaction together with its line in
the audit log. Knows no alert and no page: keys are text that others make. Times are unix seconds.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectors.unavailable import Unavailable

LONGEST = 10_000  # letters of a comment or note

_SCHEMA = """
CREATE TABLE IF NOT EXISTS acknowledgements (
    id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, alert TEXT NOT NULL, who TEXT NOT NULL, comment TEXT NOT NULL,
    at REAL NOT NULL, ended_at REAL, ended_by TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS one_acknowledgement ON acknowledgements (fingerprint) WHERE ended_at IS NULL;
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, alert TEXT NOT NULL, who TEXT NOT NULL, text TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS notes_of_alert ON notes (fingerprint, at);
CREATE TABLE IF NOT EXISTS ticks (
    episode TEXT NOT NULL, step TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (episode, step)
);
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, detail TEXT NOT NULL
);
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has it. Not a silence; ends when the alert ends or somebody takes it back."""

    fingerprint: str
    alert: str
    who: str
    comment: str
    at: float
    ended_at: float | None
    ended_by: str | None  # a name, or None where the alert ended by itself


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote on an alert."""

    fingerprint: str
    alert: str
    who: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A step of a runbook that somebody did, in one episode of an alert."""

    episode: str
    step: str
    who: str
    note: str
    at: float


@dataclass(frozen=True, slots=True)
class Action:
    """A line of the audit log."""

    id: int
    at: float
    who: str
    action: str
    subject: str
    detail: Mapping[str, Any]


class Store:
    """The one store of this server; safe to share between threads, and between processes on one file.

    Every method raises `Unavailable` (kind "store") where the file cannot be read or written, and ValueError for a
    name or text that is empty or too long.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._pid = 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._open is not None and self._pid == os.getpid():
                self._open.close()
            self._open = None

    def probe(self) -> None:
        """Write and take it back: raises Unavailable where that fails."""
        with self._lock, self._reachable():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(
                    "INSERT INTO audit (at, who, action, subject, detail) VALUES (0, '', 'probe', '', '{}')"
                )
            finally:
                connection.execute("ROLLBACK")

    def version(self) -> int:
        """A number that grows with every write of anybody: equal numbers mean nothing changed."""
        [(newest,)] = self._rows("SELECT coalesce(max(id), 0) FROM audit")
        return int(newest)

    # acknowledgements

    def acknowledge(self, fingerprint: str, *, alert: str, who: str, comment: str = "") -> Acknowledgement:
        """Take an alert; who took it before is replaced."""
        who, comment, now = _name(who), _words(comment), self._clock()
        with self._written(
            now, who, "acknowledge", alert, fingerprint=fingerprint, comment=comment
        ) as connection:
            connection.execute(
                "UPDATE acknowledgements SET ended_at = ?, ended_by = ? WHERE fingerprint = ? AND ended_at IS NULL",
                (now, who, fingerprint),
            )
            connection.execute(
                "INSERT INTO acknowledgements (fingerprint, alert, who, comment, at) VALUES (?, ?, ?, ?, ?)",
                (fingerprint, alert, who, comment, now),
            )
        return Acknowledgement(fingerprint, alert, who, comment, now, None, None)

    def release(self, fingerprint: str, *, alert: str, who: str) -> None:
        """Give an alert back; nothing happens where nobody has it."""
        who, now = _name(who), self._clock()
        with self._written(now, who, "release", alert, fingerprint=fingerprint) as connection:
            connection.execute(
                "UPDATE acknowledgements SET ended_at = ?, ended_by = ? WHERE fingerprint = ? AND ended_at IS NULL",
                (now, who, fingerprint),
            )

    def alerts_ended(self, fingerprints: Sequence[str]) -> None:
        """These alerts are over, and with them their acknowledgements."""
        if not fingerprints:
            return
        now = self._clock()
        with self._written(now, "", "alerts ended", "", fingerprints=list(fingerprints)) as connection:
            connection.executemany(
                "UPDATE acknowledgements SET ended_at = ? WHERE fingerprint = ? AND ended_at IS NULL",
                [(now, fingerprint) for fingerprint in fingerprints],
            )

    def acknowledgements(
        self, *, fingerprint: str | None = None, ended: bool = False
    ) -> tuple[Acknowledgement, ...]:
        """Who has what, oldest first; with `ended`, those that are over too."""
        rows = self._rows(
            "SELECT fingerprint, alert, who, comment, at, ended_at, ended_by FROM acknowledgements"
            " WHERE (? OR ended_at IS NULL) AND (? IS NULL OR fingerprint = ?) ORDER BY at, id",
            (ended, fingerprint, fingerprint),
        )
        return tuple(Acknowledgement(*row) for row in rows)

    # notes

    def note(self, fingerprint: str, *, alert: str, who: str, text: str) -> Note:
        """Write something on an alert."""
        who, text, now = _name(who), _words(text, needed=True), self._clock()
        with self._written(now, who, "note", alert, fingerprint=fingerprint, text=text) as connection:
            connection.execute(
                "INSERT INTO notes (fingerprint, alert, who, text, at) VALUES (?, ?, ?, ?, ?)",
                (fingerprint, alert, who, text, now),
            )
        return Note(fingerprint, alert, who, text, now)

    def notes(
        self, fingerprint: str | None = None, *, start: float = 0.0, end: float = 1e18
    ) -> tuple[Note, ...]:
        """Notes on one alert or on all, oldest first, written between two times."""
        rows = self._rows(
            "SELECT fingerprint, alert, who, text, at FROM notes"
            " WHERE (? IS NULL OR fingerprint = ?) AND at BETWEEN ? AND ? ORDER BY at, id",
            (fingerprint, fingerprint, start, end),
        )
        return tuple(Note(*row) for row in rows)

    # ticks

    def tick(self, episode: str, step: str, *, who: str, note: str = "") -> Tick:
        """A step is done; ticking it again replaces who and when."""
        who, note, now = _name(who), _words(note), self._clock()
        with self._written(now, who, "tick", step, episode=episode, note=note) as connection:
            connection.execute(
                "INSERT INTO ticks (episode, step, who, note, at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (episode, step) DO UPDATE SET who = excluded.who, note = excluded.note, at = excluded.at",
                (episode, step, who, note, now),
            )
        return Tick(episode, step, who, note, now)

    def untick(self, episode: str, step: str, *, who: str) -> None:
        """A step is not done after all; that it was said so stays in the audit log."""
        who, now = _name(who), self._clock()
        with self._written(now, who, "untick", step, episode=episode) as connection:
            connection.execute("DELETE FROM ticks WHERE episode = ? AND step = ?", (episode, step))

    def ticks(self, episode: str) -> Mapping[str, Tick]:
        """What is done in an episode, by step."""
        rows = self._rows(
            "SELECT episode, step, who, note, at FROM ticks WHERE episode = ? ORDER BY at", (episode,)
        )
        return {row[1]: Tick(*row) for row in rows}

    # audit

    def record(self, *, who: str, action: str, subject: str, **detail: Any) -> None:
        """Write down something that was done elsewhere: a benchmark started, a silence made."""
        with self._written(self._clock(), _name(who), action, subject, **detail):
            pass

    def audit(self, *, limit: int = 200, subject: str | None = None) -> tuple[Action, ...]:
        """What was done, newest first."""
        rows = self._rows(
            "SELECT id, at, who, action, subject, detail FROM audit"
            " WHERE ? IS NULL OR subject = ? ORDER BY id DESC LIMIT ?",
            (subject, subject, limit),
        )
        return tuple(
            Action(number, at, who, action, about, json.loads(detail))
            for number, at, who, action, about, detail in rows
        )

    # the file

    @contextmanager
    def _written(
        self, at: float, who: str, action: str, subject: str, **detail: Any
    ) -> Iterator[sqlite3.Connection]:
        """One transaction with its line in the audit log: both are kept, or neither is."""
        with self._lock, self._reachable():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute(
                    "INSERT INTO audit (at, who, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
                    (at, who, action, subject, json.dumps(detail, default=str)),
                )
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._reachable():
            return self._connection().execute(sql, values).fetchall()

    def _connection(self) -> sqlite3.Connection:
        if self._open is None or self._pid != os.getpid():  # a connection must not be carried over a fork
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=5.0, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # what was said survives a loss of power
                connection.executescript(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._open, self._pid = connection, os.getpid()
        return self._open

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as why:
            raise Unavailable(
                f"The store {self.path} cannot be used ({why}).",
                advice="Check that the folder can be written and the disk has room; the file is SQLite.",
                kind="store",
            ) from why


def _name(who: str) -> str:
    if not who.strip():
        raise ValueError("Say who you are: a name is kept with what you write.")
    if len(who) > 200:
        raise ValueError("A name has at most 200 letters.")
    return who.strip()


def _words(text: str, *, needed: bool = False) -> str:
    if needed and not text.strip():
        raise ValueError("There is nothing written.")
    if len(text) > LONGEST:
        raise ValueError(f"The text has {len(text)} letters; at most {LONGEST} are kept.")
    return text.strip()
