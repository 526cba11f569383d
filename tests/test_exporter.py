"""`moe-dashboard exporter`: what Prometheus reads from a machine with and without GPUs."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors import nvml
from collectors.xid import XidWatch
from dashboard import catalogue
from dashboard.catalogue import hardware
from dashboard.exporter import Exporter
from dashboard.ports import free_port
from dashboard.sampler import Sampler
from tests.fakes.nvml.driver import Driver, build, driver
from tests.services import program, wait_until


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Driver]:
    with driver(tmp_path) as held:
        yield held


@contextmanager
def serving(sampler: Sampler) -> Iterator[str]:
    exporter = Exporter(sampler)
    exporter.start()
    try:
        yield exporter.url
    finally:
        exporter.close()


def sampler(board: Driver, **arguments) -> Sampler:
    return Sampler(read_gpus=lambda: nvml.read(board.nvml), read_xids=XidWatch(board.nvml).look, **arguments)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def scrape(url: str) -> dict[tuple, float]:
    """(sample name, sorted labels) -> value, as Prometheus's text format says it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(get(f"{url}/metrics"))
        for sample in family.samples
    }


def test_gpus_and_host_are_served_under_the_guides_names(board: Driver):
    board.gpu(0)
    looking = sampler(board)
    looking.start()
    try:
        assert looking.wait(5)
        with serving(looking) as url:
            seen = scrape(url)
    finally:
        looking.stop()
    gpu = (("gpu_id", "0"),)
    assert seen["gpu_utilization_percent", gpu] == 73
    assert seen["gpu_memory_usage_percent", gpu] == 75
    assert seen["gpu_energy_joules_total", gpu] == 123456.789
    assert seen["gpu_xid_errors_total", (*gpu, ("xid", "79"))] == 0
    assert seen["memory_usage_bytes", (("memory_type", "gpu"),)] == 60 * 2**30
    assert seen["memory_usage_bytes", (("memory_type", "ram"),)] > 0
    assert seen["disk_usage_bytes", (("mount_point", "/"),)] > 0
    assert 0 <= seen["cpu_utilization_percent", ()] <= 100, "right from the first scrape"
    assert seen["gpu_info", (("driver_version", "580.65.06"), ("gpu_id", "0"), ("name", "NVIDIA H100 80GB HBM3"), ("uuid", "GPU-00000000-7a41-4f37-9d2c-5d8f3a6b1e00"))] == 1  # fmt: skip
    assert seen["process_start_time_seconds", ()] > 0


def test_every_family_is_of_the_catalogue_with_its_type_and_help(board: Driver):
    board.gpu(0)
    looking = sampler(board)
    looking.look()
    with serving(looking) as url:
        families = list(text_string_to_metric_families(get(f"{url}/metrics")))
    ours = [family for family in families if not family.name.startswith("process_")]
    assert ours
    for family in ours:
        declared = catalogue.BY_NAME.get(family.name) or catalogue.BY_NAME[f"{family.name}_total"]
        assert (family.type, family.documentation) == (declared.kind, declared.help)


def test_a_gpu_that_vanishes_loses_its_series_and_a_lost_one_its_values(board: Driver):
    board.gpu(0)
    board.gpu(1)
    looking = sampler(board)
    with serving(looking) as url:
        looking.look()
        assert ("gpu_power_watts", (("gpu_id", "1"),)) in scrape(url)
        board.gpu(0, handle="!15")
        board.set(count=1)
        looking.look()
        assert not [
            name for name, labels in scrape(url) if name.startswith("gpu_") and "xid" not in dict(labels)
        ]
        board.gpu(0)
        looking.look()
        assert ("gpu_power_watts", (("gpu_id", "0"),)) in scrape(url)


def test_a_look_that_is_too_old_is_not_served(board: Driver):
    """A driver that hangs must show as an absent series, not as a GPU at a steady 73 percent."""
    now = [1000.0]
    board.gpu(0)
    looking = sampler(board, clock=lambda: now[0])
    with serving(looking) as url:
        assert "gpu_utilization_percent" not in get(f"{url}/metrics")
        looking.look()
        assert "gpu_utilization_percent" in get(f"{url}/metrics")
        now[0] += 11
        assert "gpu_utilization_percent" not in get(f"{url}/metrics")
        assert "process_start_time_seconds" in get(f"{url}/metrics")


