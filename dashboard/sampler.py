"""One thread that looks at this machine once a second, and what it remembers: the last hour, in a ring of numbers.

Gives the collectors' readings their catalogue names (`measurements`); the exporter and the Hardware page share
that. Knows no page, no Prometheus and no clock but the one it is given. NVML starts at the first look.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from collectors import host as host_collector
from collectors import nvml as gpu_collector
from collectors.gpuwatch import Errors, Gone, GpuWatch
from collectors.host import CpuTimes, Host
from collectors.nvml import CLOCK_REASONS, Gpu
from collectors.unavailable import Unavailable
from collectors.xid import Xid, XidWatch
from dashboard.catalogue import hardware
from dashboard.catalogue.spec import Metric

log = structlog.get_logger("dashboard.sampler")

_MOST_SERIES = 2048  # 16 GPUs of some 20 series, and mount points that come and go: 59 MB at the very most
_FIRST_INTERVAL_SECONDS = 0.25  # the processor's share needs two looks; the second one comes soon
_NOT_HELD_BACK = frozenset({"gpu_idle"})  # a reason for low clocks, but nothing is held back

_Key = tuple[str, tuple[str, ...]]  # metric name, label values
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw; a source that could not be read says why in its place."""

    time: float  # unix seconds, when the look began
    host: Host | Unavailable
    gpus: tuple[Gpu, ...] | Unavailable
    xids: tuple[Xid, ...] | Unavailable
    errors: tuple[Errors, ...] = ()  # uncorrected memory errors, with when they came
    gone: tuple[Gone, ...] = ()  # GPUs that an earlier look saw well


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value under its catalogue name; `labels` in the order of `metric.labels`."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


def measurements(look: Look) -> Iterator[Measurement]:
    """Everything a look measured, under the catalogue's names. What is unknown is absent, never 0."""
    if isinstance(look.host, Host):
        yield from _of_host(look.host)
    if not isinstance(look.gpus, Unavailable):
        for gpu in look.gpus:
            yield from _of_gpu(gpu)
        yield from _of_all_gpus(look.gpus)
    if not isinstance(look.xids, Unavailable):
        for xid in look.xids:
            yield Measurement(hardware.GPU_XID, (xid.gpu_id, str(xid.code)), xid.count)


