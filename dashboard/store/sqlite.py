"""The store in one SQLite file with a write-ahead log. Knows tables and transactions, not what is said in them.

Readers have a connection of their own: who waits five seconds to write keeps nobody from reading. A file that was
replaced, and a connection that broke, are opened anew at the next use.
"""

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from collectors.unavailable import Unavailable

_WAIT_SECONDS = 2.5  # for another writer; a health check waits longer, so that it can say why
_VERSION = 2  # 1 had no address, session and account in the audit log

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
CREATE TABLE IF NOT EXISTS baseline (
    place INTEGER PRIMARY KEY CHECK (place = 1), run_id TEXT NOT NULL, who TEXT NOT NULL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS benchmark_places (
    place TEXT PRIMARY KEY, host TEXT NOT NULL, offers TEXT NOT NULL, heard_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS benchmark_runs (
    run_id TEXT PRIMARY KEY, place TEXT NOT NULL, summary TEXT NOT NULL, detail TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS benchmark_runs_of_place ON benchmark_runs (place);
CREATE TABLE IF NOT EXISTS benchmark_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL,
    who TEXT NOT NULL, at REAL NOT NULL, claimed_at REAL, answer TEXT
);
"""
_TO_VERSION_2 = (
    "ALTER TABLE audit ADD COLUMN address TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE audit ADD COLUMN session TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE audit ADD COLUMN account TEXT NOT NULL DEFAULT ''",
    f"PRAGMA user_version = {_VERSION}",
)


class Cursor:
    """One transaction: statements with ? for values."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement; returns how many rows it touched."""
        return self._connection.execute(sql, values).rowcount


class Sqlite:
    """A file that several threads and processes of one machine may share; a connection is not carried over a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)
        self._writing = _Connected(path)
        self._reading = _Connected(path)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        for one in (self._writing, self._reading):
            with one.lock:
                one.drop()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """All or nothing, one writer at a time; an exception takes everything back."""
        with self._writing.lock, self._reachable(self._writing):
            connection = self._writing.ready()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Cursor(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite takes back by itself what a full disk cut
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._reading.lock, self._reachable(self._reading):
            return self._reading.ready().execute(sql, values).fetchall()

    @contextmanager
    def _reachable(self, connected: "_Connected") -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as why:
            code = getattr(why, "sqlite_errorcode", None)
            if code is None or code & 0xFF != sqlite3.SQLITE_BUSY:
                connected.drop()  # whatever broke, the next use begins anew
            raise Unavailable(
                f"The store {self.path} cannot be used ({why}).", advice=_advice(code, why), kind="store"
            ) from why
        except _FromTheFuture as why:
            connected.drop()
            raise Unavailable(
                f"The store {self.path} was written by a newer version of the dashboard ({why}).",
                advice="It is left as it is. Run that version again, or give this one a data directory of its own.",
                kind="store",
            ) from why


class _Connected:
    """One connection to the file, opened when it is needed; hold `lock` while using it."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self._path = path
        self._open: sqlite3.Connection | None = None
        self._file: tuple[int, ...] | None = None  # the process it belongs to, and what lay there

    def ready(self) -> sqlite3.Connection:
        """The connection, to the file that lies there now: what is written into a deleted one is lost."""
        if self._open is not None and self._file != self._there():
            self.drop()
        if self._open is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                _refuse_the_future(connection)
                _log_ahead(connection)
                connection.execute("PRAGMA synchronous = FULL")  # what was said survives a loss of power
                connection.executescript(_SCHEMA)
                _bring_up(connection)
            except BaseException:
                connection.close()
                raise
            self._open, self._file = connection, self._there()
        return self._open

    def drop(self) -> None:
        """Close it, where it is this process's own."""
        if self._open is not None and self._file is not None and self._file[0] == os.getpid():
            with suppress(sqlite3.Error):
                self._open.close()
        self._open = None

    def _there(self) -> tuple[int, ...] | None:
        """What lies there now. An open connection would go on with what it remembers of a file that was replaced.

        By stat alone: closing a descriptor of the file would give up SQLite's locks on it in this whole process, and the
        next process that closes it would take the log away under our connections (sqlite.org/howtocorrupt.html, 2.2).
        """
        try:
            about = self._path.stat()
        except FileNotFoundError:
            return None
        log = self._path.with_name(f"{self._path.name}-wal")
        return os.getpid(), about.st_dev, about.st_ino, log.stat().st_ino if log.exists() else 0


class _FromTheFuture(Exception):
    """The file has a schema that this version does not know."""


def _advice(code: int | None, why: Exception) -> str:
    """What to do about an error, by SQLite's primary result code."""
    kind = None if code is None else code & 0xFF
    if kind in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return (
            "The file is damaged, and is left as it is. Put a copy of it in its place, or move it away together with its"
            " -wal and -shm to begin anew; `sqlite3 FILE .recover` saves what can be read."
        )
    if kind == sqlite3.SQLITE_FULL or getattr(why, "errno", None) == errno.ENOSPC:
        return "The disk is full: make room. What was said before is kept; nothing new is, until then."
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "Another process holds the file for long: find it with `fuser FILE`. Try again."
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return "The file or its folder cannot be written: check its owner, its rights and whether the disk is mounted read-only."
    return "Check that the folder can be written and the disk has room; the file is SQLite."


def _refuse_the_future(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > _VERSION:
        raise _FromTheFuture(f"schema {found}, this one knows {_VERSION}")


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Write ahead. SQLite does not wait for another that switches the same new file at the same moment, so we do."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as why:
            if why.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _bring_up(connection: sqlite3.Connection) -> None:
    """Give an older file, or a new one, today's columns; two processes may try at once."""
    if connection.execute("PRAGMA user_version").fetchone()[0] >= _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
            for statement in _TO_VERSION_2:
                connection.execute(statement)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
