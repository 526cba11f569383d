"""Xid errors as NVML's events tell them: what the driver writes to the kernel's log when a GPU misbehaves.

Counts from the moment the watch was armed; errors before that are unknown, not 0. A GPU whose driver does not
offer the event (vGPU, WSL, MIG slices) is absent from the counts.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pynvml

from collectors import nvml as collector
from collectors.unavailable import Unavailable

# Hardware-class codes of NVIDIA's "XID Errors" catalogue: they are counted from 0 on, so that the first one is a rise.
HARDWARE: Mapping[int, str] = {
    48: "double bit ECC error",
    62: "internal micro-controller halt",
    63: "row remapping recorded",
    64: "row remapping failed",
    74: "NVLink error",
    79: "GPU has fallen off the bus",
    92: "high single-bit ECC error rate",
    94: "contained ECC error",
    95: "uncontained ECC error",
    119: "GSP timeout",
    120: "GSP error",
}

_MOST_AT_ONCE = 1000  # an error storm must not hold the look for ever


@dataclass(frozen=True, slots=True)
class Xid:
    """One code on one GPU: how often, first and last seen as unix seconds (None when it never came)."""

    gpu_id: str
    code: int
    count: int
    first_seen: float | None
    last_seen: float | None


class XidWatch:
    """Holds one NVML event set. `look()` takes what has come since the last look, without waiting."""

    def __init__(self, nvml: Any = pynvml, clock: Callable[[], float] = time.time) -> None:
        """Arm nothing yet: the first `look` does."""
        self._nvml = nvml
        self._clock = clock
        self._events: Any = None
        self._seen: dict[tuple[str, int], Xid] = {}
        self._lock = threading.Lock()

    def look(self) -> list[Xid]:
        """Every code counted so far, hardware-class codes from 0.

        Raises:
            Unavailable: NVML does not answer, or no GPU here offers the event (kind not-supported).
        """
        nvml = self._nvml
        with self._lock:
            if self._events is None:
                self._arm()
            try:
                for _ in range(_MOST_AT_ONCE):
                    self._count(nvml.nvmlEventSetWait_v2(self._events, 0))
            except nvml.NVMLError as why:
                if why.value != nvml.NVML_ERROR_TIMEOUT:  # timeout: nothing more has come
                    self._events = None  # armed anew at the next look; counts go on
                    raise Unavailable(f"NVML's event stream broke ({why}).", kind="nvml-error") from why
            return sorted(self._seen.values(), key=lambda xid: (xid.gpu_id, xid.code))

    def _arm(self) -> None:
        nvml = self._nvml
        gpus = collector.read(nvml)
        try:
            events = nvml.nvmlEventSetCreate()
        except nvml.NVMLError as why:
            raise _no_events(why) from why
        armed = []
        for gpu in gpus:
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(int(gpu.gpu_id))
                if not nvml.nvmlDeviceGetSupportedEventTypes(handle) & nvml.nvmlEventTypeXidCriticalError:
                    continue
                nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, events)
            except nvml.NVMLError:
                continue  # this GPU is not counted; others are
            armed.append(gpu.gpu_id)
        if not armed:
            raise _no_events("no GPU offers them")
        self._events = events
        for gpu_id in armed:
            for code in HARDWARE:
                self._seen.setdefault((gpu_id, code), Xid(gpu_id, code, 0, None, None))

    def _count(self, event: Any) -> None:
        if not event.eventType & self._nvml.nvmlEventTypeXidCriticalError:
            return
        gpu_id, code, now = (
            str(self._nvml.nvmlDeviceGetIndex(event.device)),
            int(event.eventData),
            self._clock(),
        )
        old = self._seen.get((gpu_id, code), Xid(gpu_id, code, 0, None, None))
        first = now if old.first_seen is None else old.first_seen
        self._seen[gpu_id, code] = Xid(gpu_id, code, old.count + 1, first, now)


def _no_events(why: object) -> Unavailable:
    return Unavailable(
        f"The driver offers no Xid events here ({why}).",
        advice="The kernel's log has them (dmesg | grep Xid).",
        kind="not-supported",
    )
