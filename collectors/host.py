"""The machine this runs on, as the kernel tells it: processor, memory, swap, file systems, our own process.

Knows no metric names and keeps nothing between looks: a processor's utilization is a difference of two looks, so
the caller hands the earlier one in and one second caller never shortens the first one's interval.
"""

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from collectors.unavailable import Unavailable

# File systems that hold no files of ours, or only the image a container was started from.
_NOT_STORAGE = frozenset(
    {"squashfs", "iso9660", "tmpfs", "devtmpfs", "proc", "sysfs", "cgroup", "cgroup2", "ramfs"}
)


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Processor seconds of all cores since the machine started."""

    busy_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Disk:
    """One mounted file system."""

    mount_point: str
    device: str
    used_bytes: int | None  # None: the file system did not answer
    total_bytes: int | None
    free_bytes: int | None  # what a user without privileges may still write
    trouble: str | None = None  # why it did not answer


@dataclass(frozen=True, slots=True)
class Host:
    """What one look at the machine saw. None: this machine does not tell."""

    cpu_times: CpuTimes
    cpu_percent: float | None  # since the earlier look, all cores together, 0 to 100; None without one
    cpu_count: int | None
    load_1m: float | None
    load_5m: float | None
    load_15m: float | None
    memory_used_bytes: int  # total less available: what cannot be had without swapping
    memory_available_bytes: int
    memory_total_bytes: int
    swap_used_bytes: int | None
    swap_total_bytes: int | None
    disks: tuple[Disk, ...]
    process_resident_bytes: int | None  # this process


def read(since: CpuTimes | None = None, psutil: Any = psutil) -> Host:
    """Look once. `since` is `Host.cpu_times` of an earlier look; without it `cpu_percent` is None.

    Raises:
        Unavailable: the kernel tells neither memory nor processor times (kind no-proc).
    """
    try:
        cpu_times = _cpu_times(psutil)
        memory = psutil.virtual_memory()
    except (OSError, RuntimeError) as why:
        raise Unavailable(
            f"The kernel does not tell processor and memory ({type(why).__name__}).",
            advice="In a container, /proc must be mounted.",
            kind="no-proc",
        ) from why
    load: tuple[float | None, ...] = (None, None, None)
    with contextlib.suppress(OSError):  # not told here: stays None
        load = psutil.getloadavg()
    swap = _swap(psutil)
    return Host(
        cpu_times=cpu_times,
        cpu_percent=None if since is None else _percent(since, cpu_times),
        cpu_count=psutil.cpu_count(),
        load_1m=load[0],
        load_5m=load[1],
        load_15m=load[2],
        memory_used_bytes=memory.total - memory.available,
        memory_available_bytes=memory.available,
        memory_total_bytes=memory.total,
        swap_used_bytes=swap[0],
        swap_total_bytes=swap[1],
        disks=_disks(psutil),
        process_resident_bytes=_resident(psutil),
    )


def is_this(address: str, *, loopback: bool) -> bool:
    """Whether host:port names this machine for certain: by its own name, or by loopback.

    Args:
        address: as in an `instance` label; what it means depends on who wrote it.
        loopback: whether whoever wrote it runs on this machine, so that its loopback is ours.
    """
    host = address.rpartition(":")[0].strip("[]") or address
    own = socket.gethostname()
    if host in {own, own.partition(".")[0]}:
        return True
    if host == "localhost":
        return loopback
    try:
        return loopback and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cpu_times(psutil: Any) -> CpuTimes:
    """Busy is everything but idle and waiting for input or output, as psutil and top count it."""
    spent: Mapping[str, float] = psutil.cpu_times()._asdict()
    # Linux counts guest time inside user time already: adding it again would count it twice.
    total = sum(seconds for state, seconds in spent.items() if state not in {"guest", "guest_nice"})
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    return CpuTimes(busy_seconds=total - idle, total_seconds=total)


def _percent(since: CpuTimes, until: CpuTimes) -> float | None:
    total = until.total_seconds - since.total_seconds
    if total <= 0:  # two looks within one tick of the kernel's clock: not known, which is not 0
        return None
    return min(100.0, max(0.0, 100.0 * (until.busy_seconds - since.busy_seconds) / total))


def _swap(psutil: Any) -> tuple[int | None, int | None]:
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError):
        return None, None
    return swap.used, swap.total


def _resident(psutil: Any) -> int | None:
    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return None


def _disks(psutil: Any) -> tuple[Disk, ...]:
    """Real file systems, each device once: bind mounts of one device show the same numbers many times.

    Of several mounts of one device the shortest path stands for it. A root that is an overlay (a container) is
    no device but is where files go, so it counts.
    """
    try:
        mounts = psutil.disk_partitions(all=True)
        physical = {mount.device for mount in psutil.disk_partitions(all=False)}
    except (OSError, psutil.Error):
        return ()
    chosen: dict[str, Any] = {}
    for mount in sorted(mounts, key=lambda mount: (len(mount.mountpoint), mount.mountpoint)):
        is_root = mount.mountpoint == "/"
        if not is_root and (mount.device not in physical or mount.fstype in _NOT_STORAGE):
            continue
        if not is_root and not os.path.isdir(mount.mountpoint):  # noqa: PTH112  a bind-mounted file is no file system
            continue
        chosen.setdefault(mount.device, mount)
    return tuple(
        _disk(psutil, mount) for mount in sorted(chosen.values(), key=lambda mount: mount.mountpoint)
    )


def _disk(psutil: Any, mount: Any) -> Disk:
    try:
        usage = psutil.disk_usage(mount.mountpoint)
    except OSError as why:  # unplugged, unreachable, or not ours to see
        word = errno.errorcode.get(why.errno or 0, type(why).__name__)
        return Disk(mount.mountpoint, mount.device, None, None, None, trouble=word)
    return Disk(mount.mountpoint, mount.device, usage.used, usage.total, usage.free)