def test_hostile_names_do_not_break_the_text_format(board: Driver):
    board.gpu(0, name='A "quoted\\" name} 1 # x')
    looking = sampler(board)
    looking.look()
    with serving(looking) as url:
        [labels] = [dict(labels) for name, labels in scrape(url) if name == "gpu_info"]
    assert labels["name"] == 'A "quoted\\" name} 1 # x'


def test_only_the_paths_that_exist_answer(board: Driver):
    with serving(sampler(board)) as url:
        assert get(f"{url}/livez") == "ok\n"
        assert "/metrics" in get(f"{url}/")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{url}/metric")
        for path in ("/metrics", "/livez"):
            head = urllib.request.Request(f"{url}{path}", method="HEAD")
            with urllib.request.urlopen(head, timeout=5) as answer:
                assert (answer.status, answer.read()) == (200, b"")
        with pytest.raises(urllib.error.HTTPError, match="405"):
            urllib.request.urlopen(urllib.request.Request(f"{url}/metrics", method="POST"), timeout=5)


@contextmanager
def command(*words: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    run = subprocess.Popen(
        [sys.executable, "-m", "dashboard.cli", "exporter", *words],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ},
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def test_the_command_serves_the_host_where_there_is_no_gpu_says_so_and_ends_on_sigterm(tmp_path: Path):
    port = free_port()
    with command("--port", str(port), FAKE_NVML_STATE=str(tmp_path / "none")) as run:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), what="the exporter")
        seen = scrape(url)
        assert ("cpu_utilization_percent", ()) in seen
        if "GPUs: none" not in get(url):
            pytest.skip("this machine has a GPU")
        assert not [name for name, _ in seen if name.startswith("gpu_")]
        run.send_signal(signal.SIGTERM)
        assert run.wait(10) == 0
        said = run.stderr.read()
    assert said.count("There is no NVML library") == 2, "once by the look, once where it says what it serves"
    assert '"Exporter started"' in said


def test_the_command_finds_the_driver_by_itself(tmp_path: Path):
    port, library = free_port(), build(tmp_path)
    state = tmp_path / "state"
    state.write_text("count=1\ngpu0.power=250000\n")
    environ = {"LD_LIBRARY_PATH": str(library.parent), "FAKE_NVML_STATE": str(state)}
    with command(MOE_DASHBOARD_EXPORTER_PORT=str(port), **environ):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), what="the exporter")
        assert scrape(url)["gpu_power_watts", (("gpu_id", "0"),)] == 250


def test_a_port_in_use_is_named_with_what_to_do():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with command("--port", str(port)) as run:
            assert run.wait(20) == 1
            said = run.stderr.read()
    assert str(port) in said
    assert "MOE_DASHBOARD_EXPORTER_PORT" in said
    assert "Traceback" not in said


def test_promtool_finds_nothing_to_say(board: Driver):
    board.gpu(0)
    looking = sampler(board)
    looking.look()
    with serving(looking) as url:
        check = subprocess.run(
            [program("promtool"), "check", "metrics"], input=get(f"{url}/metrics"), text=True, capture_output=True, check=False,
        )  # fmt: skip
    assert (check.stderr.strip(), check.returncode) == ("", 0)


@pytest.mark.services
def test_prometheus_scrapes_it(board: Driver, prometheus):
    board.gpu(0)
    looking = sampler(board)
    looking.start()
    try:
        with serving(looking) as url:
            server = prometheus(targets={"moe-hardware": url.removeprefix("http://")})
            server.wait_for("gpu_utilization_percent")
            for metric in (hardware.CPU_UTILIZATION, hardware.DISK_TOTAL, hardware.GPU_MEMORY_PERCENT):
                server.wait_for(str(metric))
    finally:
        looking.stop()


def answers(url: str) -> bool:
    try:
        return bool(get(f"{url}/livez"))
    except OSError:
        return False
