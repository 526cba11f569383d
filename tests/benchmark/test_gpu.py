"""The GPU's side of a run, against a stand-in for NVML: there is no GPU where most tests run.

The stand-in has the calls of pynvml that are used, and refuses the ones a board may lack.
"""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dashboard.benchmark import gpu, gpu_window
from dashboard.benchmark.spec import Device

UUID = "GPU-11111111-2222-3333-4444-555555555555"


class NVMLError(Exception):
    pass


class FakeNvml:
    """One GPU at 1500 MHz and 400 W; `lacks` names calls that are not supported on it."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, lacks: tuple[str, ...] = (), driver: bool = True, slow: str = "") -> None:
        self._lacks, self._driver, self._slow = lacks, driver, slow
        self.lost = False
        self.began = time.monotonic()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvmlDevice"):
            if self.lost:
                raise NVMLError("GPU is lost")
            if name in self._lacks:
                raise NVMLError("Not Supported")
            if name == self._slow:
                time.sleep(0.01)
        return super().__getattribute__(name)

    def nvmlInit(self) -> None:  # noqa: N802 (NVML's own name)
        if not self._driver:
            raise NVMLError("Driver Not Loaded")

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return UUID

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != UUID:
            raise NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return UUID

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "Stand-in"

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:  # noqa: N802
        return 1500 if kind == 1 else 2600

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return 400_000

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: str) -> int:  # noqa: N802
        return 700_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        return int(400_000 * (time.monotonic() - self.began))

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return 55

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:  # noqa: N802
        return 0x04

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=1 << 30, free=140 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=97)


DEVICE = Device(kind="cuda", uuid=UUID, name="Stand-in")


def samples(tmp_path: Path, nvml: FakeNvml, seconds: float = 0.45) -> list[dict[str, Any]]:
    path = tmp_path / "gpu.jsonl"
    with gpu.Sampler(DEVICE, path, nvml=nvml):
        time.sleep(seconds)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_clocks_power_and_energy_are_sampled_in_base_units(tmp_path: Path):
    found = samples(tmp_path, FakeNvml())
    assert len(found) >= 2
    assert found[0]["sm_clock_hertz"] == 1.5e9
    assert found[0]["power_watts"] == 400.0
    spent = (found[-1]["energy_joules"] - found[0]["energy_joules"]) / (
        found[-1]["monotonic_seconds"] - found[0]["monotonic_seconds"]
    )
    assert 380 < spent < 420


def test_a_counter_the_board_lacks_is_left_out_and_said_once(tmp_path: Path):
    nvml = FakeNvml(lacks=("nvmlDeviceGetTotalEnergyConsumption",))
    sampler = gpu.Sampler(DEVICE, tmp_path / "gpu.jsonl", nvml=nvml)
    with sampler:
        time.sleep(0.25)
    assert "energy_joules: Not Supported" in sampler.reason
    assert sampler.available
    first = json.loads((tmp_path / "gpu.jsonl").read_text().splitlines()[0])
    assert "energy_joules" not in first
    assert first["power_watts"] == 400.0


def test_a_slow_call_is_kept_out_of_the_loop(tmp_path: Path):
    sampler = gpu.Sampler(DEVICE, tmp_path / "gpu.jsonl", nvml=FakeNvml(slow="nvmlDeviceGetTemperature"))
    with sampler:
        pass
    assert "temperature_celsius: too slow" in sampler.reason


def test_a_gpu_that_disappears_gives_nulls_and_no_crash(tmp_path: Path):
    nvml = FakeNvml()
    path = tmp_path / "gpu.jsonl"
    with gpu.Sampler(DEVICE, path, nvml=nvml):
        time.sleep(0.25)
        nvml.lost = True
        time.sleep(0.25)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert found[0]["power_watts"] == 400.0
    assert found[-1]["power_watts"] is None


def test_without_a_driver_the_reason_is_said_and_nothing_is_sampled(tmp_path: Path):
    sampler = gpu.Sampler(DEVICE, tmp_path / "gpu.jsonl", nvml=FakeNvml(driver=False))
    with sampler:
        pass
    assert not sampler.available
    assert "Driver Not Loaded" in sampler.reason
    assert not (tmp_path / "gpu.jsonl").exists()
    assert gpu.find(nvml=FakeNvml(driver=False)) is None
    assert gpu.facts(DEVICE, nvml=FakeNvml(driver=False)) == {}


def test_a_gpu_is_named_by_uuid_and_its_limit_decides_comparability():
    assert gpu.find(nvml=FakeNvml()) == DEVICE
    assert gpu.find(UUID, nvml=FakeNvml()) == DEVICE
    assert gpu.find("GPU-none", nvml=FakeNvml()) is None
    facts = gpu.facts(DEVICE, nvml=FakeNvml())
    assert facts["gpu_power_limit_watts"] == 700.0
    assert facts["driver_major"] == "580"
    assert DEVICE.lease == "gpu-11111111-2222-3333-4444-555555555555"
    assert Device(kind="cuda", uuid="MIG-7").lease == "MIG-7"


def test_energy_is_given_only_over_a_window_that_can_carry_it():
    def window(seconds: float) -> dict[str, Any]:
        looked = [
            {
                "monotonic_seconds": 10 + t / 10,
                "energy_joules": 40.0 * t,
                "power_watts": 400.0,
                "throttle_reasons": 4,
            }
            for t in range(int(10 * seconds) + 1)
        ]
        started = {"event": "cell started", "key": "a", "launch": 0, "monotonic_seconds": 10.0}
        finished = {"launch": 0, "monotonic_seconds": 10.0 + seconds, "calls": 100, "tokens": 50}
        found = gpu_window.window("a", [finished], [started], looked)
        assert found is not None
        return found

    long, short = window(4.0), window(1.0)
    assert long["joules_per_token"] == 40.0 * 40 / 5000
    assert short["joules_per_token"] is None
    assert short["power_watts"] == 400.0
    assert long["power_capped_share"] == 1.0  # normal under a large matrix product: a label, not a fault
    assert long["throttled_share"] == 0.0
