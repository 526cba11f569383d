"""GPU readings through NVML. A counter the driver lacks reads None, never 0: silent is not idle.

Only getters are called; nothing here changes a GPU. Every counter is judged by itself, so that one unsupported
counter never spoils a reading: `Gpu.missing` says why each None is None, `Gpu.trouble` whether the GPU was lost.
Knows no metric names and keeps nothing between looks. NVML starts at the first look, not at import.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pynvml

from collectors.unavailable import Unavailable

# Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h, "Clocks Event Reasons"; 9 and 10 under their older name).
CLOCK_REASONS: Mapping[int, str] = {
    0x001: "gpu_idle",
    0x002: "applications_clocks",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal",
    0x040: "hw_thermal",
    0x080: "hw_power_brake",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}

# NVML's "not available" values: all bits set, and the blank range that DCGM and old drivers answer with.
_BLANK_32 = 0xFFFF_FFFF
_BLANK_64 = 0x7FFF_FFFF_FFFF_FFF0

_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO in Linux's include/linux/proc_ns.h


@dataclass(frozen=True, slots=True)
class MigSlice:
    """One MIG instance. Power, clocks and utilization belong to the whole board and are never attributed to a slice."""

    uuid: str | None
    name: str | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """What one look at one GPU saw. None: not available; the reason is in `missing` under the field's name."""

    gpu_id: str  # NVML index, in PCI bus order; not the CUDA ordinal
    uuid: str | None
    name: str | None
    driver_version: str | None
    utilization_percent: float | None  # share of the last 1/6 to 1 s in which any kernel ran
    memory_utilization_percent: float | None  # share of it in which memory was read or written
    memory_used_bytes: int | None  # without what the driver reserves, where the driver tells them apart
    memory_total_bytes: int | None
    power_watts: float | None  # on Ampere and later an average over the last second
    power_limit_watts: float | None
    temperature_celsius: float | None
    sm_clock_hertz: float | None
    memory_clock_hertz: float | None
    clock_reasons: tuple[str, ...] | None  # why clocks are not at their highest; () when nothing holds them
    energy_joules: float | None  # since the driver loaded
    ecc_uncorrected: int | None  # since the driver loaded
    mig_enabled: bool | None
    mig_slices: tuple[MigSlice, ...]
    missing: Mapping[str, str]
    trouble: str | None  # "lost" or "reset required": the GPU itself is gone, its counters mean nothing

    @classmethod
    def look(cls, index: int, nvml: Any, driver_version: str | None) -> "Gpu":
        """Ask one GPU everything; never raises an NVML error."""
        ask = _Ask(nvml)
        gpu = ask("handle", lambda: nvml.nvmlDeviceGetHandleByIndex(index))
        if gpu is None:  # without a handle nothing can be asked, and every counter has the same reason
            ask.all_missing(ask.missing["handle"])
        memory = ask("memory_used_bytes", lambda: _memory(nvml, gpu))
        rates = ask("utilization_percent", lambda: nvml.nvmlDeviceGetUtilizationRates(gpu))
        mig = ask("mig_enabled", lambda: nvml.nvmlDeviceGetMigMode(gpu)[0])
        if memory is None:
            ask.missing["memory_total_bytes"] = ask.missing["memory_used_bytes"]
        if rates is None:
            ask.missing["memory_utilization_percent"] = ask.missing["utilization_percent"]
        return cls(
            gpu_id=str(index),
            uuid=ask("uuid", lambda: _text(nvml.nvmlDeviceGetUUID(gpu))),
            name=ask("name", lambda: _text(nvml.nvmlDeviceGetName(gpu))),
            driver_version=driver_version,
            utilization_percent=None if rates is None else float(rates.gpu),
            memory_utilization_percent=None if rates is None else float(rates.memory),
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            power_watts=ask("power_watts", lambda: _milli(nvml.nvmlDeviceGetPowerUsage(gpu), _BLANK_32)),
            power_limit_watts=ask(
                "power_limit_watts", lambda: _milli(nvml.nvmlDeviceGetEnforcedPowerLimit(gpu), _BLANK_32)
            ),
            temperature_celsius=ask(
                "temperature_celsius",
                lambda: _known(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU), _BLANK_32),
            ),
            sm_clock_hertz=ask(
                "sm_clock_hertz", lambda: _mega(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))
            ),
            memory_clock_hertz=ask(
                "memory_clock_hertz", lambda: _mega(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM))
            ),
            clock_reasons=ask("clock_reasons", lambda: _reasons(nvml, gpu)),
            energy_joules=ask(
                "energy_joules", lambda: _milli(nvml.nvmlDeviceGetTotalEnergyConsumption(gpu), _BLANK_64)
            ),
            ecc_uncorrected=ask(
                "ecc_uncorrected",
                lambda: nvml.nvmlDeviceGetTotalEccErrors(
                    gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
                ),
            ),
            mig_enabled=None if mig is None else bool(mig),
            mig_slices=tuple(_mig_slices(nvml, gpu)) if mig else (),
            missing=ask.missing,
            trouble=ask.trouble,
        )

    @property
    def memory_used_percent(self) -> float | None:
        """Memory in use, percent of what there is; None where either is unknown or the total is 0."""
        if self.memory_used_bytes is None or not self.memory_total_bytes:
            return None
        return 100.0 * self.memory_used_bytes / self.memory_total_bytes


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds a context on a GPU, as the driver names it."""

    gpu_id: str
    pid: int  # in the host's process namespace, also when asked from inside a container
    kind: str  # "compute" or "graphics"
    memory_used_bytes: int | None
    name: str | None  # None when the process cannot be seen from here
    owner: str | None


def read(nvml: Any = pynvml) -> list[Gpu]:
    """Look once at every GPU; a machine with a driver and without any GPU gives an empty list.

    Raises:
        Unavailable: NVML itself does not answer. kind: no-library, no-driver, no-permission, version-mismatch,
            or nvml-error with NVML's own text.
    """
    count = _count(nvml)
    driver_version = _Ask(nvml)("driver_version", lambda: _text(nvml.nvmlSystemGetDriverVersion()))
    return [Gpu.look(index, nvml, driver_version) for index in range(count)]


def processes(
    gpu_id: str, nvml: Any = pynvml, namespace: Path = Path("/proc/self/ns/pid")
) -> list[GpuProcess]:
    """Who uses this GPU. On demand only: the driver may hold its global lock for milliseconds meanwhile.

    The driver speaks of host process ids. Inside a container they would name other processes, so name and owner
    are looked up only in the host's own process namespace.

    Raises:
        Unavailable: NVML does not answer, or the driver does not tell processes. Kinds as in `read`, and not-supported.
    """
    _count(nvml)
    found = []
    kinds: tuple[tuple[str, str], ...] = (
        ("compute", "nvmlDeviceGetComputeRunningProcesses"),
        ("graphics", "nvmlDeviceGetGraphicsRunningProcesses"),
    )
    try:
        gpu = nvml.nvmlDeviceGetHandleByIndex(int(gpu_id))
        for kind, getter in kinds:
            found += [(kind, process) for process in getattr(nvml, getter)(gpu)]
    except nvml.NVMLError as why:
        raise Unavailable(
            f"The driver does not list the processes of GPU {gpu_id} ({why}).",
            advice="vGPU guests and some containers are not told; look on the host.",
            kind="not-supported" if why.value == nvml.NVML_ERROR_NOT_SUPPORTED else "nvml-error",
        ) from why
    on_host = _in_initial_namespace(namespace)
    return [
        GpuProcess(gpu_id, process.pid, kind, process.usedGpuMemory, *_who(process.pid, on_host=on_host))
        for kind, process in found
    ]


class _Ask:
    """Asks one counter at a time and notes why a counter did not answer."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._same_reason: str | None = None
        self.missing: dict[str, str] = {}
        self.trouble: str | None = None

    def all_missing(self, reason: str) -> None:
        self._same_reason = reason

    def __call__(self, field: str, question: Callable[[], Any]) -> Any:
        if self._same_reason is not None:
            self.missing[field] = self._same_reason
            return None
        nvml = self._nvml
        try:
            answer = question()
        except nvml.NVMLError as why:
            if why.value == nvml.NVML_ERROR_GPU_IS_LOST:
                self.trouble = "lost"
            elif why.value == nvml.NVML_ERROR_RESET_REQUIRED:
                self.trouble = "reset required"
            self.missing[field] = str(why).lower().rstrip(".")
            return None
        except UnicodeDecodeError:
            self.missing[field] = "not readable text"
            return None
        if answer is None:
            self.missing[field] = "the driver answered its blank value"
        return answer


