"""Processes as the kernel knows them: who is alive, and nobody left behind.

A pid alone names nobody: it is reused, and a reboot starts again. An `Identity` is (boot id, pid, start
time in ticks). Everything a benchmark starts carries a mark in its environment, which forks, new
sessions and re-parenting keep, so that what a killed run left can be found and ended. Linux only.
"""

import ctypes
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

MARK_VARIABLE = "MOE_BENCHMARK_MARK"

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for ever: neither pid reuse nor a reboot can make another one equal."""

    boot_id: str
    pid: int
    start_ticks: int  # /proc/<pid>/stat field 22, clock ticks since boot

    def as_json(self) -> dict[str, str | int]:
        """The same as plain data, for events and lock files."""
        return asdict(self)


def boot_id() -> str:
    """The kernel's name for this boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the state on; None when there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the command may hold spaces and brackets


def identity(pid: int) -> Identity | None:
    """Who has this pid now; None when nobody, or only a zombie, has it."""
    stat = _stat(pid)
    if stat is None or stat[0] in "ZX":
        return None
    return Identity(boot_id(), pid, int(stat[19]))


def alive(who: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identity(who.pid) == who


def session_of(pid: int) -> int | None:
    """The session id of a process, None when it is gone."""
    stat = _stat(pid)
    return None if stat is None else int(stat[3])


def running_pids() -> list[int]:
    """Every process that is not a zombie."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if identity(pid) is not None]


def resident_bytes(pid: int) -> int | None:
    """Resident memory of one process; None when it is gone."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def marked(mark: str) -> list[int]:
    """Processes of this user that were started by the run with this mark, however deeply forked."""
    needle = f"{MARK_VARIABLE}={mark}".encode()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # gone meanwhile, or another user's
            continue
        if needle in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def sweep(mark: str, *, session: int | None = None, patience_seconds: float = 5.0) -> list[int]:
    """SIGKILL everything a run left behind, until nothing is found.

    Args:
        mark: the run's mark.
        session: also everything in this session; only safe while its leader is not yet reaped.
        patience_seconds: how long to wait for the kernel; a process in uninterruptible sleep outlasts it.

    Returns:
        pids that were still there when patience ended; normally empty.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        left = set(marked(mark))
        if session is not None:
            left |= {pid for pid in running_pids() if session_of(pid) == session}
        left.discard(os.getpid())
        if not left:
            return []
        for pid in left:
            _kill(pid)
        if time.monotonic() > deadline:
            return sorted(left)
        time.sleep(0.01)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends; ends at once if the parent is already gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended between our start and the call above
        os._exit(1)


def adopt_orphans() -> None:
    """Make grandchildren whose parent ended children of this process, so that they can be found and reaped."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap() -> None:
    """Collect adopted orphans that ended. Call only while no `Popen` of this process is waiting to be polled."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
