"""The canary: a few fixed kernels that no change of a router touches. When they move, the machine moved. No torch.

It is heard at the start of every launch and again after every cell; the rates of its kernels are also
the peaks of the roofline, measured where and when the cells are.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dashboard.benchmark.quantiles import Seconds


@dataclass(frozen=True, slots=True)
class Kernel:
    """One fixed piece of work and what it amounts to."""

    call: Callable[[], Any]
    flops: float | None = None
    bytes_moved: float | None = None


class CanaryDevice(Protocol):
    """What the canary needs of a device."""

    def synchronize(self) -> None:
        """Wait until everything given to the device is done."""

    def time_calls(self, call: Callable[[Any], Any], inputs: Sequence[Any]) -> Seconds | None:
        """Device seconds of each call; None where the host's clock is the device's."""

    def kernels(self) -> dict[str, Kernel]:
        """The fixed kernels of this kind of device."""


class Canary:
    """The kernels of one device, ready to be timed."""

    def __init__(self, device: CanaryDevice) -> None:
        self._device = device
        self._kernels = device.kernels()

    def sing(self, calls: int) -> dict[str, dict[str, float]]:
        """Median seconds of each kernel over so many calls, and its rate."""
        heard = {}
        for name, kernel in self._kernels.items():
            seconds = self._median_seconds(kernel.call, calls)
            heard[name] = {"p50_seconds": seconds}
            if kernel.flops is not None:
                heard[name]["flops_per_second"] = kernel.flops / seconds
            if kernel.bytes_moved is not None:
                heard[name]["bytes_per_second"] = kernel.bytes_moved / seconds
        return heard

    def _median_seconds(self, call: Callable[[], Any], calls: int) -> float:
        call()
        self._device.synchronize()
        on_device = self._device.time_calls(lambda _: call(), [None] * calls)
        if on_device is not None:
            return float(np.median(on_device))
        samples = []
        for _ in range(calls):
            started = time.perf_counter_ns()
            call()
            samples.append(time.perf_counter_ns() - started)
        return float(np.median(samples)) / 1e9
