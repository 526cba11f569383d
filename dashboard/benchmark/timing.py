"""How one cell is timed in one launch. No torch: the device and the workload are arguments.

Three passes, because they answer three questions and disturb each other: the device's own time (events,
no host wait per call), what a caller waits (one synchronised call after another), and how much goes
through when nobody waits. Where handing a call over costs more than the call, a fourth pass replays it without
the host. Inputs rotate over several buffers; the first call stands apart; measuring
starts in steady state and stops when the interval of the median is tight enough, not at a fixed count.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from dashboard.benchmark.quantiles import Seconds, median_interval

_WARM_UP_WINDOW = 10
_WARM_UP_LEAST_SECONDS = 0.05
_WARM_UP_AGREEMENT = 0.02
_REPORT_EVERY_SECONDS = 0.5
_PREEMPTED = 1.05  # wall ÷ CPU time above this: somebody else ran in between
_STRETCH_NS = (
    1_000_000  # calls between two looks at the CPU's clock: a system call, which would slow the call after it
)
_QUEUE_CALLS = 8  # handed over before the device's queue is full and the host waits for it after all
_STARVING = 0.8  # handing over ÷ device time above this: the events have seen a queue that runs dry
_LAUNCH_BOUND_SECONDS = 50e-6  # device time below which the launch, not the kernel, may be what is timed


class Interrupted(Exception):
    """The run was asked to stop between two calls."""


class TimingDevice(Protocol):
    """What timing needs of a device."""

    def synchronize(self) -> None:
        """Wait until everything given to the device is done."""

    def time_calls(self, call: Callable[[Any], Any], inputs: Sequence[Any]) -> Seconds | None:
        """Device seconds of each call, without a host wait in between; None where the host's clock is the device's."""

    def reset_peak_memory(self) -> None:
        """Start watching the peak."""

    def peak_memory(self) -> dict[str, int | None]:
        """Peaks since the reset, in bytes, by what was counted."""

    def time_replays(self, call: Callable[[Any], Any], item: Any, count: int) -> Seconds:
        """Device seconds of replays of one recorded call, without the host's part in it.

        Raises:
            NotReplayable: the call cannot be recorded, or its replay does not give what the call gives.
        """


class NotReplayable(Exception):
    """The call has no replay to time; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When a pass has measured enough."""

    precision: float  # half-width of the median's interval ÷ median
    min_calls: int
    max_calls: int
    max_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every call of every pass, in seconds and in time order."""

    first_call: float
    warm_up_calls: int
    steady: bool
    host: Seconds
    cpu: Seconds  # CPU time of the calling thread in the same calls, even over a stretch of short ones
    preempted_share: float  # share of the host pass's calls in which this thread was not alone with its core
    device: Seconds | None
    calls_per_second: float  # throughput pass
    throughput_calls: int
    enqueue_seconds: float  # what the host needs to hand over one call while the device's queue has room
    stopped_by: str  # "precision", "calls" or "time"
    replay: Seconds | None = (
        None  # where the launch is the bottleneck: the same call replayed by the device alone
    )
    replay_reason: str = ""  # why there is none, where there should be one
    peak_memory: dict[str, int | None] = field(default_factory=dict)

    @property
    def primary(self) -> Seconds:
        """Device time where the device has a clock of its own, else what the caller waited."""
        return self.host if self.device is None else self.device

    @property
    def launch_bound(self) -> bool:
        """Whether handing a call over takes about as long as the call, or the call is too short to tell."""
        if self.device is None:
            return False
        median = float(np.median(self.device))
        return median < _LAUNCH_BOUND_SECONDS or self.enqueue_seconds > _STARVING * median


Progress = Callable[[str, Seconds], None]


