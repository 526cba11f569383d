"""Quantiles with honest intervals: what is claimed is simulated and counted."""

import time
from dataclasses import replace

import numpy as np
import pytest

from dashboard.benchmark import distributions, quantiles, timing
from dashboard.benchmark.timing import Interrupted, NotReplayable, StopRule, Stopwatch
from tests.benchmark.factories import spin


def test_a_p99_of_a_hundred_calls_is_refused():
    samples = np.random.default_rng(1).exponential(1, 100)
    found = quantiles.quantile(samples, 0.99)
    assert found.value is None
    assert found.high is None
    assert found.low is not None  # "p99 ≥ low" is all that can be said


def test_a_median_of_three_calls_is_given_without_an_interval():
    found = quantiles.quantile(np.array([3.0, 1.0, 2.0]), 0.5)
    assert (found.value, found.n) == (2.0, 3)
    assert found.low is None or found.high is None


@pytest.mark.parametrize(("q", "enough"), [(0.95, 72), (0.99, 368)])
def test_a_tail_is_bounded_from_the_documented_n(q: float, enough: int):
    def bounded(n: int) -> bool:
        low, high = quantiles._interval_ranks(n, q)
        return low is not None and high is not None

    assert bounded(enough)
    assert not bounded(enough - 1)


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_the_interval_covers_the_true_quantile(q: float, correlation: float):
    """95 % is promised; below 92 % over 500 draws would be a lie even with the draw's own noise (± 2 points)."""
    rng = np.random.default_rng(7)
    truth = float(np.quantile(_samples(rng, 400_000, 0.0), q))
    covered = 0
    for _ in range(500):
        found = quantiles.quantile(_samples(rng, 800, correlation), q)
        low = -np.inf if found.low is None else found.low
        high = np.inf if found.high is None else found.high
        covered += low <= truth <= high
    assert covered / 500 > 0.92


def _samples(rng: np.random.Generator, n: int, correlation: float) -> quantiles.Seconds:
    """Log-normal times with 2 % outliers; AR(1) in the normal scores."""
    noise = rng.standard_normal(n)
    if correlation:
        for i in range(1, n):
            noise[i] = correlation * noise[i - 1] + np.sqrt(1 - correlation**2) * noise[i]
    times = np.exp(0.02 * noise)
    times[rng.random(n) < 0.02] *= 1.05
    return times


def test_two_modes_are_seen_and_a_tail_is_not_a_mode():
    rng = np.random.default_rng(3)
    plain = 1 + 0.003 * rng.standard_normal(300)
    assert quantiles.two_modes(plain) is None
    tail = plain.copy()
    tail[:6] *= 1.5
    assert quantiles.two_modes(tail) is None
    mixed = np.where(rng.random(300) < 0.25, 1.04, 1.0) + 0.003 * rng.standard_normal(300)
    assert quantiles.two_modes(mixed) == pytest.approx(0.04, abs=0.01)


def test_drift_is_seen_and_noise_is_not_drift():
    rng = np.random.default_rng(4)
    noise = 0.004 * rng.standard_normal(300)
    assert quantiles.drift(1 + noise) is None
    assert quantiles.drift(np.linspace(1, 1.05, 300) + noise) == pytest.approx(0.033, abs=0.01)


def test_samples_that_repeat_each_other_are_worth_less():
    rng = np.random.default_rng(5)
    assert quantiles.effective_n(rng.standard_normal(1000)) > 850
    assert quantiles.effective_n(np.repeat(rng.standard_normal(100), 10)) < 200


def test_students_t_agrees_with_published_values():
    """Table values (NIST/SEMATECH e-Handbook, 1.3.6.7.2)."""
    for degrees, p, expected in [
        (1, 0.975, 12.7062),
        (4, 0.995, 4.6041),
        (10, 0.95, 1.8125),
        (30, 0.99, 2.4573),
        (100, 0.975, 1.9840),
    ]:
        assert distributions.t_quantile(p, degrees) == pytest.approx(expected, abs=5e-4)
        assert distributions.t_cdf(expected, degrees) == pytest.approx(p, abs=1e-5)


def test_holm_is_the_textbook_example():
    assert distributions.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


class HostOnly:
    """A device without a clock of its own."""

    def synchronize(self) -> None: ...

    def time_calls(self, call, inputs):
        return None

    def reset_peak_memory(self) -> None: ...

    def peak_memory(self):
        return {}


class Queue(HostOnly):
    """A device that works behind the host's back, on a clock of the test: there is no GPU where most tests run.

    Handing a call over takes the host `handing` seconds, the device `working`; a replay is the device's part alone.
    """

    def __init__(self, clock: "Clock", handing: float, working: float, refuses: str = "") -> None:
        self._clock, self._handing, self._working, self._refuses = clock, handing, working, refuses
        self._busy_until = 0.0

    def call(self, item: object) -> None:
        self._clock.work(self._handing)
        self._busy_until = max(self._busy_until, self._clock.monotonic()) + self._working

    def synchronize(self) -> None:
        self._clock.work(max(0.0, self._busy_until - self._clock.monotonic()))

    def time_calls(self, call, inputs):
        for item in inputs:
            call(item)
        self.synchronize()
        return np.full(
            len(inputs), max(self._working, self._handing)
        )  # an idle queue is between the events, too

    def time_replays(self, call, item, count):
        if self._refuses:
            raise NotReplayable(self._refuses)
        return np.full(count, self._working)


