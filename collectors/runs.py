"""Runs as their observers wrote them: one folder a run, each generation one line of JSON. Knows no metric and no page.

    run.json            what the run is and its state; moved into place whole
    lock                held (flock) by the observing process while it lives
    generations.jsonl   one structured line a generation; appended to, a restart appends to the same file
    events.jsonl        what happened beside; appended to
    topology.json       the best genome now; moved into place whole
    topologies.jsonl    one such line each time the best changed

Files are read from where the last look ended, whole lines only; a line that is not JSON is counted and skipped.
Names of values are the file's own. Nothing here is ever written.
"""

import fcntl
import os
import socket
import threading
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from collectors.run_events import Events, RunEvent
from collectors.unavailable import Unavailable

Floats = NDArray[np.float64]
State = Literal["running", "paused", "finished", "failed", "unknown"]
_STATES: tuple[State, ...] = ("running", "paused", "finished", "failed")
_READ_BYTES = 8 << 20  # read at once; a line may be longer
_MOST_COLUMNS = 256  # of one run: keys of objects that never repeat must not fill memory


@dataclass(frozen=True, slots=True)
class RunRecord:
    """run.json, and whether its process still lives. Times are unix seconds; None is not said."""

    run_id: str
    name: str
    state: State
    started_at: float | None
    ended_at: float | None
    error: str | None
    host: str | None
    pid: int | None
    git_sha: str | None
    config: dict[str, str]
    alive: bool | None  # the lock is held; None: another host's lock, which cannot be judged here
    written_at: float | None  # when the last generation was written, by the file's own time
    problem: str | None  # why run.json could not be read; the run is then known by its folder alone


@dataclass(frozen=True, slots=True)
class Generations:
    """Every generation line of a run, in the order written.

    `columns` maps each numeric field to (n,) float64, NaN where a line does not say it or said null; a field that was
    asked for in parts has a column `field{key}` for each key of its objects. `labelled` names the fields whose values are objects (by expert, by layer and expert); read them with
    `RunsDirectory.labelled`, which goes back to the lines wanted.
    """

    columns: Mapping[str, Floats]
    times: Floats  # unix seconds of each line, NaN where it has none
    labelled: frozenset[str]
    malformed: int  # lines skipped because they were not JSON objects with a generation

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Topology:
    """A routing matrix: (tokens, experts) of 0 and 1, top_k ones to a token."""

    run_id: str
    generation: int
    fitness: float | None
    top_k: int
    matrix: NDArray[np.uint8]


