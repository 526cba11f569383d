"""Whether Prometheus has of this machine what the machine says itself: medians over the same minutes, side by side.

A single sample of a load jumps; two medians that differ by more than both can jitter mean another machine, another
container, another card, or an exporter that hangs. Knows no source: series and history are handed in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.nvml import Gpu
from collectors.prometheus.answers import RawSeries
from dashboard.catalogue import hardware
from dashboard.catalogue.spec import Metric
from dashboard.catalogue.units import BYTES, CELSIUS, COUNT, HERTZ, PERCENT, TOTAL, WATTS, Unit

COMPARED: tuple[Metric, ...] = (
    hardware.CPU_UTILIZATION, hardware.MEMORY_USAGE, hardware.MEMORY_TOTAL, hardware.DISK_USAGE, hardware.GPU_UTILIZATION,
    hardware.GPU_MEMORY_USED, hardware.GPU_MEMORY_TOTAL, hardware.GPU_POWER, hardware.GPU_TEMPERATURE, hardware.GPU_ECC,
)  # fmt: skip
SECONDS = 300.0  # of samples that are compared

# Unit -> (part of the value, and so much besides) that two medians of the same minutes may lie apart.
_JITTER: Mapping[Unit, tuple[float, float]] = {
    PERCENT: (0.0, 15.0), BYTES: (0.02, 64 * 2**20), WATTS: (0.1, 10.0), CELSIUS: (0.0, 3.0), HERTZ: (0.1, 0.0),
    COUNT: (0.0, 0.0), TOTAL: (0.0, 0.0),
}  # fmt: skip

History = Callable[[Metric, Mapping[str, str]], tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True, slots=True)
class Compared:
    """One value as the machine and as Prometheus have it, and when Prometheus's was scraped, in unix seconds."""

    metric: Metric
    labels: Mapping[str, str]  # as the machine has them
    instance: str
    here: float
    scraped: float
    scraped_at: float

    @property
    def agrees(self) -> bool:
        """Whether both lie no further apart than they may."""
        part, besides = _JITTER[self.metric.unit]
        return abs(self.here - self.scraped) <= part * abs(self.here) + besides


def instances(series: Iterable[RawSeries], gpus: Sequence[Gpu], is_here: Callable[[str], bool]) -> set[str]:
    """The scraped instances that are this machine: one that has a GPU of ours, or names this machine."""
    ours = {gpu.uuid for gpu in gpus if gpu.uuid}
    found = set()
    for one in series:
        instance = one.labels.get("instance", "")
        if one.labels.get("uuid") in ours or is_here(instance):
            found.add(instance)
    return found


def compare(
    series: Sequence[RawSeries], here: set[str], gpus: Sequence[Gpu], history: History
) -> tuple[Compared, ...]:
    """Every value that both have.

    Args:
        series: samples of the last `SECONDS` of the compared metrics and of gpu_info.
        here: the instances that are this machine.
        gpus: this machine's.
        history: times and values of one series as the machine remembers them, both (n,).
    """
    own = {gpu.uuid: gpu.gpu_id for gpu in gpus if gpu.uuid}
    index = {
        (one.labels.get("instance"), one.labels.get("gpu_id")): own.get(one.labels.get("uuid", ""))
        for one in series
        if one.labels.get("__name__") == hardware.GPU_INFO.name
    }
    known = {metric.name: metric for metric in COMPARED}
    found = []
    for one in series:
        metric, instance = known.get(one.labels.get("__name__", "")), one.labels.get("instance", "")
        if metric is None or instance not in here:
            continue
        labels = {name: one.labels.get(name, "") for name in metric.labels}
        if "gpu_id" in labels:
            # an index means nothing between two drivers: the UUID says which of ours it is
            ours = index.get((instance, labels["gpu_id"]), labels["gpu_id"])
            if ours is None:
                continue
            labels["gpu_id"] = ours
        pair = _medians(one, *history(metric, labels))
        if pair is not None:
            found.append(Compared(metric, labels, instance, *pair, float(one.times[-1])))
    return tuple(found)


def _medians(
    scraped: RawSeries, times: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Of both over the time that both have; None where they share none."""
    known = ~np.isnan(values)
    times, values = times[known], values[known]
    if not times.size or not scraped.times.size:
        return None
    begin, end = max(times[0], scraped.times[0]) - 1, min(times[-1], scraped.times[-1]) + 1
    mine = values[(times >= begin) & (times <= end)]
    theirs = scraped.values[(scraped.times >= begin) & (scraped.times <= end)]
    theirs = theirs[~np.isnan(theirs)]
    if not mine.size or not theirs.size:
        return None
    return float(np.median(mine)), float(np.median(theirs))