def _count(nvml: Any) -> int:
    """How many GPUs there are. Starts NVML when it was not, and again after a driver was reloaded under us."""
    try:
        try:
            return int(nvml.nvmlDeviceGetCount())
        except nvml.NVMLError as why:
            if why.value != nvml.NVML_ERROR_UNINITIALIZED:
                with contextlib.suppress(nvml.NVMLError):
                    # The next look starts afresh: a driver update leaves the old session dead. An error here says
                    # only that there was nothing to end.
                    nvml.nvmlShutdown()
                raise
        nvml.nvmlInit()
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as why:
        raise _unavailable(nvml, why) from why


def _unavailable(nvml: Any, why: Any) -> Unavailable:
    if why.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return Unavailable(
            "There is no NVML library (libnvidia-ml.so.1) on this machine.",
            advice="Without an NVIDIA GPU this is as it should be. In a container, grant the driver capability "
            "'utility' (NVIDIA_DRIVER_CAPABILITIES=utility,compute).",
            kind="no-library",
        )
    if why.value == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return Unavailable(
            "The NVIDIA driver is not loaded.",
            advice="Load it (modprobe nvidia) or look into the kernel's log for why it did not load.",
            kind="no-driver",
        )
    if why.value == nvml.NVML_ERROR_NO_PERMISSION:
        return Unavailable(
            "The NVIDIA driver refuses this user.",
            advice="Grant read access to /dev/nvidiactl and /dev/nvidia*.",
            kind="no-permission",
        )
    if why.value == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return Unavailable(
            "The NVIDIA driver in the kernel and the NVML library are of different versions.",
            advice="The driver was updated without a restart: reload the kernel modules or restart the machine.",
            kind="version-mismatch",
        )
    return Unavailable(
        f"NVML does not answer ({why}).", advice="See whether `nvidia-smi` works.", kind="nvml-error"
    )


