"""The store in PostgreSQL, for several dashboards. Knows tables and transactions, not what is said in them.

psycopg 3 is imported when the store is first used: the extra `postgres` brings it. Writers take turns by an advisory
lock, as they do in SQLite; without it a later number in the audit log could become visible before an earlier one,
and whoever remembers the newest number would miss the other.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from collectors.unavailable import Unavailable

if TYPE_CHECKING:
    from psycopg import Connection

_TURN = (
    "SELECT pg_advisory_xact_lock(7236104)"  # a number of ours; any other application is free to have others
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS acknowledgements (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, fingerprint TEXT NOT NULL, alert TEXT NOT NULL,
    who TEXT NOT NULL, comment TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, ended_at DOUBLE PRECISION, ended_by TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS one_acknowledgement ON acknowledgements (fingerprint) WHERE ended_at IS NULL;
CREATE TABLE IF NOT EXISTS notes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, fingerprint TEXT NOT NULL, alert TEXT NOT NULL,
    who TEXT NOT NULL, text TEXT NOT NULL, at DOUBLE PRECISION NOT NULL
);
CREATE INDEX IF NOT EXISTS notes_of_alert ON notes (fingerprint, at);
CREATE TABLE IF NOT EXISTS ticks (
    episode TEXT NOT NULL, step TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (episode, step)
);
CREATE TABLE IF NOT EXISTS baseline (
    place INTEGER PRIMARY KEY CHECK (place = 1), run_id TEXT NOT NULL, who TEXT NOT NULL, at DOUBLE PRECISION NOT NULL
);
CREATE TABLE IF NOT EXISTS audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at DOUBLE PRECISION NOT NULL, who TEXT NOT NULL,
    action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL,
    address TEXT NOT NULL DEFAULT '', session TEXT NOT NULL DEFAULT '', account TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS benchmark_places (
    place TEXT PRIMARY KEY, host TEXT NOT NULL, offers TEXT NOT NULL, heard_at DOUBLE PRECISION NOT NULL
);
CREATE TABLE IF NOT EXISTS benchmark_runs (
    run_id TEXT PRIMARY KEY, place TEXT NOT NULL, summary TEXT NOT NULL, detail TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL
);
CREATE INDEX IF NOT EXISTS benchmark_runs_of_place ON benchmark_runs (place);
CREATE TABLE IF NOT EXISTS benchmark_requests (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, place TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL,
    who TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, claimed_at DOUBLE PRECISION, answer TEXT
);
"""

_PATIENCE_SECONDS = (
    7.0  # for any one use: longer than the server's own limit, which a server that hangs does not keep
)
_SLOW_SECONDS = 2.0  # a failure that took longer is not tried again
_RETRY_SECONDS = 3.0  # for so long
_WAIT = {"connect_timeout": "5", "tcp_user_timeout": "5000", "application_name": "moe-dashboard"}


class Cursor:
    """One transaction: statements with ? for values."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement; returns how many rows it touched."""
        return self._connection.execute(_dialect(sql), _texts(values)).rowcount


class Postgres:
    """One connection of this process to a database, made anew after it broke."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.where = _without_secrets(url)
        self._lock = threading.Lock()
        self._open: Connection[Any] | None = None
        self._pid = 0
        self._silent: tuple[float, Unavailable] | None = (
            None  # until when (monotonic) nobody else waits for it
        )

    def close(self) -> None:
        """Close the connection; the next use makes another."""
        with self._lock:
            self._drop()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """All or nothing, one writer at a time; an exception takes everything back."""
        with self._lock, self._reachable():
            connection = self._ready()
            with _cut_off_late(connection), connection.transaction():
                connection.execute(_TURN)
                yield Cursor(connection)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock, self._reachable():
            connection = self._ready()
            with _cut_off_late(connection):
                return connection.execute(_dialect(sql), _texts(values)).fetchall()

    def _ready(self) -> "Connection[Any]":
        """A connection that answers. One that slept may have died: asking costs less than losing what somebody said."""
        from psycopg import OperationalError

        if self._open is not None and self._pid == os.getpid():
            try:
                with _cut_off_late(self._open):
                    self._open.execute("SELECT 1")
                return self._open
            except OperationalError:
                self._drop()
        self._open, self._pid = self._connected(), os.getpid()
        return self._open

    def _connected(self) -> "Connection[Any]":
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = conninfo_to_dict(self._url)
        except psycopg.ProgrammingError:
            raise Unavailable(  # its words may quote the password
                "The store's URL cannot be read.",
                advice="MOE_DASHBOARD_STORE_URL is postgresql://user:password@host:5432/database.",
                kind="store",
            ) from None
        connection = psycopg.connect("", autocommit=True, **{**_WAIT, **given})  # type: ignore[arg-type]  # libpq takes them all as text
        try:
            with _cut_off_late(connection):
                connection.execute("SET statement_timeout = '5s'")
                with connection.transaction():
                    connection.execute(
                        _TURN
                    )  # two that create the same table at once get in each other's way
                    connection.execute(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        if self._open is not None and self._pid == os.getpid():
            self._open.close()
        self._open = None

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            import psycopg
        except ImportError as why:
            raise Unavailable(
                "The store is in PostgreSQL, and psycopg is not installed.",
                advice="Install the extra: pip install 'moe-router-dashboard[postgres]'.",
                kind="store",
            ) from why
        began = time.monotonic()
        if self._silent is not None and began < self._silent[0]:
            raise self._silent[1]
        try:
            yield
        except (psycopg.Error, OSError) as why:
            if self._open is not None and self._open.broken:
                self._drop()
            unavailable = Unavailable(
                f"The store {self.where} cannot be used ({' '.join(str(why).split())}).",
                advice="Check that PostgreSQL runs there and lets this user in.",
                kind="store",
            )
            ended = time.monotonic()
            if ended - began > _SLOW_SECONDS:  # fifty viewers must not each wait for it, one after another
                self._silent = (ended + _RETRY_SECONDS, unavailable)
            raise unavailable from why


@contextmanager
def _cut_off_late(connection: "Connection[Any]") -> Iterator[None]:
    """End a use that takes too long from this side: libpq waits for ever for a server that is frozen but connected."""
    wire = socket.socket(fileno=os.dup(connection.fileno()))

    def cut() -> None:
        with suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_PATIENCE_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        wire.close()


def _dialect(sql: str) -> str:
    """Our statements have no percent sign and no question mark but the places of values."""
    return sql.replace("?", "%s")


def _texts(values: Sequence[object]) -> list[object]:
    """PostgreSQL keeps no zero character in a text; it is made visible instead of refusing what somebody said."""
    return [value.replace("\x00", "\\u0000") if isinstance(value, str) else value for value in values]


def _without_secrets(url: str) -> str:
    """Host, port and database: what may be shown."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"postgresql://{parts.hostname or ''}{port}{parts.path}"
    except ValueError:
        return "postgresql://"
