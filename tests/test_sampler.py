"""The thread that looks at this machine: it goes on whatever a collector does, and remembers one hour."""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors import host, nvml
from collectors.unavailable import Unavailable
from dashboard.catalogue import hardware
from dashboard.sampler import Look, Sampler, measurements
from tests.fakes.nvml.driver import Driver, driver
from tests.services import wait_until


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Driver]:
    with driver(tmp_path) as held:
        yield held


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def no_xids() -> list:
    raise Unavailable("no events", kind="not-supported")


def sampler(board: Driver | None = None, **arguments) -> Sampler:
    def no_gpus():
        raise Unavailable("no library", kind="no-library")

    gpus = (lambda: nvml.read(board.nvml)) if board else no_gpus
    return Sampler(**{"read_gpus": gpus, "read_xids": no_xids, **arguments})


def said(look: Look) -> dict[tuple, float]:
    return {(item.metric.name, *item.labels): item.value for item in measurements(look)}


def test_a_look_speaks_the_catalogues_names_and_units(board: Driver):
    board.gpu(0, reasons=0x21)
    looking = sampler(board)
    looking.look()
    time.sleep(0.05)  # a tick of the kernel's clock, without which the processor's share is unknown
    values = said(looking.look())
    assert values["gpu_utilization_percent", "0"] == 73
    assert values["gpu_memory_usage_percent", "0"] == 75
    assert values["gpu_power_watts", "0"] == 412.5
    assert values["gpu_clock_hertz", "0", "sm"] == 1.755e9
    assert values["gpu_throttled", "0", "sw_thermal"] == 1
    assert values["gpu_throttled", "0", "hw_thermal"] == 0
    assert ("gpu_throttled", "0", "gpu_idle") not in values
    assert values["memory_usage_bytes", "gpu"] == 60 * 2**30
    assert 0 <= values["cpu_utilization_percent",] <= 100
    assert values["memory_usage_bytes", "ram"] < values["memory_total_bytes", "ram"]
    assert values["disk_usage_bytes", "/"] < values["disk_total_bytes", "/"]
    declared = {metric.name: len(metric.labels) for metric in hardware.METRICS}
    assert all(declared[name] == len(labels) for name, *labels in values)


def test_gpu_memory_of_all_is_absent_when_one_does_not_tell(board: Driver):
    board.gpu(0)
    board.gpu(1, memory_used=None)
    values = said(sampler(board).look())
    assert ("memory_usage_bytes", "gpu") not in values
    assert ("gpu_memory_used_bytes", "0") in values


def test_a_lost_gpu_leaves_a_hole_in_its_line_and_its_neighbours_goes_on(board: Driver):
    board.gpu(0)
    board.gpu(1)
    clock = Clock()
    looking = sampler(board, clock=clock)
    for watts in (100_000, "!15", 300_000):
        clock.now += 1
        board.gpu(1, power=watts)
        looking.look()
    times, values = looking.history("gpu_power_watts", {"gpu_id": "1"})
    assert times.tolist() == [1001, 1002, 1003]
    assert values[0] == 100
    assert math.isnan(values[1])
    assert values[2] == 300
    assert not np.isnan(looking.history(hardware.GPU_POWER, {"gpu_id": "0"})[1]).any()
    assert looking.series("gpu_power_watts") == [{"gpu_id": "0"}, {"gpu_id": "1"}]


def test_the_ring_keeps_the_last_hour_and_no_more(board: Driver):
    clock = Clock()
    looking = sampler(board, clock=clock, keep_seconds=5)
    for power in range(12):
        clock.now += 1
        board.gpu(0, power=power * 1000)
        looking.look()
    times, values = looking.history("gpu_power_watts", {"gpu_id": "0"})
    assert values.tolist() == [7, 8, 9, 10, 11]
    assert times.tolist() == [1008, 1009, 1010, 1011, 1012]
    assert looking.history("gpu_power_watts", {"gpu_id": "0"}, seconds=2)[1].tolist() == [9, 10, 11]


