"""The lease of a device: one benchmark at a time on a GPU, or on the CPUs, first come first served.

The kernel's `flock` is the lease, so no crash can leave it taken. A ticket is a numbered file whose
owner holds its lock while it waits; a ticket nobody holds belongs to the dead and is dropped. Content of
the lock file is information for people and for cleaning up, never the lease itself. Every dashboard of
the host meets in the same directory; a local disk is needed, since network file systems differ on flock.
"""

import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.benchmark import processes

DIRECTORY = Path(tempfile.gettempdir()) / "moe-router-dashboard-leases"

_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the queue. It is held as long as `descriptor` is open, in whichever process inherited it."""

    device: str
    number: int
    path: Path
    descriptor: int


def draw(directory: Path, device: str, seconds: float = 0.0) -> Ticket:
    """Join the queue of a device (`cpu`, `gpu-<UUID>`).

    Args:
        seconds: how long the device will be needed, for those who wait behind.
    """
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"{device!r} cannot name a lease")
    _make(directory)
    with _queue(directory, device) as counter:
        # numbers are never reused, even when the queue was empty: a ticket's name belongs to one run
        last = os.pread(counter, 32, 0)
        waiting = [number for number, _ in _tickets(directory, device)]
        number = max([*waiting, int(last) if last.isdigit() else 0]) + 1
        _write(counter, str(number).encode())
        path = directory / f"{device}.ticket.{number:09d}"
        descriptor = _open(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _write(descriptor, f"{seconds:.1f}".encode())
    return Ticket(device, number, path, descriptor)


class Lease:
    """One waiter's view of a device. Not for several threads."""

    def __init__(self, directory: Path, ticket: Ticket) -> None:
        self._directory = directory
        self._ticket = ticket
        self._descriptor = _open(directory / f"{ticket.device}.lock")
        self.held = False

    def try_acquire(self, holder: dict[str, Any]) -> bool:
        """Take the device if it is our turn and it is free. What a dead holder left running is ended first.

        Args:
            holder: who we are, for people and for the next holder; `mark` is what our processes carry.
        """
        if self.ahead() > 0:
            return False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        dead = _holder(self._descriptor)
        if dead and isinstance(dead.get("mark"), str):
            processes.sweep(dead["mark"])
        _write(self._descriptor, json.dumps(holder).encode())
        self.held = True
        self.leave_queue()
        return True

    def ahead(self) -> int:
        """How many living waiters stand before us; drops the tickets of the dead."""
        before = 0
        with _queue(self._directory, self._ticket.device):
            for number, path in _tickets(self._directory, self._ticket.device):
                if number >= self._ticket.number:
                    break
                if is_held(path):
                    before += 1
                else:
                    path.unlink(missing_ok=True)
        return before

    def wait_seconds(self) -> float | None:
        """An estimate of the wait: what the holder and those before us said they need; None where nobody said."""
        holder = self.holder() or {}
        since, until = holder.get("since"), holder.get("until")
        if not isinstance(until, int | float) or not isinstance(since, int | float):
            return None
        wait = min(max(0.0, until - time.time()), until - since)  # even when the clock was set back meanwhile
        for number, path in _tickets(self._directory, self._ticket.device):
            if number < self._ticket.number and is_held(path):
                with suppress(OSError, ValueError):
                    wait += float(path.read_text())
        return wait

    def holder(self) -> dict[str, Any] | None:
        """Who has the device now, as the holder described itself; None when nobody says."""
        return _holder(self._descriptor)

    def leave_queue(self) -> None:
        """Give the ticket up; the lease itself stays."""
        with suppress(OSError):
            self._ticket.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the device back and say that nothing was left behind."""
        self.leave_queue()
        if self.held:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            self.held = False
        os.close(self._descriptor)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, mode=0o777)
    except FileExistsError:
        return
    with suppress(PermissionError):
        directory.chmod(0o1777)  # several Unix users share the device


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:  # first without O_CREAT: in a sticky directory the kernel refuses to "create" another user's file
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return os.open(path, flags)
    with suppress(PermissionError):
        os.fchmod(descriptor, 0o666)  # the umask must not shut other users out
    return descriptor


@contextmanager
def _queue(directory: Path, device: str) -> Iterator[int]:
    """Alone with the queue of a device, for a moment; gives the file that keeps the last number drawn."""
    descriptor = _open(directory / f"{device}.queue")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _tickets(directory: Path, device: str) -> list[tuple[int, Path]]:
    prefix = f"{device}.ticket."
    found = (path for path in directory.iterdir() if path.name.startswith(prefix))
    return sorted(
        (int(path.name[len(prefix) :]), path) for path in found if path.name[len(prefix) :].isdigit()
    )


def is_held(path: Path) -> bool:
    """Whether a living process holds this lock file; the kernel frees it however its holder dies."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _holder(descriptor: int) -> dict[str, Any] | None:
    try:
        found = json.loads(os.pread(descriptor, 65_536, 0))
    except ValueError:  # empty, or caught between truncate and write
        return None
    return found if isinstance(found, dict) else None


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)