class Stopwatch:
    """Times calls on one device; `should_stop` is asked between calls."""

    def __init__(self, device: TimingDevice, should_stop: Callable[[], bool], progress: Progress) -> None:
        self._device = device
        self._should_stop = should_stop
        self._progress = progress
        self._reported = 0.0

    def measure(self, call: Callable[[Any], Any], inputs: Sequence[Any], rule: StopRule) -> Timing:
        """All passes of one cell. The garbage collector is off while calls are timed.

        Raises:
            Interrupted: the run was asked to stop.
        """
        started = time.perf_counter_ns()
        call(inputs[0])
        self._device.synchronize()
        first = (time.perf_counter_ns() - started) / 1e9
        warm_up_calls, steady = self._warm_up(call, inputs, rule)
        self._device.reset_peak_memory()
        collecting = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            device, stopped_by = self._device_pass(call, inputs, rule)
            host, cpu, preempted_share, host_stopped_by = self._host_pass(call, inputs, rule)
            rate, throughput_calls, enqueue = self._throughput_pass(
                call, inputs, rule, float(np.median(host))
            )
            timing = Timing(
                first_call=first,
                warm_up_calls=warm_up_calls,
                steady=steady,
                host=host,
                cpu=cpu,
                preempted_share=preempted_share,
                device=device,
                calls_per_second=rate,
                throughput_calls=throughput_calls,
                enqueue_seconds=enqueue,
                stopped_by=host_stopped_by if device is None else stopped_by,
                peak_memory=self._device.peak_memory(),
            )
            if device is None or not timing.launch_bound:
                return timing
            # after everything else, because recording changes the allocator
            try:
                return replace(timing, replay=self._device.time_replays(call, inputs[0], len(device)))
            except NotReplayable as why:
                return replace(timing, replay_reason=str(why))
        finally:
            if collecting:
                gc.enable()

    def _between_calls(self, kind: str, samples: list[float]) -> None:
        if self._should_stop():
            raise Interrupted
        now = time.monotonic()
        if now - self._reported > _REPORT_EVERY_SECONDS:
            self._reported = now
            self._progress(kind, np.array(samples))

    def _warm_up(self, call: Callable[[Any], Any], inputs: Sequence[Any], rule: StopRule) -> tuple[int, bool]:
        """Until two windows of ten calls agree within 2 %; returns the calls made and whether they did."""
        began = time.monotonic()
        windows: list[float] = []
        calls = 0
        while True:
            samples: list[float] = []
            for _ in range(_WARM_UP_WINDOW):
                started = time.perf_counter_ns()
                call(inputs[calls % len(inputs)])
                self._device.synchronize()
                samples.append((time.perf_counter_ns() - started) / 1e9)
                calls += 1
                self._between_calls("warming", samples)
                if time.monotonic() - began > rule.max_seconds:
                    return calls, False
            windows.append(float(np.median(samples)))
            agree = len(windows) > 1 and abs(windows[-1] - windows[-2]) <= _WARM_UP_AGREEMENT * windows[-2]
            if agree and time.monotonic() - began >= _WARM_UP_LEAST_SECONDS:
                return calls, True
            if time.monotonic() - began > rule.max_seconds / 2:
                return calls, False

    def _device_pass(
        self, call: Callable[[Any], Any], inputs: Sequence[Any], rule: StopRule
    ) -> tuple[Seconds | None, str]:
        began = time.monotonic()
        chunks: list[Seconds] = []
        turn = 0
        while True:
            order = [inputs[(turn + i) % len(inputs)] for i in range(16)]
            turn += len(order)
            chunk = self._device.time_calls(call, order)
            if chunk is None:
                return None, ""
            chunks.append(chunk)
            samples = np.concatenate(chunks)
            self._between_calls("device", samples.tolist())
            stopped_by = _enough(samples, rule, began)
            if stopped_by:
                return samples, stopped_by

    def _host_pass(
        self, call: Callable[[Any], Any], inputs: Sequence[Any], rule: StopRule
    ) -> tuple[Seconds, Seconds, float, str]:
        """Wall and CPU seconds of each call, share of calls in stretches that were preempted, why it stopped."""
        began = time.monotonic()
        wall: list[float] = []
        cpu: list[float] = []
        preempted = 0
        check_at = rule.min_calls
        clock, synchronize = (
            time.perf_counter_ns,
            self._device.synchronize,
        )  # looked up once: short calls show it
        while True:
            first = len(wall)
            cpu_began, stretch_began = time.thread_time_ns(), time.perf_counter_ns()
            ended = stretch_began
            while ended - stretch_began < _STRETCH_NS:
                item = inputs[len(wall) % len(inputs)]
                started = clock()
                call(item)
                synchronize()
                ended = clock()
                wall.append((ended - started) / 1e9)
                self._between_calls("host", wall)
            stretch, stretch_cpu = time.perf_counter_ns() - stretch_began, time.thread_time_ns() - cpu_began
            alone = stretch_cpu / stretch
            cpu += [seconds * alone for seconds in wall[first:]]
            preempted += (len(wall) - first) * (alone * _PREEMPTED < 1)
            over = time.monotonic() - began > rule.max_seconds
            if len(wall) < check_at and not over:
                continue
            check_at = int(1.2 * len(wall)) + 1  # sorting after every call would cost more than the call
            stopped_by = _enough(np.array(wall), rule, began)
            if stopped_by:
                return np.array(wall), np.array(cpu), preempted / len(wall), stopped_by

    def _throughput_pass(
        self, call: Callable[[Any], Any], inputs: Sequence[Any], rule: StopRule, call_seconds: float
    ) -> tuple[float, int, float]:
        """Calls a second when nobody waits between them, how many, and the host's seconds to hand one over."""
        block = int(min(max(rule.max_seconds / 4 / max(call_seconds, 1e-9), 1), rule.max_calls))
        self._device.synchronize()
        started = time.perf_counter_ns()
        handed_over = started
        for turn in range(block):
            call(inputs[turn % len(inputs)])
            if turn < _QUEUE_CALLS:
                handed_over = time.perf_counter_ns()
            if self._should_stop():
                raise Interrupted
        self._device.synchronize()
        seconds = (time.perf_counter_ns() - started) / 1e9
        return block / seconds, block, (handed_over - started) / 1e9 / min(block, _QUEUE_CALLS)


def _enough(samples: Seconds, rule: StopRule, began: float) -> str:
    """Why to stop now, or nothing. Fewer than `min_calls` samples stop only a pass that ran out of time."""
    if time.monotonic() - began > rule.max_seconds:
        return "time"
    if len(samples) < rule.min_calls:
        return ""
    if len(samples) >= rule.max_calls:
        return "calls"
    median, low, high = median_interval(samples)
    return "precision" if (high - low) / 2 <= rule.precision * median else ""
