"""Nobody is left behind: everything a benchmark starts is found and ended, however deeply it forked.

All of it carries a mark in its environment, which forks, new sessions and re-parenting keep. Which process a
pid meant is `dashboard.processes.Identity`. Linux only.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from dashboard.processes import Identity, stat

MARK_VARIABLE = "MOE_BENCHMARK_MARK"

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def session_of(pid: int) -> int | None:
    """The session id of a process, None when it is gone."""
    fields = stat(pid)
    return None if fields is None else int(fields[3])


def running_pids() -> list[int]:
    """Every process that is not a zombie."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if Identity.of(pid) is not None]


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
