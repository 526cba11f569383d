"""The Hardware page: this machine without Prometheus, "not available" where NVML does not tell, the fleet where it is scraped."""

import os
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler

import numpy as np
import psutil
import pytest

from collectors import nvml
from collectors.nvml import Gpu
from collectors.unavailable import Unavailable
from collectors.xid import Xid, XidWatch
from dashboard.catalogue import hardware
from dashboard.sampler import Look, Sampler
from dashboard.shell import hardware_gpus
from dashboard.shell.hardware import history_frame
from dashboard.shell.hardware_gpus import fault_table, gpu_table, reasons
from dashboard.sources import current
from tests import services
from tests.fakes.nvml.driver import driver
from tests.pages.screen import unescaped, words

# A fake only because no test machine has a GPU: what NVML's collector hands over, once full and once of a slice that tells little.
FULL = Gpu(
    gpu_id="0", uuid="GPU-1", name="NVIDIA H100", driver_version="575.1", utilization_percent=0.0, memory_utilization_percent=0.0,
    memory_used_bytes=0, memory_total_bytes=80 * 2**30, power_watts=71.5, power_limit_watts=700.0, temperature_celsius=31.0,
    sm_clock_hertz=1.98e9, memory_clock_hertz=2.6e9, clock_reasons=("gpu_idle",), energy_joules=1e6, ecc_uncorrected=0,
    mig_enabled=False, mig_slices=(), missing={}, trouble=None,
)  # fmt: skip
SILENT = replace(
    FULL, gpu_id="1", utilization_percent=None, memory_used_bytes=None, memory_total_bytes=None, power_watts=None, temperature_celsius=None,
    sm_clock_hertz=None, memory_clock_hertz=None, clock_reasons=None, energy_joules=None, ecc_uncorrected=None, mig_enabled=None,
    missing={"power_watts": "not supported"},
)  # fmt: skip


def sampled(*gpus, xids=()):
    """A sampler that has looked until the processor's share, a difference of two looks, is known."""
    sampler = Sampler(read_gpus=lambda: list(gpus), read_xids=lambda: list(xids))
    services.wait_until(lambda: sampler.look().host.cpu_percent is not None)
    return sampler


@pytest.fixture
def board(tmp_path):
    with driver(tmp_path / "nvml") as held:
        yield held


def watching(board, **arguments):
    """A sampler over the real pynvml and the stand-in library."""
    return Sampler(read_gpus=lambda: nvml.read(board.nvml), read_xids=XidWatch(board.nvml).look, **arguments)


def table_with(app, column):
    return next(frame.value for frame in app.dataframe if column in frame.value)


@pytest.fixture
def machine(open_page):
    """Open the page over a sampler of our own."""

    def opened(sampler, **settings):
        app = open_page("hardware", **settings)
        current().__dict__["sampler"] = sampler
        return app.run()

    return opened


def test_zero_is_a_measurement_and_unknown_is_not_available(machine):
    app = machine(sampled(FULL, SILENT))
    faults = fault_table([FULL, SILENT], (), "UTC").to_dict("records")
    busy, silent = (
        load | fault for load, fault in zip(gpu_table([FULL, SILENT]).to_dict("records"), faults, strict=True)
    )
    assert busy["utilization"] == "0 %"
    assert busy["memory used"].startswith("0 B of 80 GiB")
    assert busy["uncorrected ECC errors"] == "0"
    unknown = {name for name, value in silent.items() if value == "not available"}
    assert unknown == {
        "utilization", "memory used", "power", "temperature", "SM clock", "memory clock", "clocks held back by", "energy",
        "uncorrected ECC errors", "MIG", "first seen", "last seen",
    }  # fmt: skip
    assert "GPU 1: power_watts: not supported" in words(app)
    assert "at least one kernel ran" in words(app)


def test_the_host_is_shown_without_any_prometheus(machine):
    app = machine(sampled(FULL))
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["CPU"].endswith("%")
    assert shown["Memory used"].endswith("iB")
    assert "charts of this page come from a Prometheus, and none is configured" in words(app)


