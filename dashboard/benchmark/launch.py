"""One worker process seen from the supervisor: start it, hear it, notice when it is lost, end it and all it started.

Knows no queue and no report. Every way a worker can end has a name; nothing is left running after `run`.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dashboard.benchmark import environment, memory, processes
from dashboard.benchmark.spec import Side, Spec
from dashboard.processes import Identity

Why = Literal["finished", "exited", "killed", "stalled", "memory", "babble", "cancelled", "timed out"]

_LOOK_EVERY_SECONDS = 0.1
_ADD_UP_EVERY_SECONDS = 1.0  # the memory of all processes: a look at each of the machine's
_COMPILING = 4  # times the usual patience: a compiler says nothing for a minute
_LINE_BYTES_AT_MOST = 4 * 1024 * 1024
_LOG_BYTES_AT_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a worker process ended."""

    why: Why
    sentence: str  # for a person; empty when it finished
    cell: dict[str, Any] | None  # "cell" and "key" of what it was measuring then
    failure: dict[str, Any] | None  # its own account, where it could give one: sentence, traceback


class Worker:
    """Starts one worker and stays with it to its end."""

    def __init__(
        self,
        run: Path,
        spec: Spec,
        *,
        launch: int,
        side: Side | None,
        skip: Sequence[str],
        until: float,
        memory_limit_bytes: int,
        hear: Callable[[dict[str, Any]], None],
    ) -> None:
        self._run = run
        self._spec = spec
        self._hear = hear
        self._memory_limit = memory_limit_bytes
        self._cell: dict[str, Any] | None = None
        self._failure: dict[str, Any] | None = None
        self._finished = False
        self._torn = b""
        self._last_sign = time.monotonic()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        self._pipe = reading
        directory = spec.working_directory if side is None else side.directory
        command = [
            sys.executable, "-m", "dashboard.benchmark.worker", str(run), "--launch", str(launch),
            "--events-fd", str(writing), "--supervisor", str(os.getpid()), "--until", f"{until:.3f}",
            "--skip", json.dumps(list(skip)),
        ]  # fmt: skip
        try:
            with (run / "worker.log").open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    start_new_session=True,
                    cwd=directory,
                    env=environment.for_worker(spec, None if side is None else side.directory),
                )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        if spec.device.kind == "cpu":
            memory.refuse_beyond(self._process.pid, memory_limit_bytes)
        self._added_up = time.monotonic()
        self.identity = Identity.of(self._process.pid)

    def stay(self, until: float, cancelled: Callable[[], bool]) -> Ended:
        """Hear the worker out.

        Args:
            until: CLOCK_MONOTONIC at which the run is out of time.
            cancelled: asked several times a second.
        """
        try:
            return self._watch(until, cancelled)
        finally:
            self._end_everything()

    def _watch(self, until: float, cancelled: Callable[[], bool]) -> Ended:
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            open_end = True
            while True:
                if open_end:
                    selector.select(_LOOK_EVERY_SECONDS)
                    open_end = self._read()
                    if not open_end:
                        selector.unregister(self._pipe)
                else:
                    time.sleep(_LOOK_EVERY_SECONDS)
                if self._has_exited():
                    return self._judge()
                why = self._reason_to_stop(until, cancelled)
                if why is not None:
                    return self._stop(*why)

    def _reason_to_stop(self, until: float, cancelled: Callable[[], bool]) -> tuple[Why, str] | None:
        now = time.monotonic()
        if cancelled():
            return "cancelled", "asked to stop"
        if now > until:
            return "timed out", f"the time limit of {self._spec.profile.limit_seconds:.0f} s was reached"
        silent = now - self._last_sign
        compiles = "compile" in ((self._cell or {}).get("cell") or {})
        if silent > self._spec.profile.stall_seconds * (_COMPILING if compiles else 1):
            return "stalled", f"no sign of life for {silent:.0f} s"
        resident = processes.resident_bytes(self._process.pid) or 0
        if now - self._added_up > _ADD_UP_EVERY_SECONDS:
            self._added_up = now
            resident = max(resident, memory.taken_bytes(self._process.pid))
        if resident > self._memory_limit:
            return (
                "memory",
                f"took {resident / 2**30:.1f} GiB of memory; at most {self._memory_limit / 2**30:.1f} GiB may be used",
            )
        with suppress(FileNotFoundError):
            if (self._run / "worker.log").stat().st_size > _LOG_BYTES_AT_MOST:
                return "babble", f"printed more than {_LOG_BYTES_AT_MOST // 2**20} MiB"
        return None

    def _read(self) -> bool:
        """Take what the pipe holds; False once every writer is gone."""
        while self._pipe >= 0:
            try:
                chunk = os.read(self._pipe, 65_536)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            *lines, self._torn = (self._torn + chunk).split(b"\n")
            if len(self._torn) > _LINE_BYTES_AT_MOST:
                self._torn = b""
            for line in lines:
                self._take(line)
        return False

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            name = event.pop("event")
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # half a line of a process that was killed
        self._last_sign = time.monotonic()
        if name == "cell started":
            self._cell = event
        elif name == "cell finished":
            self._cell = None
        elif name == "worker failed":
            self._failure = event
        elif name == "launch finished":
            self._finished = True
        self._hear({"event": name, **event})

    def _has_exited(self) -> bool:
        """Whether it ended, without reaping it: while it is a zombie nobody else can get its session's number."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _judge(self) -> Ended:
        self._end_everything()
        code = self._process.returncode
        if self._finished and code == 0:
            return Ended(why="finished", sentence="", cell=None, failure=None)
        if code < 0:
            name = signal.Signals(-code).name
            return Ended(
                why="killed",
                sentence=f"the worker was ended by {name}",
                cell=self._cell,
                failure=self._failure,
            )
        sentence = f"the worker ended with exit code {code}"
        if self._failure is not None:
            sentence = str(self._failure.get("sentence", sentence))
        return Ended(why="exited", sentence=sentence, cell=self._cell, failure=self._failure)

    def _stop(self, why: Why, sentence: str) -> Ended:
        """Ask, wait a little where asking may help, then kill."""
        if why in ("cancelled", "timed out"):
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)
            patience = time.monotonic() + self._spec.profile.grace_seconds
            while time.monotonic() < patience and not self._has_exited():
                self._read()  # a worker blocked on a full pipe could not stop
                time.sleep(0.02)
        self._end_everything()
        return Ended(why=why, sentence=sentence, cell=self._cell, failure=self._failure)

    def _end_everything(self) -> None:
        """Kill the worker and all it started, then reap. Safe to call twice."""
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        processes.sweep(self._spec.mark, session=self._process.pid)
        self._process.wait()
        self._read()
        os.close(self._pipe)
        self._pipe = -1
        processes.reap()
