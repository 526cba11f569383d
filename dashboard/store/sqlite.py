"""The store in one SQLite file with a write-ahead log. Knows tables and transactions, not what is said in them."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collectors.unavailable import Unavailable

_WAIT_SECONDS = 5.0  # for another writer
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
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._pid = 0

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._open is not None and self._pid == os.getpid():
                self._open.close()
            self._open = None

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """All or nothing, one writer at a time; an exception takes everything back."""
        with self._lock, self._reachable():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Cursor(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock, self._reachable():
            return self._connection().execute(sql, values).fetchall()

    def _connection(self) -> sqlite3.Connection:
        if self._open is None or self._pid != os.getpid():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                _log_ahead(connection)
                connection.execute("PRAGMA synchronous = FULL")  # what was said survives a loss of power
                connection.executescript(_SCHEMA)
                _bring_up(connection)
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
