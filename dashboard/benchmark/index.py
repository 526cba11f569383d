"""A SQLite index of the runs that ended, so that a list of thousands opens no thousand files.

Only a cache: the run directories are the truth. A database that is locked, damaged or from a newer
version is left alone, and the list is read from the directories instead.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dashboard.benchmark.directory import State

SCHEMA = 1

_TIMES = ("created_at", "started_at", "ended_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of the list of runs. Times are aware UTC; None is not known or not yet."""

    run_id: str
    target: str
    profile: str
    device: str  # "cpu" or "cuda"
    device_name: str
    owner: str
    state: State
    sentence: str  # why it ended as it did; empty while it runs and when it is done
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    p50_seconds: float | None  # of the headline cell
    samples_per_second: float | None
    headline: str  # which cell that is
    spec_hash: str
    env_key: str
    failed_cells: int
    verdict: str = (
        ""  # a word of `comparison`, against what was measured before; empty where nothing was judged
    )
    host: str = ""  # where it is measured, if not by this dashboard

    @property
    def shown_state(self) -> str:
        """The state in the words a person reads."""
        return "died" if self.state == "lost" else self.state


def summary_text(summary: RunSummary) -> str:
    """As JSON."""
    plain = asdict(summary)
    for name in _TIMES:
        plain[name] = None if plain[name] is None else plain[name].isoformat()
    return json.dumps(plain)


def summary_from(text: str) -> RunSummary:
    """Read it back; raises ValueError, KeyError or TypeError where it is not one."""
    plain: dict[str, Any] = json.loads(text)
    for name in _TIMES:
        plain[name] = None if plain[name] is None else datetime.fromisoformat(plain[name])
    return RunSummary(**plain)


class Index:
    """The index of one data directory. Every call opens and closes it: callers live in many threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, run_ids: Sequence[str]) -> dict[str, RunSummary]:
        """What is known of these runs; empty when the index cannot be read."""
        if not self._path.exists():
            return {}
        wanted = set(run_ids)
        try:
            with closing(self._connect()) as database:
                rows = database.execute("SELECT run_id, summary FROM run").fetchall()
        except (sqlite3.Error, IndexFromTheFuture):
            return {}
        found = {}
        for run_id, text in rows:
            if run_id in wanted:
                with suppress(
                    ValueError, KeyError, TypeError, RecursionError
                ):  # damaged: its folder still tells
                    found[run_id] = summary_from(text)
        return found

    def write(self, summary: RunSummary) -> None:
        """Remember a run that ended; not being able to is no error."""
        try:
            with closing(self._connect()) as database, database:
                database.execute(
                    "INSERT OR REPLACE INTO run (run_id, target, state, summary) VALUES (?, ?, ?, ?)",
                    (summary.run_id, summary.target, summary.state, summary_text(summary)),
                )
        except (sqlite3.Error, IndexFromTheFuture):
            return

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=0.5)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise IndexFromTheFuture  # noqa: TRY301 (the connection must be closed on this way out too)
            if version == 0:
                with database:
                    database.execute(
                        "CREATE TABLE IF NOT EXISTS run (run_id TEXT PRIMARY KEY, target TEXT NOT NULL, "
                        "state TEXT NOT NULL, summary TEXT NOT NULL)"
                    )
                    database.execute(f"PRAGMA user_version = {SCHEMA}")
        except BaseException:
            database.close()
            raise
        return database


class IndexFromTheFuture(Exception):
    """A newer version of the dashboard wrote the index; it is left as it is."""