def test_a_machine_without_a_driver_says_why_there_is_no_gpu(machine):
    def no_driver():
        raise Unavailable("The NVIDIA driver is not loaded.", advice="Load it.", kind="no-driver")

    sampler = Sampler(read_gpus=no_driver)
    sampler.look()
    assert "The NVIDIA driver is not loaded. Load it." in words(machine(sampler))


def test_a_lost_gpu_is_an_error_and_an_xid_says_what_it_means(machine):
    app = machine(sampled(replace(FULL, trouble="lost"), xids=[Xid("0", 79, 2, 1e9, 1.1e9)]))
    assert "GPU 0 (NVIDIA H100): lost" in words(app)
    xids = next(table.value for table in app.dataframe if "Xid" in table.value)
    assert xids.iloc[0][["Xid", "means", "count"]].tolist() == [79, "GPU has fallen off the bus", 2]


def test_an_old_look_is_said_to_be_old(machine):
    sampler = sampled(FULL)
    sampler._latest = Look(
        sampler.latest.time - 3600, sampler.latest.host, sampler.latest.gpus, sampler.latest.xids
    )
    assert "The last look at this machine was 60 min" in words(machine(sampler))


def test_the_last_hour_is_thinned_to_seconds_that_a_refresh_does_not_shift():
    now = iter(np.arange(1_000_000.0, 1_003_000.0))
    sampler = Sampler(read_gpus=lambda: [FULL], read_xids=list, clock=lambda: next(now))
    for _ in range(2900):
        sampler.look()
    frame = history_frame(sampler, hardware.GPU_POWER, points=720)
    assert list(frame.columns) == ["GPU 0"]
    assert len(frame) <= 725
    assert set(np.diff(frame.index.as_unit("s").asi8)) == {5}
    assert all(second % 5 == 0 for second in frame.index.as_unit("s").asi8)
    assert (frame["GPU 0"] == 71.5).all()


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, "not available"), ((), "nothing"), (("hw_thermal", "bit_40"), "too hot (hardware), bit_40")],
)
def test_reasons_for_lower_clocks_are_words(said, expected):
    assert reasons(said) == expected


def test_the_fleet_comes_from_prometheus(machine, router):
    app = machine(sampled(FULL), prometheus_url=router.url)
    assert "No Prometheus is configured" not in words(app)
    assert "No host reports its memory in this window" in words(app)
    assert app.selectbox(key="address-instance").options[0] == "All instances together"


def test_a_gpu_that_falls_off_the_bus_while_it_is_watched_is_named_until_it_is_back(machine, board):
    board.gpu(0)
    board.gpu(1)
    sampler = watching(board)
    sampler.look()
    app = machine(sampler)
    assert not app.error
    board.gpu(1, handle="!15")
    sampler.look()
    [error] = app.run().error
    assert "GPU 1 (NVIDIA H100 80GB HBM3, GPU-00000001" in unescaped(error.value)
    assert ": lost. It was last well at " in unescaped(error.value)
    assert table_with(app, "state")["state"].tolist() == ["answers", "lost"]
    assert table_with(app, "utilization")["utilization"].tolist() == ["73 %", "not available"]
    board.set(count="!999", init="!999")  # then the driver itself gives up
    sampler.look()
    assert len(app.run().error) == 2, "both are gone"
    assert "NVML does not answer" in words(app)
    board.set(count=1, init=None)  # and comes back without it
    sampler.look()
    [error] = app.run().error
    assert "no longer in the driver's list" in unescaped(error.value)


def test_memory_errors_and_xids_say_when_they_were_first_and_last_seen(machine, board):
    board.gpu(0, ecc_uncorrected=1)
    board.gpu(1, ecc_uncorrected=0)
    now = iter([1_790_000_000.0, 1_790_000_060.0])
    sampler = watching(board, clock=lambda: next(now))
    sampler.look()
    board.gpu(1, ecc_uncorrected=2)
    sampler.look()
    faults = table_with(machine(sampler), "uncorrected ECC errors")
    assert faults["uncorrected ECC errors"].tolist() == ["1", "2"]
    assert faults["first seen"].tolist() == ["before this server began", "21 Sep 14:14:20"]
    assert faults["last seen"].tolist() == ["before this server began", "21 Sep 14:14:20"]