class Sampler:
    """Looks from a daemon thread between `start` and `stop`. All methods may be called from any thread."""

    def __init__(
        self,
        *,
        interval_seconds: float = 1.0,
        keep_seconds: float = 3600.0,
        read_host: Callable[[CpuTimes | None], Host] = host_collector.read,
        read_gpus: Callable[[], list[Gpu]] = gpu_collector.read,
        read_xids: Callable[[], list[Xid]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing is read before `start` or `look`."""
        self.interval_seconds = interval_seconds
        self._read_host = read_host
        self._read_gpus = read_gpus
        self._read_xids = read_xids if read_xids is not None else XidWatch().look
        self._clock = clock
        self._gpu_watch = GpuWatch()
        self._history = _Ring(int(keep_seconds / interval_seconds))
        self._cpu_times: CpuTimes | None = None
        self._latest: Look | None = None
        self._said: dict[
            str, str
        ] = {}  # source -> the kind last logged: a broken driver is one line, not one a second
        self._lock = threading.Lock()
        self._whole_look = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look; does nothing when it already does."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._ended = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._ended,), name="sampler", daemon=True
            )
            self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End looking. A look that hangs in a driver is left behind: the thread is a daemon."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def wait(self, timeout_seconds: float = 5.0) -> bool:
        """Until a look is whole, processor share included; False when that took too long."""
        return self._whole_look.wait(timeout_seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs. It may still hang: see `age_seconds`."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def latest(self) -> Look | None:
        """The last look; None before the first."""
        return self._latest

    @property
    def looked_at(self) -> float | None:
        """When it last looked, unix seconds; None before the first look."""
        return None if self._latest is None else self._latest.time

    @property
    def age_seconds(self) -> float | None:
        """How long ago that was."""
        return None if self._latest is None else max(0.0, self._clock() - self._latest.time)

    def look(self) -> Look:
        """Look once, now, in the caller's thread, and remember it."""
        now = self._clock()
        host = self._ask("host", lambda: self._read_host(self._cpu_times))
        gpus = self._ask("gpu", lambda: tuple(self._read_gpus()))
        xids: tuple[Xid, ...] | Unavailable = (
            gpus if isinstance(gpus, Unavailable) else self._ask("xid", lambda: tuple(self._read_xids()))
        )
        self._gpu_watch.look(() if isinstance(gpus, Unavailable) else gpus, now)
        look = Look(now, host, gpus, xids, self._gpu_watch.errors, self._gpu_watch.gone)
        with self._lock:
            self._history.add(
                now,
                {
                    (measured.metric.name, measured.labels): measured.value
                    for measured in measurements(look)
                    if measured.metric is not hardware.GPU_INFO  # always 1: nothing to draw
                },
            )
            self._latest = look
        if isinstance(host, Unavailable):
            self._whole_look.set()
        else:
            self._cpu_times = host.cpu_times
            if host.cpu_percent is not None:
                self._whole_look.set()
        return look

    def history(
        self, metric: Metric | str, labels: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times (unix seconds, rising) and values of one series, both (n,); NaN where a look had no value.

        Args:
            metric: a hardware metric of the catalogue, or its name.
            labels: the series, e.g. {"gpu_id": "0"}; needed where the metric has labels.
            seconds: only the looks of the last so many seconds.
        """
        name = str(metric)
        declared = next((known for known in hardware.METRICS if known.name == name), None)
        key = (name, tuple((labels or {}).get(label, "") for label in declared.labels) if declared else ())
        with self._lock:
            times, values = self._history.series(key)
        if seconds is not None:
            recent = times >= self._clock() - seconds
            times, values = times[recent], values[recent]
        return times, values

    def series(self, metric: Metric | str) -> list[dict[str, str]]:
        """The labels of every series of this metric that the last hour knows."""
        declared = next((known for known in hardware.METRICS if known.name == str(metric)), None)
        if declared is None:
            return []
        with self._lock:
            found = [labels for name, labels in self._history.known() if name == declared.name]
        return [dict(zip(declared.labels, labels, strict=True)) for labels in sorted(found)]

    def _run(self, ended: threading.Event) -> None:
        self._look_and_survive()
        ended.wait(min(_FIRST_INTERVAL_SECONDS, self.interval_seconds))
        due = time.monotonic()
        while not ended.is_set():
            self._look_and_survive()
            due += self.interval_seconds
            if (
                due < time.monotonic()
            ):  # a look took longer than a second, or the machine slept: do not catch up
                due = time.monotonic() + self.interval_seconds
            ended.wait(due - time.monotonic())

    def _look_and_survive(self) -> None:
        try:
            self.look()
        except Exception:  # whatever it is: the next second is another look
            log.exception("A look at this machine failed")

    def _ask(self, source: str, question: Callable[[], Answer]) -> Answer | Unavailable:
        try:
            answer = question()
        except Unavailable as why:
            self._say(source, why.kind, why.reason, why.advice)
            return why
        except Exception as why:  # noqa: BLE001  a defect in one collector must not take the others along
            name = type(why).__name__
            self._say(source, name, "The collector failed.", "", error=why)
            return Unavailable(
                f"The {source} collector failed ({name}).", advice="The log has the details.", kind="defect"
            )
        if self._said.pop(source, None) is not None:
            log.info("Source answers again", source=source)
        return answer

    def _say(self, source: str, kind: str, reason: str, advice: str, error: Exception | None = None) -> None:
        """Once for each new cause; a machine without a GPU is no fault."""
        if self._said.get(source) == kind:
            return
        self._said[source] = kind
        quiet = kind in {"no-library", "not-supported"}
        (log.info if quiet else log.warning)(
            "Source not available", source=source, kind=kind, reason=reason, advice=advice, exc_info=error
        )


class _Ring:
    """The last `length` looks of every series: one row a series, NaN where a look had no value.

    A series that was not seen for a whole ring gives its row back, so GPUs and mounts that come and go cost nothing
    for ever. Not safe for threads by itself.
    """

    def __init__(self, length: int) -> None:
        self._length = max(2, length)
        self._count = 0  # looks ever added
        self._times: NDArray[np.float64] = np.full(self._length, np.nan)
        self._values: NDArray[np.float64] = np.full((32, self._length), np.nan)
        self._rows: dict[_Key, int] = {}
        self._last_seen: dict[_Key, int] = {}
        self._free = list(range(len(self._values)))

    def add(self, at: float, values: Mapping["_Key", float]) -> None:
        place = self._count % self._length
        self._count += 1
        self._times[place] = at
        self._values[:, place] = np.nan
        for key in [key for key, seen in self._last_seen.items() if self._count - seen >= self._length]:
            self._free.append(self._rows.pop(key))
            del self._last_seen[key]
        for key, value in values.items():
            row = self._rows.get(key)
            if row is None:
                row = self._new_row(key)
            if row is not None:
                self._values[row, place] = value
                self._last_seen[key] = self._count

    def series(self, key: "_Key") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        order = np.arange(max(0, self._count - self._length), self._count) % self._length
        row = self._rows.get(key)
        if row is None:
            return np.empty(0), np.empty(0)
        return self._times[order], self._values[row, order]

    def known(self) -> list["_Key"]:
        return list(self._rows)

    def _new_row(self, key: "_Key") -> int | None:
        if not self._free:
            have = len(self._values)
            if have >= _MOST_SERIES:
                return None
            self._values = np.vstack([self._values, np.full((have, self._length), np.nan)])
            self._free = list(range(have, 2 * have))
        row = self._free.pop()
        self._values[row] = np.nan
        self._rows[key] = row
        return row


def _of_host(host: Host) -> Iterator[Measurement]:
    if host.cpu_percent is not None:
        yield Measurement(hardware.CPU_UTILIZATION, (), host.cpu_percent)
    yield Measurement(hardware.MEMORY_USAGE, ("ram",), host.memory_used_bytes)
    yield Measurement(hardware.MEMORY_TOTAL, ("ram",), host.memory_total_bytes)
    if host.swap_used_bytes is not None and host.swap_total_bytes is not None:
        yield Measurement(hardware.MEMORY_USAGE, ("swap",), host.swap_used_bytes)
        yield Measurement(hardware.MEMORY_TOTAL, ("swap",), host.swap_total_bytes)
    for disk in host.disks:
        if disk.used_bytes is not None and disk.total_bytes is not None:
            yield Measurement(hardware.DISK_USAGE, (disk.mount_point,), disk.used_bytes)
            yield Measurement(hardware.DISK_TOTAL, (disk.mount_point,), disk.total_bytes)


def _of_gpu(gpu: Gpu) -> Iterator[Measurement]:
    here = (gpu.gpu_id,)
    said: tuple[tuple[Metric, float | None], ...] = (
        (hardware.GPU_UTILIZATION, gpu.utilization_percent),
        (hardware.GPU_MEMORY_USED, gpu.memory_used_bytes),
        (hardware.GPU_MEMORY_TOTAL, gpu.memory_total_bytes),
        (hardware.GPU_MEMORY_PERCENT, gpu.memory_used_percent),
        (hardware.GPU_POWER, gpu.power_watts),
        (hardware.GPU_TEMPERATURE, gpu.temperature_celsius),
        (hardware.GPU_ENERGY, gpu.energy_joules),
        (hardware.GPU_ECC, gpu.ecc_uncorrected),
    )
    for metric, value in said:
        if value is not None:
            yield Measurement(metric, here, value)
    for clock, hertz in (("sm", gpu.sm_clock_hertz), ("memory", gpu.memory_clock_hertz)):
        if hertz is not None:
            yield Measurement(hardware.GPU_CLOCK, (*here, clock), hertz)
    if gpu.clock_reasons is not None:
        held = set(gpu.clock_reasons) - _NOT_HELD_BACK
        for reason in sorted(held | (set(CLOCK_REASONS.values()) - _NOT_HELD_BACK)):
            yield Measurement(hardware.GPU_THROTTLED, (*here, reason), float(reason in held))
    if gpu.trouble is None:
        labels = (*here, gpu.uuid or "", gpu.name or "", gpu.driver_version or "")
        yield Measurement(hardware.GPU_INFO, labels, 1.0)


def _of_all_gpus(gpus: tuple[Gpu, ...]) -> Iterator[Measurement]:
    """The guide's memory_usage_bytes{memory_type="gpu"}: all GPUs together, and only when every one tells."""
    used = [gpu.memory_used_bytes for gpu in gpus]
    total = [gpu.memory_total_bytes for gpu in gpus]
    known_used = [value for value in used if value is not None]
    known_total = [value for value in total if value is not None]
    if gpus and len(known_used) == len(known_total) == len(gpus):
        yield Measurement(hardware.MEMORY_USAGE, ("gpu",), sum(known_used))
        yield Measurement(hardware.MEMORY_TOTAL, ("gpu",), sum(known_total))