class RunsDirectory:
    """A directory of runs. Safe to share between threads; every look reads only what is new.

    `parts` names fields whose values are small objects of numbers (seconds by phase): they are read as columns.

    Raises (all methods): Unavailable where the directory or a run's folder cannot be read.
    """

    def __init__(self, path: Path, parts: Collection[str] = ()) -> None:
        self.path = Path(path)
        self._parts = frozenset(parts)
        self._guard = threading.Lock()
        self._logs: dict[str, _Log] = {}
        self._events: dict[tuple[str, str], Events] = {}

    def runs(self) -> list[RunRecord]:
        """Every run, newest first; a folder without a readable run.json is listed with its problem."""
        try:
            folders = [
                item for item in self.path.iterdir() if item.is_dir() and not item.name.startswith(".")
            ]
        except FileNotFoundError as why:
            raise Unavailable(
                f"The runs directory {self.path} does not exist.",
                advice="An observer makes it with the first run; check MOE_DASHBOARD_RUNS_DIR.",
                kind="no-directory",
            ) from why
        except OSError as why:
            raise Unavailable(
                f"The runs directory {self.path} cannot be read ({why}).", kind="unreadable"
            ) from why
        records = [_record(folder) for folder in folders if _looks_like_a_run(folder)]
        return sorted(records, key=lambda record: record.started_at or record.written_at or 0.0, reverse=True)

    def generations(self, run_id: str) -> Generations:
        """The generations of a run so far; empty where none was written yet."""
        folder = self._folder(run_id)
        with self._guard:
            log = self._logs.setdefault(run_id, _Log(folder / "generations.jsonl", self._parts))
        with log.guard:
            log.read()
            return log.generations()

    def labelled(self, run_id: str, name: str, rows: NDArray[np.int64]) -> list[dict[str, Any] | None]:
        """The object `name` of the given rows of `generations`, read again from their lines; None where a line has none."""
        self.generations(run_id)
        log = self._logs[run_id]
        with log.guard:
            return log.labelled_values(name, rows)

    def events(self, run_id: str, event: str) -> tuple[RunEvent, ...]:
        """The lines of a run's events.jsonl with this event, oldest first."""
        path = self._folder(run_id) / "events.jsonl"
        with self._guard:
            events = self._events.setdefault((run_id, event), Events(path, event))
        return events.read()

    def topology(self, run_id: str) -> Topology | None:
        """The best genome now, or None where none was written or the file is not a topology."""
        try:
            return _topology(orjson.loads((self._folder(run_id) / "topology.json").read_bytes()))
        except (OSError, ValueError):
            return None

    def topologies(self, run_id: str) -> list[Topology]:
        """Every best genome there was, oldest first; lines that are no topology are left out."""
        try:
            lines = (self._folder(run_id) / "topologies.jsonl").read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                topology = _topology(orjson.loads(line))
            except ValueError:
                continue
            if topology is not None:
                found.append(topology)
        return found

    def _folder(self, run_id: str) -> Path:
        if run_id in {"", ".", ".."} or "/" in run_id or "\0" in run_id:  # run ids come from URLs
            raise Unavailable(f"{run_id!r} is not the id of a run.", kind="no-run")
        folder = self.path / run_id
        try:
            there = folder.is_dir()
        except (OSError, ValueError):  # a name that no folder can have
            there = False
        if not there:
            raise Unavailable(f"There is no run {run_id[:100]} in {self.path}.", kind="no-run")
        return folder


