"""The GPU while it is measured: clocks, power, energy, throttling, ten times a second, from the supervisor.

Never inside the measured process, and only read: no clock, limit or mode is ever set. Each counter is
judged by itself; one the board lacks is null with its reason kept once. Without NVML it says so.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pynvml

from dashboard.benchmark.spec import Device

PERIOD_SECONDS = 0.1
SAMPLES = "gpu.jsonl"  # in the run directory
_SLOWEST_CALL_SECONDS = 0.001  # a slower one is left out of the loop: it may hold the driver's lock

_QUESTIONS: dict[str, Callable[[Any, Any], float]] = {
    "sm_clock_hertz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1e6,
    "memory_clock_hertz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM) * 1e6,
    "power_watts": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "energy_joules": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
    "temperature_celsius": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    "throttle_reasons": lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
    "memory_used_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "utilization_percent": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
}


class Sampler:
    """A thread that writes one line per look to `gpu.jsonl`; a context manager. On a CPU it does nothing."""

    def __init__(self, device: Device, path: Path, nvml: Any = pynvml) -> None:
        self.available = False
        self.reason = "a CPU run has no GPU to watch" if device.kind == "cpu" else ""
        self._device = device
        self._path = path
        self._nvml = nvml
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._device.kind == "cpu":
            return self
        try:
            self._nvml.nvmlInit()
            handle = self._nvml.nvmlDeviceGetHandleByUUID(self._device.uuid)
        except self._nvml.NVMLError as why:
            self.reason = f"NVML does not answer ({why})"
            return self
        questions = self._answerable(handle)
        self.available = bool(questions)
        self._thread = threading.Thread(target=self._look, args=(handle, questions), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _answerable(self, handle: Any) -> dict[str, Callable[[Any, Any], float]]:
        kept, refused = {}, []
        for name, question in _QUESTIONS.items():
            started = time.perf_counter()
            try:
                question(self._nvml, handle)
                question(self._nvml, handle)  # the first call may pay for set-up
            except self._nvml.NVMLError as why:
                refused.append(f"{name}: {why}")
                continue
            if time.perf_counter() - started > 2 * _SLOWEST_CALL_SECONDS:
                refused.append(f"{name}: too slow to ask ten times a second")
                continue
            kept[name] = question
        self.reason = "; ".join(refused)
        return kept

    def _look(self, handle: Any, questions: dict[str, Callable[[Any, Any], float]]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            while not self._over.wait(PERIOD_SECONDS):
                sample: dict[str, float | None] = {"monotonic_seconds": time.monotonic()}
                for name, question in questions.items():
                    try:
                        sample[name] = question(self._nvml, handle)
                    except self._nvml.NVMLError:
                        sample[name] = None
                try:
                    file.write(json.dumps(sample) + "\n")
                except OSError:
                    return  # the disk is full; the supervisor's own writes will say so


def facts(device: Device, nvml: Any = pynvml) -> dict[str, Any]:
    """Facts NVML knows about the device that decide whether two runs compare; empty on a CPU or without NVML."""
    if device.kind == "cpu":
        return {}
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(device.uuid)
        driver = nvml.nvmlSystemGetDriverVersion()
    except nvml.NVMLError:
        return {}
    try:
        limit: float | None = nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000  # NVML: milliwatts
    except nvml.NVMLError:
        limit = None
    return {
        "driver": driver,
        "driver_major": str(driver).partition(".")[0],
        "gpu_power_limit_watts": limit,
        "gpu_uuid": device.uuid,
        "mig": device.uuid.startswith("MIG-"),
    }


def memory_used_bytes(device: Device, nvml: Any = pynvml) -> int | None:
    """Memory in use on the device, by whomever; None on a CPU or where NVML does not say."""
    if device.kind == "cpu":
        return None
    try:
        nvml.nvmlInit()
        used = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByUUID(device.uuid)).used
    except nvml.NVMLError:
        return None
    return int(used)


def find(uuid: str | None = None, nvml: Any = pynvml) -> Device | None:
    """The GPU with this UUID, or the one with most free memory; None where there is no such GPU."""
    try:
        nvml.nvmlInit()
        if uuid is not None:
            handles = [nvml.nvmlDeviceGetHandleByUUID(uuid)]
        else:
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        found = [
            (
                nvml.nvmlDeviceGetMemoryInfo(handle).free,
                nvml.nvmlDeviceGetUUID(handle),
                nvml.nvmlDeviceGetName(handle),
            )
            for handle in handles
        ]
    except nvml.NVMLError:
        return None
    if not found:
        return None
    _, uuid, name = max(found)
    return Device(kind="cuda", uuid=str(uuid), name=str(name))


def granted(visible: str, nvml: Any = pynvml) -> Device | None:
    """The GPU a scheduler gave in CUDA_VISIBLE_DEVICES, the first if there are several; None where NVML has no such.

    Args:
        visible: UUIDs or indices, separated by commas. An index counts in PCI bus order, as NVML does.
    """
    first = visible.partition(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return find(first, nvml)
    if not first.isdigit():
        return None
    try:
        nvml.nvmlInit()
        return find(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByIndex(int(first))), nvml)
    except nvml.NVMLError:
        return None


def last_look(path: Path) -> tuple[float | None, float | None]:
    """SM clock in hertz and power in watts, of the newest sample of a run; None before the first."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().splitlines()
    except OSError:
        return None, None
    for line in reversed(lines):
        with suppress(ValueError, AttributeError):  # half a line, at the front of what was read
            sample = json.loads(line)
            return sample.get("sm_clock_hertz"), sample.get("power_watts")
    return None, None