def test_who_uses_the_gpus_is_told_with_owner_and_memory_and_not_available_where_not(
    machine, board, monkeypatch, tmp_path
):
    host = tmp_path / "pid-namespace"
    host.symlink_to("pid:[4026531836]")
    monkeypatch.setattr(
        hardware_gpus.nvml, "processes", partial(nvml.processes, nvml=board.nvml, namespace=host)
    )
    board.gpu(0, compute=f"{os.getpid()}:1073741824,999999:{2**64 - 1}", graphics="")
    board.gpu(1)  # a vGPU: the driver lists no processes
    sampler = watching(board)
    sampler.look()
    app = machine(sampler)
    app.toggle(key="gpu-processes").set_value(True).run()
    ours, gone = table_with(app, "owner").to_dict("records")
    assert (ours["pid"], ours["owner"], ours["memory"]) == (os.getpid(), psutil.Process().username(), "1 GiB")
    assert (gone["name"], gone["owner"], gone["memory"]) == ("not available",) * 3
    assert "GPU 1: not available. The driver does not list the processes of GPU 1" in words(app)


def test_mig_slices_have_their_own_memory_and_the_board_no_utilization(machine, board):
    slices = {
        "mig1.uuid": "MIG-b",
        "mig1.name": "H100 MIG 3g.40gb",
        "mig1.memory_used": 5 * 2**30,
        "mig1.memory_total": 40 * 2**30,
    }
    board.gpu(0, util=None, mig=1, mig_places=7, **slices)
    sampler = watching(board)
    sampler.look()
    app = machine(sampler)
    assert table_with(app, "slice").to_dict("records") == [
        {"GPU": "0", "slice": "H100 MIG 3g.40gb", "memory used": "5 GiB of 40 GiB", "UUID": "MIG-b"}
    ]
    assert table_with(app, "utilization")["utilization"].tolist() == ["not available"]


@pytest.mark.parametrize(
    ("code", "said"), [(9, "driver is not loaded"), (4, "refuses this user"), (18, "different versions")]
)
def test_a_driver_that_refuses_says_why_and_the_host_is_shown_all_the_same(machine, board, code, said):
    board.set(init=f"!{code}")
    sampler = watching(board)
    services.wait_until(lambda: sampler.look().host.cpu_percent is not None)
    app = machine(sampler)
    assert said in words(app)
    assert {metric.label for metric in app.metric} >= {"CPU", "Memory used"}


class _Exporter(BaseHTTPRequestHandler):
    """An exporter of this machine that disagrees about one card's memory."""

    def do_GET(self) -> None:
        body = (
            b'gpu_info{gpu_id="3",uuid="GPU-1",name="x",driver_version="y"} 1\n'
            b'gpu_memory_used_bytes{gpu_id="3"} 6e10\ngpu_power_watts{gpu_id="3"} 72\ngpu_temperature_celsius{gpu_id="3"} 31\n'
        )
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_what_prometheus_has_of_this_machine_stands_beside_its_own_value_where_they_disagree(
    machine, tmp_path
):
    """The card is found by its UUID: the exporter counts it as GPU 3, this machine as GPU 0."""
    sampler = sampled(FULL)
    with (
        services.http_server(_Exporter) as url,
        services.prometheus(
            tmp_path / "prometheus", targets={"moe-exporter": url.removeprefix("http://")}
        ) as server,
    ):
        server.wait_for("count_over_time(gpu_power_watts[1m]) > 2")
        sampler.look()
        app = machine(sampler, prometheus_url=server.url)
        assert "1 of 3 values of " in words(app)
        assert "are not what this machine says itself" in words(app)
        [row] = table_with(app, "Prometheus has").to_dict("records")
        assert (row["of"], row["this machine says"], row["Prometheus has"]) == ("gpu_id 0", "0 B", "55.9 GiB")
