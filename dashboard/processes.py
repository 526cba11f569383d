"""Starting, watching and stopping child processes so that none outlives its parent.

Knows processes and log files. Knows nothing of Prometheus, the router or what a page shows;
`dashboard.demo` and the tests say what to start. Linux only where it matters: a child asks the kernel
to be killed when its parent dies (prctl(2), PR_SET_PDEATHSIG), which no other system offers.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Runs in the new process, before the program replaces it: a tiny interpreter instead of preexec_fn,
# which is not safe in a process that has threads. If the parent died in between, nobody is left to ask.
_LAUNCHER = """
import ctypes, os, signal, sys
parent, word = int(sys.argv[1]), int(sys.argv[2])
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, word)
    if os.getppid() != parent:
        sys.exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class ChildFailed(Exception):
    """A child process ended or did not become ready; the message names it and ends with its last log lines."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process a pid meant: pids are reused, a start time (and the boot it belongs to) is not."""

    pid: int
    started_ticks: int  # clock ticks after boot, field 22 of /proc/<pid>/stat
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """The identity of a living process; None where there is none or no /proc."""
        fields = stat(pid)
        if fields is None or fields[0] in {"Z", "X"}:
            return None
        try:
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        return cls(pid, int(fields[19]), boot_id)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self


def stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the state (the third of proc(5)) on; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets


def answers(url: str, timeout_seconds: float = 1.0) -> bool:
    """Whether a GET of `url` gives a 2xx answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:  # noqa: S310 - an address we built
            return bool(200 <= answer.status < 300)
    except urllib.error.HTTPError as why:
        why.close()
        return False
    except (OSError, ValueError):
        return False


class Child:
    """One child process in a session of its own, its output in a file.

    Args:
        name: what people call it ("Prometheus"); used in every message.
        command: program and arguments; never a shell line.
        log: file its stdout and stderr are appended to.
        env: variables added to this process's own.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._cwd = cwd
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log_began = 0

    def start(self) -> Self:
        """Start it; its log goes on where an earlier start ended.

        The kernel ties the child to the calling thread: call this from one that lives as long as the child should.

        Raises:
            ChildFailed: the program does not exist.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(int(signal.SIGKILL))]
        with self.log.open("ab") as out:
            self._log_began = out.tell()
            self._process = subprocess.Popen(
                [*launcher, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env={**os.environ, **self._env},
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we stop them in order
            )
        return self

    @property
    def pid(self) -> int:
        """Its process id; it must have been started."""
        assert self._process is not None, f"{self.name} was not started"  # noqa: S101 - a programmer's error
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def tail(self, lines: int = 15) -> str:
        """The last lines it wrote since this start."""
        try:
            with self.log.open("rb") as source:
                source.seek(self._log_began)
                text = source.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_until(
        self,
        ready: Callable[[], bool],
        *,
        timeout_seconds: float,
        what: str = "become ready",
        pause_seconds: float = 0.1,
    ) -> None:
        """Ask `ready` until it says yes.

        Raises:
            ChildFailed: the process ended first, or the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            self.require_running(f" before it could {what}")
            if time.monotonic() > deadline:
                raise ChildFailed(self._failed(f"did not {what} within {timeout_seconds:g} s"))
            time.sleep(pause_seconds)

    def require_running(self, when: str = "") -> None:
        """Do nothing while it runs.

        Raises:
            ChildFailed: it ended.
        """
        if not self.running:
            raise ChildFailed(self._failed(f"ended with {_exit(self.returncode)}{when}"))

    def wait_ready(self, url: str, timeout_seconds: float = 30.0) -> None:
        """Wait until `url` answers with 2xx.

        Raises:
            ChildFailed: the process ended first, or the time is over.
        """
        self.wait_until(
            lambda: self.running and answers(url), timeout_seconds=timeout_seconds, what=f"answer at {url}"
        )

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Ask it to end, and kill it with its whole process group when it does not."""
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it without asking, and wait for its end."""
        if self._process is None:
            return
        self.signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group; nothing happens when it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def __enter__(self) -> Self:
        if not self.running:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _failed(self, what: str) -> str:
        tail = self.tail()
        end = f" Its log ends:\n{tail}" if tail else " It wrote nothing."
        return f"{self.name} {what}. Log: {self.log}.{end}"


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"
