"""A run is a directory, and readers meet the observed process only there.

    run.json            what the run is and its state; moved into place whole at each change of state
    lock                held by the observing process while it lives; the kernel frees it, however the process ends
    generations.jsonl   one structlog line a generation
    events.jsonl        every other structured line
    topology.json       the best genome now; moved into place whole
    topologies.jsonl    the same, one line each time it changed

"running" in run.json with nobody holding the lock is a process that died without a word.
Knows no metric and no registry. Every method may raise OSError: a disk can be full; the caller swallows.
"""

import fcntl
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson
import structlog

SCHEMA = 1
LOGGER = "self_evolving_moe"  # the guide's logger name
GENERATION_EVENT = "Evolution generation completed"  # the guide's event name


class Lines:
    """A file of JSON lines, each written by one system call. The sink that structlog writes to."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab", buffering=0)
        self._torn = False

    def msg(self, line: bytes) -> None:
        """Append one line; after a failed write (disk full) the torn rest is closed off first."""
        whole = (b"\n" if self._torn else b"") + line + b"\n"
        self._torn = True
        if self._file.write(whole) != len(whole):
            raise OSError(f"{self._file.name}: the line was written in part only; is the disk full?")
        self._torn = False

    debug = info = warning = error = critical = msg

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def structured(lines: Lines) -> Any:
    """A structlog logger that writes the guide's JSON to these lines: event, level, logger, timestamp, then fields."""
    return structlog.wrap_logger(
        lines,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        context_class=dict,
        cache_logger_on_first_use=True,
    ).bind(logger=LOGGER)


def _json(event: Mapping[str, object], **_: object) -> bytes:
    return orjson.dumps(event, default=str)  # NaN and infinities become null


class RunDirectory:
    """Writer of one run's directory; makes it and takes the lock. `sha` is the commit of the code that runs.

    Raises:
        OSError: not writable.
    """

    def __init__(
        self, runs_dir: Path, run_id: str, run_name: str, config: Mapping[str, object], sha: str | None = None
    ) -> None:
        self.path = runs_dir / run_id
        self.path.mkdir(parents=True)
        self._record: dict[str, object] = {
            "schema": SCHEMA,
            "run_id": run_id,
            "run_name": run_name,
            "state": "running",
            "started_at": _now(),
            "ended_at": None,
            "error": None,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "git_sha": sha,
            "config": dict(config),
        }
        self._lock = (self.path / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.register_at_fork(
            after_in_child=self._lock.close
        )  # a forked worker must not keep a dead run's lock
        self._generations = Lines(self.path / "generations.jsonl")
        self._events = Lines(self.path / "events.jsonl")
        self._generation_log = structured(self._generations).bind(run_id=run_id)
        self._event_log = structured(self._events).bind(run_id=run_id)
        self._matrix: list[list[int]] | None = None
        _replace(self.path / "run.json", self._record)

    def state(self, state: str, error: str | None = None) -> None:
        """Rewrite run.json; finished and failed also carry the time they ended."""
        ended = _now() if state in {"finished", "failed"} else None
        self._record = {**self._record, "state": state, "ended_at": ended, "error": error}
        _replace(self.path / "run.json", self._record)

    def generation(self, fields: Mapping[str, object]) -> None:
        """One line of generations.jsonl."""
        self._generation_log.info(GENERATION_EVENT, **fields)

    def event(self, event: str, level: str, fields: Mapping[str, object]) -> None:
        """One line of events.jsonl. `level` is debug, info, warning, error or critical."""
        getattr(self._event_log, level)(event, **fields)

    def topology(
        self, matrix: list[list[int]], generation: int, fitness: float | None, top_k: int | None
    ) -> None:
        """The best genome now; written only when it differs from the last one.

        Args:
            matrix: (T tokens, E experts), 1 where the token may use the expert.
        """
        if matrix == self._matrix:
            return
        record = {
            "schema": SCHEMA,
            "run_id": self._record["run_id"],
            "generation": generation,
            "fitness": fitness,
            "tokens": len(matrix),
            "experts": len(matrix[0]) if matrix else 0,
            "top_k": top_k,
            "matrix": matrix,
        }
        _replace(self.path / "topology.json", record)
        with (self.path / "topologies.jsonl").open("ab", buffering=0) as history:
            history.write(orjson.dumps(record) + b"\n")
        self._matrix = matrix

    def close(self) -> None:
        """Release the files and, last, the lock."""
        self._generations.close()
        self._events.close()
        self._lock.close()


def git_sha(folder: Path) -> str | None:
    """Commit checked out in `folder` or above it, read from .git without starting git; None where there is none."""
    for parent in (folder, *folder.parents):
        git = parent / ".git"
        try:
            if git.is_file():  # a worktree or submodule points elsewhere
                git = parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
            head = (git / "HEAD").read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if not head.startswith("ref:"):
            return head
        return _resolve(git, head.removeprefix("ref:").strip())
    return None


def _resolve(git: Path, ref: str) -> str | None:
    try:
        common = git / (git / "commondir").read_text(encoding="utf-8").strip()
    except OSError:
        common = git
    try:
        return (common / ref).read_text(encoding="utf-8").strip()
    except OSError:
        pass
    try:
        packed = (common / "packed-refs").read_text(encoding="utf-8")
    except OSError:
        return None
    return next((line.split()[0] for line in packed.splitlines() if line.endswith(f" {ref}")), None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _replace(path: Path, record: Mapping[str, object]) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str))
    part.replace(path)