RULE = StopRule(precision=0.005, min_calls=30, max_calls=4000, max_seconds=1.0)


def test_a_known_duration_is_measured_within_half_a_percent_and_a_microsecond():
    timing = Stopwatch(HostOnly(), lambda: False, lambda kind, s: None).measure(
        lambda x: spin(0.002), [0, 1], RULE
    )
    assert np.quantile(timing.host, 0.1) == pytest.approx(0.002, rel=0.005, abs=2e-6)


class Clock:
    """A clock that only the workload moves: what a machine shared with others cannot show twice."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.lost_ns = 0

    def work(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)

    def lose(self, seconds: float) -> None:
        """Somebody else has the core."""
        self.now_ns += int(seconds * 1e9)
        self.lost_ns += int(seconds * 1e9)

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def thread_time_ns(self) -> int:
        return self.now_ns - self.lost_ns

    def monotonic(self) -> float:
        return self.now_ns / 1e9


def test_measuring_stops_when_the_median_is_known_well_enough(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    rng = np.random.default_rng(0)
    calm, noisy = (
        Stopwatch(HostOnly(), lambda: False, lambda kind, s: None).measure(work, [0], RULE)
        for work in (
            lambda x: clock.work(0.001),
            lambda x: clock.work(rng.uniform(0.0005, 0.0015)),
        )
    )
    assert (calm.stopped_by, len(calm.host)) == ("precision", RULE.min_calls)
    assert noisy.stopped_by == "time"
    assert noisy.host.sum() == pytest.approx(RULE.max_seconds, rel=0.01)


@pytest.mark.parametrize(
    ("handing", "working", "refuses", "bound", "replayed"),
    [
        (20e-6, 400e-6, "", False, None),
        (90e-6, 60e-6, "", True, 60e-6),
        (5e-6, 10e-6, "", True, 10e-6),  # too short to tell the launch from the kernel
        (90e-6, 60e-6, "the call waits for the device", True, None),
    ],
)
def test_where_handing_over_is_the_bottleneck_the_replay_is_timed_or_its_absence_explained(
    monkeypatch, handing, working, refuses, bound, replayed
):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    device = Queue(clock, handing, working, refuses)
    found = Stopwatch(device, lambda: False, lambda kind, s: None).measure(device.call, [0], RULE)
    assert found.launch_bound is bound
    assert found.enqueue_seconds == pytest.approx(handing, rel=0.01)
    assert (found.replay is None) == (replayed is None)
    assert found.replay is None or np.median(found.replay) == replayed
    assert found.replay_reason == refuses


def test_calls_in_a_stretch_that_lost_its_core_are_counted_as_preempted(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    stolen = iter([0.0] * 35 + [0.002, 0.0] * 10**4)  # the first call and the warm-up are left alone

    def work(x: object) -> None:
        clock.work(0.002)
        clock.lose(next(stolen))

    alone = Stopwatch(HostOnly(), lambda: False, lambda kind, s: None).measure(
        lambda x: clock.work(0.0001), [0], RULE
    )
    assert alone.preempted_share == 0
    assert alone.cpu == pytest.approx(alone.host)
    crowded = Stopwatch(HostOnly(), lambda: False, lambda kind, s: None).measure(
        work, [0], replace(RULE, precision=0.0, max_calls=40)
    )
    assert crowded.preempted_share == pytest.approx(0.5, abs=0.15)
    assert np.quantile(crowded.cpu, [0, 1]) == pytest.approx(
        0.002, rel=0.01
    )  # what was stolen is not CPU time


def test_asking_to_stop_is_heard_between_two_calls():
    until = time.monotonic() + 0.2
    with pytest.raises(Interrupted):
        Stopwatch(HostOnly(), lambda: time.monotonic() > until, lambda kind, s: None).measure(
            lambda x: spin(0.001), [0], replace(RULE, max_seconds=60, max_calls=10**6, precision=0)
        )
    assert time.monotonic() < until + 30  # the passes would have taken more than a minute


def test_the_garbage_collector_is_off_while_calls_are_timed_and_on_again_after():
    import gc

    seen = []
    Stopwatch(HostOnly(), lambda: False, lambda kind, s: None).measure(
        lambda x: seen.append(gc.isenabled()),
        [0],
        StopRule(precision=0.1, min_calls=30, max_calls=40, max_seconds=0.3),
    )
    assert seen[0] is True  # the first call and the warm-up
    assert seen[-1] is False
    assert gc.isenabled()
