"""How much memory a worker and all it starts may take, and what they have. Linux; no torch, no GPU.

On a CPU the kernel refuses what goes beyond the limit, so that the cell which asked says how much. Children each have
a limit of their own, and a GPU's driver reserves far more than it takes: what they take together is looked at as well.
"""

import os
import resource
from contextlib import suppress
from pathlib import Path

from dashboard.benchmark.processes import session_of
from dashboard.benchmark.spec import Spec

_SHARE = 0.8  # of what is free when a launch begins
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
# Limit and usage of a container's memory: version 2 and 1 of control groups.
_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def allowed_bytes(spec: Spec) -> int:
    """What the operator said, but never more than four fifths of what the machine, or our container, has free."""
    free = _free_bytes()
    within = _container_free_bytes()
    share = int(_SHARE * (free if within is None else min(free, within)))
    return min(share, spec.memory_limit_bytes) if spec.memory_limit_bytes else share


def _free_bytes() -> int:
    for line in (_PROC / "meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024  # the kernel says kB and means KiB
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _container_free_bytes(mine: Path = _PROC / "self/cgroup", groups: Path = _CGROUPS) -> int | None:
    """The tightest of our control group and those around it; None where none has a limit or we may not read it."""
    found = []
    with suppress(OSError):
        for line in mine.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root = groups / controllers
            group = root / name.strip("/")
            for folder in (group, *group.parents):
                for limit, used in _FILES:
                    with suppress(OSError, ValueError):  # "max", or not there
                        most = int((folder / limit).read_text())
                        found.append(max(0, most - int((folder / used).read_text())))
                if folder == root:
                    break
    return min(found, default=None)


def refuse_beyond(pid: int, limit_bytes: int) -> None:
    """Have the kernel refuse a process more private memory than this; the request then fails in its own words."""
    with suppress(ProcessLookupError, PermissionError):
        resource.prlimit(pid, resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def taken_bytes(session: int) -> int:
    """Private resident memory of everything in a session; what its processes share is not counted several times."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and session_of(int(entry.name)) == session:
            with suppress(OSError, IndexError):
                _, resident, shared, *_ = (entry / "statm").read_text().split()
                total += (int(resident) - int(shared)) * page
    return total
