"""The checks of this process and its machine: pages, GPUs, memory, disks, the sampler's thread."""

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from collectors import nvml
from collectors.unavailable import Unavailable
from dashboard.health import Health, machine
from dashboard.sampler import Sampler
from dashboard.settings import Settings
from tests.fakes.nvml.driver import driver
from tests.health.parts import by_name, stored


def test_a_page_that_does_not_compile_is_an_unhealthy_application(tmp_path: Path):
    page = tmp_path / "overview.py"
    page.write_text("x = 1\n")
    application = machine.Application(tmp_path)
    assert application().healthy
    page.write_text("x = (\n")
    os.utime(page, (1, 1))
    broken = application()
    assert (broken.healthy, broken.error_type) == (False, "SyntaxError")
    assert "overview" in broken.message
    page.write_text("x = 2\n")
    assert application().healthy


@pytest.mark.parametrize(
    ("answers", "healthy", "error_type"),
    [
        ({}, True, None),
        ({"handle": "!15"}, False, "gpu-lost"),
    ],
)
def test_the_gpu_check_sees_a_lost_gpu(tmp_path: Path, answers: dict, healthy: bool, error_type: str | None):
    with driver(tmp_path) as board:
        board.gpu(0, **answers)
        sampler = Sampler(read_gpus=lambda: nvml.read(board.nvml))
        sampler.look()
        seen = machine.gpu(sampler)
    assert (seen.healthy, seen.error_type, seen.details["gpu_count"]) == (healthy, error_type, 1)
    if healthy:
        assert seen.details["gpu_memory_gb"] == 80


@pytest.mark.parametrize(
    ("kind", "healthy"), [("no-library", True), ("no-driver", False), ("version-mismatch", False)]
)
def test_a_machine_without_a_gpu_is_healthy_and_one_with_a_broken_driver_is_not(
    tmp_path: Path, kind: str, healthy: bool
):
    def read() -> list:
        raise Unavailable("a reason", kind=kind)

    sampler = Sampler(read_gpus=read)
    sampler.look()
    seen = by_name(Health(stored(tmp_path), sampler=sampler))["gpu"]
    assert seen.healthy is healthy
    assert seen.error_type == (None if healthy else kind)
    if healthy:
        assert seen.message == "No GPU available (CPU-only mode)"


def test_memory_follows_the_guides_limit(monkeypatch: pytest.MonkeyPatch):
    real = psutil.virtual_memory()
    for used, healthy in ((0.89, True), (0.91, False)):
        full = SimpleNamespace(total=real.total, available=int(real.total * (1 - used)))
        monkeypatch.setattr(psutil, "virtual_memory", lambda full=full: full)
        assert machine.memory().healthy is healthy


def test_disk_looks_where_data_will_be_written_even_before_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chosen = Settings(data_dir=tmp_path / "not" / "yet", runs_dir=tmp_path)
    assert machine.disk(chosen).healthy
    full = SimpleNamespace(total=100, used=90, free=4)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: full)
    seen = machine.disk(chosen)
    assert not seen.healthy
    assert seen.details["disk_percent"] == 95.7, "of what we may use: root's reserve is not ours"


def test_the_sampler_check_sees_a_dead_and_a_hanging_thread():
    now = [1000.0]
    sampler = Sampler(clock=lambda: now[0], interval_seconds=30)
    assert machine.sampling(sampler).error_type == "dead"
    sampler.start()
    try:
        assert sampler.wait(5)
        assert machine.sampling(sampler).healthy
        now[0] += 60
        assert machine.sampling(sampler).error_type == "stale"
    finally:
        sampler.stop()