@dataclass(slots=True)
class _Log:
    """What was read of one generations.jsonl."""

    path: Path
    parts: frozenset[str] = frozenset()
    guard: threading.Lock = field(default_factory=threading.Lock)
    inode: int = -1
    offset: int = 0  # of the first byte not read as a whole line
    malformed: int = 0
    columns: dict[str, "array[float]"] = field(default_factory=dict)
    times: "array[float]" = field(default_factory=lambda: array("d"))
    starts: "array[int]" = field(default_factory=lambda: array("q"))  # byte offset of each row's line
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    labelled: set[str] = field(default_factory=set)
    ready: Generations | None = None

    def read(self) -> None:
        """Take in the whole lines that are new. A file that shrank or was replaced is read from its start."""
        try:
            with self.path.open("rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != self.inode or about.st_size < self.offset:
                    self._forget(about.st_ino)
                if about.st_size == self.offset:
                    return
                file.seek(self.offset)
                rest = b""
                while piece := file.read(_READ_BYTES):
                    rest += piece
                    whole = rest.rfind(b"\n") + 1
                    if whole:
                        self._take(rest[:whole])
                        rest = rest[whole:]
        except FileNotFoundError:
            self._forget(-1)
        except OSError as why:
            raise Unavailable(f"The log {self.path} cannot be read ({why}).", kind="unreadable") from why

    def _forget(self, inode: int) -> None:
        self.inode, self.offset, self.malformed, self.ready = inode, 0, 0, None
        self.columns.clear()
        self.labelled.clear()
        self.times, self.starts, self.lengths = array("d"), array("q"), array("q")

    def _take(self, lines: bytes) -> None:
        self.ready = None
        for line in lines.split(b"\n")[:-1]:
            start, self.offset = self.offset, self.offset + len(line) + 1
            if not line.strip():
                continue
            try:
                said = orjson.loads(line)
                generation = said["generation"]
            except (ValueError, KeyError, TypeError):
                self.malformed += 1
                continue
            if isinstance(generation, bool) or not isinstance(generation, int | float):
                self.malformed += 1
                continue
            self._append(said, start, len(line))

    def _append(self, said: dict[str, Any], start: int, length: int) -> None:
        row = len(self.times)
        self.times.append(_seconds(said.get("timestamp")))
        self.starts.append(start)
        self.lengths.append(length)
        for name, value in said.items():
            kind = type(value)
            if kind is float or kind is int:
                self._put(row, name, value)
            elif kind is dict:
                self.labelled.add(name)
                if name in self.parts:
                    for key, part in value.items():
                        known = f"{name}{{{key}}}"
                        if type(part) in (float, int) and (
                            known in self.columns or len(self.columns) < _MOST_COLUMNS
                        ):
                            self._put(row, known, part)

    def _put(self, row: int, name: str, value: float) -> None:
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = array("d")
        if len(column) < row:
            column.extend([np.nan] * (row - len(column)))
        column.append(value)

    def generations(self) -> Generations:
        """What is known, as arrays; the same object until a line is added."""
        if self.ready is None:
            rows = len(self.times)
            columns = {}
            for name, column in self.columns.items():
                values = np.full(rows, np.nan)
                values[: len(column)] = column
                values.flags.writeable = False
                columns[name] = values
            self.ready = Generations(columns, np.array(self.times), frozenset(self.labelled), self.malformed)
        return self.ready

    def labelled_values(self, name: str, rows: NDArray[np.int64]) -> list[dict[str, Any] | None]:
        """Go back to the lines of these rows."""
        found: list[dict[str, Any] | None] = []
        try:
            with self.path.open("rb") as file:
                for row in rows:
                    file.seek(self.starts[row])
                    value = orjson.loads(file.read(self.lengths[row])).get(name)
                    found.append(value if isinstance(value, dict) else None)
        except (OSError, ValueError) as why:  # replaced between the two looks
            raise Unavailable(
                f"The log {self.path} changed while it was read ({why}).", kind="unreadable"
            ) from why
        return found


def _looks_like_a_run(folder: Path) -> bool:
    return (folder / "run.json").exists() or (folder / "generations.jsonl").exists()


def _record(folder: Path) -> RunRecord:
    said: dict[str, Any] = {}
    problem = None
    try:
        loaded = orjson.loads((folder / "run.json").read_bytes())
        if isinstance(loaded, dict):
            said = loaded
        else:
            problem = f"{folder.name}/run.json is not an object."
    except (OSError, ValueError) as why:
        problem = f"{folder.name}/run.json cannot be read ({why})."
    config = said.get("config")
    host = _text(said.get("host"))
    state = said.get("state")
    return RunRecord(
        run_id=folder.name,
        name=_text(said.get("run_name")) or folder.name,
        state=state if state in _STATES else "unknown",
        started_at=_number(_seconds(said.get("started_at"))),
        ended_at=_number(_seconds(said.get("ended_at"))),
        error=_text(said.get("error")),
        host=host,
        pid=said["pid"] if isinstance(said.get("pid"), int) else None,
        git_sha=_text(said.get("git_sha")),
        config={str(key): _plain(value) for key, value in config.items()} if isinstance(config, dict) else {},
        alive=_lock_held(folder / "lock") if host in {None, socket.gethostname()} else None,
        written_at=_modified(folder / "generations.jsonl"),
        problem=problem,
    )


def _lock_held(path: Path) -> bool:
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _topology(said: Any) -> Topology | None:
    try:
        matrix = np.array(said["matrix"], dtype=np.uint8)
        if matrix.ndim != 2:
            return None
        fitness = said.get("fitness")
        return Topology(
            run_id=str(said.get("run_id", "")),
            generation=int(said["generation"]),
            fitness=float(fitness) if isinstance(fitness, int | float) else None,
            top_k=int(said.get("top_k", 0)),
            matrix=matrix,
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None


def _seconds(stamp: object) -> float:
    """Unix seconds of an ISO-8601 stamp with a zone; NaN of anything else."""
    if not isinstance(stamp, str):
        return np.nan
    try:
        when = datetime.fromisoformat(stamp)
    except ValueError:
        return np.nan
    return when.timestamp() if when.tzinfo is not None else np.nan


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
