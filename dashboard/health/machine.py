"""Checks of this server and the machine it runs on: the application, its store, GPU, memory, disk and sampler."""

import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

import psutil

import dashboard
from collectors import host
from collectors.unavailable import Unavailable
from dashboard.health.check import Check, Detail, not_here
from dashboard.sampler import Sampler
from dashboard.settings import Settings

MEMORY_LIMIT_PERCENT = 90.0  # the guide's
DISK_LIMIT_PERCENT = 95.0
SAMPLER_LIMIT_SECONDS = 10.0

PAGES = Path(dashboard.__file__).resolve().parents[1] / "pages"

# Reasons for having no GPU that are no fault: the machine has none.
_NO_GPU = frozenset({"no-library"})


class Store(Protocol):
    """What people said, as far as health cares."""

    def probe(self) -> None:
        """Write something and take it back; raise when that fails."""


class Application:
    """The server itself: its page scripts are there and compile, and what it holds."""

    def __init__(self, pages: Path = PAGES) -> None:
        """Look at the scripts in `pages`."""
        self._pages = pages
        self._compiled: dict[Path, float] = {}  # script -> modification time that compiled

    def __call__(self) -> Check:
        """Compile what changed since the last time."""
        scripts = sorted(self._pages.glob("*.py"))
        details: dict[str, Detail] = {
            "pages": len(scripts),
            "python_version": ".".join(map(str, sys.version_info[:3])),
            "uptime_seconds": round(time.time() - psutil.Process().create_time(), 1),
            "resident_memory_bytes": psutil.Process().memory_info().rss,
            "threads": threading.active_count(),
        }
        if not scripts:
            return Check("application", healthy=False, message="There are no page scripts.", details=details)
        for script in scripts:
            changed = script.stat().st_mtime
            if self._compiled.get(script) == changed:
                continue
            try:
                compile(script.read_bytes(), str(script), "exec")
            except (SyntaxError, ValueError) as why:
                return Check(
                    "application",
                    healthy=False,
                    message=f"The page {script.stem} does not compile.",
                    details=details,
                    error_type=type(why).__name__,
                    reason=str(why),
                )
            self._compiled[script] = changed
        return Check(
            "application", healthy=True, message="Application modules loaded successfully", details=details
        )


def database(store: Store | None) -> Check:
    """The store of what people said can be written."""
    if store is None:
        return not_here("database", "No store is configured.")
    store.probe()
    return Check("database", healthy=True, message="The store can be written.")


def gpu(sampler: Sampler | None) -> Check:
    """Every GPU of this machine answers. A machine without one is healthy: CPU-only is a way to be."""
    look = None if sampler is None else sampler.latest
    if look is None:
        return not_here("gpu", "This machine has not been looked at yet.")
    if isinstance(look.gpus, Unavailable):
        if look.gpus.kind in _NO_GPU:
            return Check(
                "gpu", healthy=True, message="No GPU available (CPU-only mode)", details={"gpu_count": 0}
            )
        raise look.gpus
    if not look.gpus:
        return Check(
            "gpu", healthy=True, message="The driver is there and reports no GPU.", details={"gpu_count": 0}
        )
    totals = [item.memory_total_bytes for item in look.gpus if item.memory_total_bytes is not None]
    details: dict[str, Detail] = {
        "gpu_count": len(look.gpus),
        "gpu_memory_gb": round(sum(totals) / 2**30, 2) if len(totals) == len(look.gpus) else None,
        "driver_version": look.gpus[0].driver_version,
    }
    gone = [f"GPU {item.gpu_id}: {item.trouble}" for item in look.gpus if item.trouble]
    if gone:
        return Check(
            "gpu", healthy=False, message="; ".join(gone), details=details, error_type="gpu-lost",
            advice="See the kernel's log for Xid errors; the machine may need a restart.",
        )  # fmt: skip
    return Check("gpu", healthy=True, message="Every GPU answers.", details=details)


def memory() -> Check:
    """Less than 90 % of the machine's memory is in use, as in the guide."""
    seen = host.read()
    percent = 100.0 * seen.memory_used_bytes / seen.memory_total_bytes
    healthy = percent < MEMORY_LIMIT_PERCENT
    return Check(
        "memory",
        healthy=healthy,
        message="Memory is available." if healthy else f"More than {MEMORY_LIMIT_PERCENT:g} % of memory is in use.",
        details={
            "memory_percent": round(percent, 1),
            "memory_available_gb": round(seen.memory_available_bytes / 2**30, 2),
            "memory_total_gb": round(seen.memory_total_bytes / 2**30, 2),
        },
    )  # fmt: skip


def disk(settings: Settings) -> Check:
    """The file systems that hold our data and the runs have room left, for us and not only for root."""
    worst, free_bytes, fullest = 0.0, 0, settings.data_dir
    for folder in filter(None, (settings.data_dir, settings.runs_dir)):
        usage = shutil.disk_usage(_existing(folder))
        percent = 100.0 * usage.used / max(1, usage.used + usage.free)
        if percent >= worst:
            worst, free_bytes, fullest = percent, usage.free, folder
    healthy = worst < DISK_LIMIT_PERCENT
    details: dict[str, Detail] = {
        "disk_percent": round(worst, 1),
        "disk_free_gb": round(free_bytes / 2**30, 2),
    }
    if not os.access(_existing(settings.data_dir), os.W_OK):
        return Check(
            "disk", healthy=False, message="The data directory cannot be written.", details=details, error_type="read-only"
        )  # fmt: skip
    message = (
        "There is room on disk."
        if healthy
        else f"The file system of {fullest} is {worst:.0f} % full: make room, or what people say cannot be kept."
    )
    return Check("disk", healthy=healthy, message=message, details=details)


def sampling(sampler: Sampler | None) -> Check:
    """The thread that looks at this machine lives and has looked within ten seconds."""
    if sampler is None:
        return not_here("sampler", "This server does not look at its machine.")
    age = sampler.age_seconds
    details: dict[str, Detail] = {"age_seconds": None if age is None else round(age, 1)}
    if not sampler.alive:
        return Check(
            "sampler", healthy=False, message="The sampler does not run.", details=details, error_type="dead"
        )
    if age is None or age > SAMPLER_LIMIT_SECONDS:
        return Check(
            "sampler", healthy=False, message="The sampler hangs: its last look is old.", details=details, error_type="stale",
            advice="An NVIDIA driver that does not return holds it; see whether `nvidia-smi` returns.",
        )  # fmt: skip
    return Check("sampler", healthy=True, message="The machine is looked at.", details=details)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: it is made there when it is first written."""
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
