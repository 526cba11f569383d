"""The Hardware page: this machine without Prometheus, "not available" where NVML does not tell, the fleet where it is scraped."""

from dataclasses import replace

import numpy as np
import pytest

from collectors.nvml import Gpu
from collectors.unavailable import Unavailable
from collectors.xid import Xid
from dashboard.catalogue import hardware
from dashboard.sampler import Look, Sampler
from dashboard.shell.hardware import gpu_table, history_frame, reasons
from dashboard.sources import current
from tests import services
from tests.pages.screen import words

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
def machine(open_page):
    """Open the page over a sampler of our own."""

    def opened(sampler, **settings):
        app = open_page("hardware", **settings)
        current().__dict__["sampler"] = sampler
        return app.run()

    return opened


def test_zero_is_a_measurement_and_unknown_is_not_available(machine):
    app = machine(sampled(FULL, SILENT))
    busy, silent = gpu_table([FULL, SILENT]).to_dict("records")
    assert busy["utilization"] == "0 %"
    assert busy["memory used"].startswith("0 B of 80 GiB")
    assert busy["uncorrected ECC errors"] == "0"
    unknown = {name for name, value in silent.items() if value == "not available"}
    assert unknown == {
        "utilization", "memory used", "power", "temperature", "SM clock", "memory clock", "clocks held back by", "energy",
        "uncorrected ECC errors", "MIG",
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