def _memory(nvml: Any, gpu: Any) -> Any:
    """Version 2 tells the driver's own reserve apart from what is in use; drivers before 510 know version 1 alone."""
    try:
        return nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)
    except nvml.NVMLError as why:
        if why.value not in {nvml.NVML_ERROR_FUNCTION_NOT_FOUND, nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH}:
            raise
    return nvml.nvmlDeviceGetMemoryInfo(gpu)


def _reasons(nvml: Any, gpu: Any) -> tuple[str, ...]:
    try:
        bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
    except nvml.NVMLError as why:
        if why.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        bits = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)  # its name before driver 535
    return tuple(CLOCK_REASONS.get(1 << bit, f"bit_{bit}") for bit in range(64) if bits >> bit & 1)


def _mig_slices(nvml: Any, board: Any) -> list[MigSlice]:
    places = _Ask(nvml)("places", lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(board)) or 0
    slices = (_mig_slice(nvml, board, place) for place in range(places))
    return [part for part in slices if part is not None]


def _mig_slice(nvml: Any, board: Any, place: int) -> MigSlice | None:
    """None: nothing was made at this place."""
    ask = _Ask(nvml)
    part = ask("handle", lambda: nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, place))
    if part is None:
        return None
    memory = ask("memory", lambda: _memory(nvml, part))
    return MigSlice(
        uuid=ask("uuid", lambda: _text(nvml.nvmlDeviceGetUUID(part))),
        name=ask("name", lambda: _text(nvml.nvmlDeviceGetName(part))),
        memory_used_bytes=None if memory is None else int(memory.used),
        memory_total_bytes=None if memory is None else int(memory.total),
    )


def _who(pid: int, *, on_host: bool) -> tuple[str | None, str | None]:
    if not on_host:
        return None, None
    try:
        process = psutil.Process(pid)
        return process.name(), process.username()
    except psutil.Error:
        return None, None


def _in_initial_namespace(namespace: Path) -> bool:
    try:
        return str(namespace.readlink()) == _INITIAL_PID_NAMESPACE
    except OSError:
        return False


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _known(value: int, blank: int) -> float | None:
    return None if value >= blank else float(value)


def _milli(value: int, blank: int) -> float | None:
    """NVML counts in milliwatts and millijoules."""
    return None if value >= blank else value / 1000


def _mega(value: int) -> float | None:
    """NVML counts in megahertz."""
    return None if value >= _BLANK_32 else value * 1e6
