"""A benchmark run is a directory, and the processes meet only there.

    spec.json      what to run; written before the supervisor starts
    lock           held by the supervisor from before it exists until it ends; the kernel frees it
    events.jsonl   what happened, one JSON object a line, written by the supervisor alone
    cancel.json    somebody asked to stop
    worker.log     standard output and error of supervisor and workers
    slurm.json     only of a run that Slurm has: its job; slurm/ holds what Slurm itself said
    samples/       every single timing, npz, one file per worker process
    report.json    the result, moved into place whole, last; or
    error.txt      "<state>: <one sentence>", then details; moved into place whole, last

Neither file and nobody holding the lock, nor Slurm knowing the job: killed without a word, which reads "lost".
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from dashboard.benchmark import lease, slurm
from dashboard.benchmark import spec as specs

State = Literal["queued", "running", "done", "failed", "cancelled", "timed out", "lost"]
TERMINAL: frozenset[State] = frozenset({"done", "failed", "cancelled", "timed out", "lost"})
Ending = Literal["failed", "cancelled", "timed out"]

_RESERVE = ".reserve"
_RESERVE_BYTES = 65_536
_READ_AT_ONCE_BYTES = 16 * 1024 * 1024


class RunDirectory:
    """One run. Reading is for everybody; `append` and `finish_*` are for its supervisor alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        """The directory's name."""
        return self.path.name

    # --- for the one who starts it

    def create(self, spec: specs.Spec) -> int:
        """Make the directory appear whole, its lock already held.

        Returns:
            the descriptor that holds the lock; the supervisor inherits it.

        Raises:
            OSError: the disk is full or not writable; nothing is left.
        """
        fresh = self.path.with_name(f".new-{self.path.name}")
        fresh.mkdir(parents=True)
        descriptor = -1
        try:
            descriptor = os.open(fresh / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            (fresh / "spec.json").write_text(spec.dumps(), encoding="utf-8")
            (fresh / "samples").mkdir()
            with (fresh / _RESERVE).open("wb") as reserve:  # a full disk must not keep us from saying so
                os.posix_fallocate(reserve.fileno(), 0, _RESERVE_BYTES)
            fresh.rename(self.path)
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
            for leftover in fresh.iterdir():
                leftover.rmdir() if leftover.is_dir() else leftover.unlink()
            fresh.rmdir()
            raise
        return descriptor

    # --- for the supervisor

    def append(self, event: str, **fields: Any) -> None:
        """Add one event; raises OSError when the disk is full."""
        line = {"event": event, "time": time.time(), "monotonic_seconds": time.monotonic(), **fields}
        text = json.dumps(line, default=str, allow_nan=False) + "\n"
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as events:
            events.write(text)

    def replace_spec(self, spec: specs.Spec) -> None:
        """Say which device was given, where that is known only on the node."""
        part = self.path / "spec.part"
        part.write_text(spec.dumps(), encoding="utf-8")
        part.rename(self.path / "spec.json")

    def finish_with_report(self, report: dict[str, Any]) -> None:
        """End as done. The report appears whole or not at all."""
        self._refuse_second_end()
        part = self.path / "report.part"
        try:
            part.write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
        except OSError:
            part.unlink(missing_ok=True)
            raise
        part.rename(self.path / "report.json")
        with suppress(OSError):
            (self.path / _RESERVE).unlink(missing_ok=True)

    def finish_with_error(self, state: Ending, sentence: str, details: str = "") -> None:
        """End with a reason. Works on a full disk: the space was reserved at the start."""
        self._refuse_second_end()
        content = f"{state}: {' '.join(sentence.split())}\n\n{details}".encode(errors="replace")
        reserve = self.path / _RESERVE
        descriptor = os.open(reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.pwrite(descriptor, content[:_RESERVE_BYTES], 0)
            os.ftruncate(descriptor, written)
        finally:
            os.close(descriptor)
        reserve.rename(self.path / "error.txt")

    def _refuse_second_end(self) -> None:
        if self._ended() is not None:
            raise RuntimeError(f"run {self.run_id} has ended already")

    # --- for everybody

    def spec(self) -> specs.Spec:
        """What was asked; raises SpecError or OSError."""
        return specs.loads((self.path / "spec.json").read_text(encoding="utf-8", errors="replace"))

    def request_cancel(self, who: str) -> None:
        """Ask the supervisor to stop; the first to ask is remembered."""
        request = json.dumps({"who": who, "time": time.time()})
        with suppress(FileExistsError), (self.path / "cancel.json").open("x", encoding="utf-8") as file:
            file.write(request)

    def cancel_request(self) -> str | None:
        """Who asked to stop; None when nobody did."""
        try:
            text = (self.path / "cancel.json").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        try:
            return str(json.loads(text)["who"])
        except (
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
        ):  # caught half-written: the wish is clear, the name is not
            return ""

    def state(self) -> State:
        """Where the run stands. The lock is asked first: a run that ends in between then reads its end, not lost."""
        held = lease.is_held(self.path / "lock") or slurm.alive(self.path)
        ended = self._ended()
        if ended is not None:
            return ended
        if not held:
            return "lost"
        return "running" if any(event["event"] == "leased" for event in self.events()[0]) else "queued"

    def _ended(self) -> State | None:
        if (self.path / "report.json").exists():
            return "done"
        try:
            with (self.path / "error.txt").open(encoding="utf-8", errors="replace") as file:
                word = file.readline().partition(":")[0]
        except FileNotFoundError:
            return None
        return next((ending for ending in get_args(Ending) if ending == word), "failed")

    def events(self, since_offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Whole lines from a byte offset on, and the offset to ask from next time. A torn last line waits."""
        try:
            with (self.path / "events.jsonl").open("rb") as file:
                file.seek(since_offset)
                chunk = file.read(_READ_AT_ONCE_BYTES)
        except FileNotFoundError:
            return [], since_offset
        whole, newline, _ = chunk.rpartition(b"\n")
        found = []
        for line in whole.split(b"\n"):
            with suppress(ValueError, RecursionError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    found.append(event)
        return found, since_offset + len(whole) + len(newline)

    def report(self) -> dict[str, Any] | None:
        """The result; None when there is none or it cannot be read."""
        try:
            found = json.loads((self.path / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def error(self, limit_bytes: int = 8192) -> str:
        """The reason and the tail of the details; empty when there is none."""
        try:
            text = (self.path / "error.txt").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        if len(text) <= limit_bytes:
            return text
        head, _, details = text.partition("\n\n")
        return f"{head}\n\n…{details[-limit_bytes:]}"

    def log_tail(self, limit_bytes: int = 4096) -> str:
        """The end of what supervisor and workers printed."""
        of_slurm = slurm.log_tail(self.path, limit_bytes // 4)
        try:
            with (self.path / "worker.log").open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - limit_bytes))
                return file.read().decode(errors="replace") + of_slurm
        except FileNotFoundError:
            return of_slurm

    def ended_at(self) -> datetime | None:
        """When report.json or error.txt was moved into place, aware UTC; None before."""
        for name in ("report.json", "error.txt"):
            with suppress(FileNotFoundError):
                return datetime.fromtimestamp((self.path / name).stat().st_mtime, UTC)
        return None