def test_a_gpu_that_is_gone_for_a_whole_ring_is_forgotten(board: Driver):
    board.gpu(0)
    board.gpu(1)
    looking = sampler(board, keep_seconds=4)
    looking.look()
    board.set(count=1)
    for _ in range(4):
        looking.look()
    assert looking.series("gpu_power_watts") == [{"gpu_id": "0"}]
    board.set(count=2)
    looking.look()
    _, values = looking.history("gpu_power_watts", {"gpu_id": "1"})
    assert np.isnan(values[:-1]).all(), "a row that was given back carries nothing of its former owner"
    assert values[-1] == 412.5


def test_a_series_nobody_saw_is_empty():
    looking = sampler()
    looking.look()
    times, values = looking.history("gpu_power_watts", {"gpu_id": "9"})
    assert (len(times), len(values)) == (0, 0)


def test_a_collector_that_breaks_takes_nothing_along(board: Driver):
    def broken() -> list:
        raise ZeroDivisionError("a defect")

    look = sampler(read_gpus=broken).look()
    assert isinstance(look.host, host.Host)
    assert isinstance(look.gpus, Unavailable)
    assert look.gpus.kind == "defect"
    assert "ZeroDivisionError" in look.gpus.reason


def test_the_thread_survives_every_exception_and_says_when_it_last_looked():
    looks = threading.Semaphore(0)

    def broken(since: object) -> host.Host:
        looks.release()
        raise RuntimeError("a defect")

    looking = sampler(read_host=broken, interval_seconds=0.02)
    looking.start()
    try:
        for _ in range(5):
            assert looks.acquire(timeout=5)
        assert looking.alive
        assert looking.age_seconds is not None
        assert looking.age_seconds < 2
    finally:
        looking.stop()
    assert not looking.alive


def test_the_first_whole_look_comes_soon_and_has_the_processors_share():
    looking = sampler()
    assert looking.latest is None
    assert looking.age_seconds is None
    looking.start()
    try:
        assert looking.wait(5)
        assert looking.latest is not None
        assert ("cpu_utilization_percent",) in said(looking.latest)
    finally:
        looking.stop()


def test_starting_twice_is_one_thread_and_a_stopped_sampler_starts_again():
    looking = sampler(interval_seconds=0.05)
    for _ in range(2):
        looking.start()
        looking.start()
        assert [thread.name for thread in threading.enumerate()].count("sampler") == 1
        looking.stop()
        assert [thread.name for thread in threading.enumerate()].count("sampler") == 0


def test_a_driver_that_hangs_shows_as_age_not_as_a_fresh_value(board: Driver):
    """NVML is known to block when a GPU falls off the bus; nothing can interrupt that call."""
    hanging, release = threading.Event(), threading.Event()

    def hangs() -> list[nvml.Gpu]:
        if hanging.is_set():
            release.wait(10)
        return nvml.read(board.nvml)

    board.gpu(0)
    looking = sampler(read_gpus=hangs, interval_seconds=0.02)
    looking.start()
    try:
        assert looking.wait(5)
        hanging.set()
        wait_until(lambda: (looking.age_seconds or 0) > 0.3, what="the age to grow")
        assert looking.alive
    finally:
        release.set()
        looking.stop()


def test_a_broken_driver_is_one_log_line_not_one_a_second(capsys: pytest.CaptureFixture[str], board: Driver):
    looking = sampler(board)
    board.set(init="!9")
    for _ in range(3):
        looking.look()
    board.set(init=None)
    looking.look()
    board.set(count="!9", init="!9")
    looking.look()
    out = capsys.readouterr()
    assert (out.out + out.err).count("no-driver") == 2


def test_importing_the_sampler_touches_no_hardware():
    program = "import dashboard.sampler, pynvml; dashboard.sampler.Sampler(); assert pynvml.nvmlLib is None"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_look_at_eight_gpus_costs_a_fiftieth_of_its_second_at_most(board: Driver):
    for index in range(8):
        board.gpu(index)
    looking = sampler(board)
    looking.look()
    began = time.process_time()
    for _ in range(20):
        looking.look()
    assert (time.process_time() - began) / 20 < 0.02
