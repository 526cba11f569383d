"""GPU readings through the real pynvml and ctypes, against a stand-in library where there is no GPU."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from collectors import nvml
from collectors.unavailable import Unavailable
from collectors.xid import HARDWARE, XidWatch
from tests.fakes.nvml.driver import Driver, build, driver


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def board(tmp_path: Path, library: Path) -> Iterator[Driver]:
    with driver(tmp_path, library=library) as held:
        yield held


def test_every_counter_is_in_its_base_unit(board: Driver):
    board.gpu(0)
    [gpu] = nvml.read(board.nvml)
    assert gpu.gpu_id == "0"
    assert gpu.name == "NVIDIA H100 80GB HBM3"
    assert gpu.driver_version == "580.65.06"
    assert gpu.utilization_percent == 73
    assert gpu.memory_utilization_percent == 41
    assert gpu.memory_used_bytes == 60 * 2**30, "without the driver's reserve"
    assert gpu.memory_total_bytes == 80 * 2**30
    assert gpu.memory_used_percent == 75
    assert gpu.power_watts == 412.5
    assert gpu.power_limit_watts == 700
    assert gpu.temperature_celsius == 64
    assert gpu.sm_clock_hertz == 1.755e9
    assert gpu.memory_clock_hertz == 2.619e9
    assert gpu.clock_reasons == ("sw_power_cap",)
    assert gpu.energy_joules == 123_456.789
    assert gpu.ecc_uncorrected == 0
    assert gpu.mig_enabled is False
    assert gpu.missing == {}
    assert gpu.trouble is None


def test_a_machine_with_a_driver_and_no_gpu_is_an_empty_list(board: Driver):
    assert nvml.read(board.nvml) == []


COUNTERS = {
    "util": "utilization_percent",
    "memory_used": "memory_used_bytes",
    "power": "power_watts",
    "power_limit": "power_limit_watts",
    "temperature": "temperature_celsius",
    "sm_clock": "sm_clock_hertz",
    "memory_clock": "memory_clock_hertz",
    "reasons": "clock_reasons",
    "energy": "energy_joules",
    "ecc_uncorrected": "ecc_uncorrected",
    "mig": "mig_enabled",
    "uuid": "uuid",
    "name": "name",
}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, "not supported"), ("!4", "insufficient permissions"), ("!999", "unknown error")],
)
@pytest.mark.parametrize(("counter", "field"), COUNTERS.items())
def test_a_counter_that_does_not_answer_reads_none_with_its_reason_and_spoils_no_other(
    board: Driver, counter: str, field: str, answer: str | None, reason: str
):
    """A vGPU has no power meter, GeForce under WSL no clocks: a chart must show a gap there, not an idle GPU."""
    board.gpu(0, **{counter: answer})
    [gpu] = nvml.read(board.nvml)
    assert getattr(gpu, field) is None
    assert gpu.missing[field] == reason
    together = {
        "util": {"utilization_percent", "memory_utilization_percent"},
        "memory_used": {"memory_used_bytes", "memory_total_bytes"},
    }
    expected = together.get(counter, {field})
    assert set(gpu.missing) == expected
    assert {knob.name for knob in fields(gpu) if getattr(gpu, knob.name) is None} == expected | {"trouble"}


def test_the_drivers_blank_values_read_none(board: Driver):
    board.gpu(0, power=0xFFFFFFFF, temperature=0xFFFFFFFF, sm_clock=0xFFFFFFFF, energy=9223372036854775794)
    [gpu] = nvml.read(board.nvml)
    assert (gpu.power_watts, gpu.temperature_celsius, gpu.sm_clock_hertz, gpu.energy_joules) == (None,) * 4
    assert "blank" in gpu.missing["power_watts"]


def test_an_idle_gpu_reads_zero_not_none(board: Driver):
    board.gpu(0, util=0, memory_used=0, power=0, reasons=0)
    [gpu] = nvml.read(board.nvml)
    assert (gpu.utilization_percent, gpu.memory_used_bytes, gpu.power_watts, gpu.clock_reasons) == (
        0,
        0,
        0,
        (),
    )


def test_clock_reasons_are_words_and_an_unknown_bit_keeps_its_number(board: Driver):
    board.gpu(0, reasons=0x1 | 0x8 | 0x20 | 0x40 | 0x80 | 1 << 20)
    [gpu] = nvml.read(board.nvml)
    assert gpu.clock_reasons == (
        "gpu_idle", "hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake", "bit_20",
    )  # fmt: skip


def test_a_lost_gpu_says_so_and_its_neighbours_go_on(board: Driver):
    board.gpu(0, handle="!15")
    board.gpu(1)
    lost, well = nvml.read(board.nvml)
    assert (lost.gpu_id, lost.trouble, lost.power_watts, lost.uuid) == ("0", "lost", None, None)
    assert lost.missing["power_watts"] == "gpu is lost"
    assert (well.gpu_id, well.trouble, well.power_watts) == ("1", None, 412.5)


def test_a_gpu_lost_between_two_questions_says_so(board: Driver):
    board.gpu(0, power="!15")
    [gpu] = nvml.read(board.nvml)
    assert gpu.trouble == "lost"


def test_a_gpu_that_needs_a_reset_says_so(board: Driver):
    board.gpu(0, util="!16")
    [gpu] = nvml.read(board.nvml)
    assert gpu.trouble == "reset required"


def test_an_old_driver_without_newer_functions_still_tells_what_it_can(tmp_path: Path):
    """Before 510 memory has no second version, before 535 clock reasons have another name: the symbols are absent."""
    with driver(tmp_path, old_driver=True) as held:
        held.gpu(0, memory_reserved=2**20)
        [gpu] = nvml.read(held.nvml)
    assert gpu.memory_used_bytes == 60 * 2**30 + 2**20, "version 1 counts the reserve as used"
    assert gpu.clock_reasons == ("sw_power_cap",)


def test_a_mig_board_shows_its_slices_with_their_own_memory(board: Driver):
    slices = {
        "mig1.uuid": "MIG-b",
        "mig1.name": "H100 MIG 3g.40gb",
        "mig1.memory_used": 5,
        "mig1.memory_total": 40,
    }
    board.gpu(0, util=None, mig=1, mig_places=7, **slices)
    [gpu] = nvml.read(board.nvml)
    assert gpu.mig_enabled is True
    assert gpu.utilization_percent is None, "NVML has none on a MIG parent, and that is not 0"
    assert gpu.mig_slices == (nvml.MigSlice("MIG-b", "H100 MIG 3g.40gb", 5, 40),)


@pytest.mark.parametrize(
    ("code", "kind"), [(9, "no-driver"), (4, "no-permission"), (18, "version-mismatch"), (999, "nvml-error")]
)
def test_nvml_that_does_not_start_is_unavailable_by_name_and_with_advice(board: Driver, code: int, kind: str):
    board.set(init=f"!{code}")
    with pytest.raises(Unavailable) as why:
        nvml.read(board.nvml)
    assert why.value.kind == kind
    assert why.value.reason
    assert why.value.advice


def test_a_machine_without_the_library_is_unavailable_as_no_library():
    """In a process of its own, where no other test has started NVML."""
    program = """if True:
        import ctypes
        from collectors import nvml
        from collectors.unavailable import Unavailable
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            try:
                nvml.read()
            except Unavailable as why:
                print(why.kind)
        else:
            print("this machine has NVML")
        """
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    if said.strip() == "this machine has NVML":
        pytest.skip("this machine has NVML")
    assert said.strip() == "no-library"


def test_a_driver_that_comes_back_is_read_again(board: Driver):
    """A driver update leaves the old NVML session dead; the process that looks must not need a restart."""
    board.gpu(0)
    assert len(nvml.read(board.nvml)) == 1
    board.set(count="!9", init="!9")
    for _ in range(2):
        with pytest.raises(Unavailable) as why:
            nvml.read(board.nvml)
        assert why.value.kind == "no-driver"
    board.set(count=1, init=None)
    assert len(nvml.read(board.nvml)) == 1


def test_the_loader_finds_the_library_by_its_name(tmp_path: Path, library: Path):
    """The one step the other tests skip: dlopen by SONAME, as on a machine with a driver."""
    state = tmp_path / "state"
    state.write_text("count=1\ngpu0.power=250000\n")
    program = "from collectors import nvml; print([gpu.power_watts for gpu in nvml.read()])"
    environ = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "FAKE_NVML_STATE": str(state)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[250.0]"


def test_the_stand_in_does_not_answer_to_the_real_librarys_name(board: Driver):
    """Else every later test of this process would read a GPU that is not there."""
    board.gpu(0)
    nvml.read(board.nvml)
    loaded = {
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libnvidia-ml" in line
    }
    assert str(board.shared_object) in loaded
    try:
        handle = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return
    here = ctypes.cast(handle.nvmlInitWithFlags, ctypes.c_void_p).value
    ours = ctypes.cast(board.nvml.nvmlLib.nvmlInitWithFlags, ctypes.c_void_p).value
    assert here != ours


def test_importing_the_collector_touches_no_hardware():
    program = "import collectors.nvml, collectors.xid, pynvml; assert pynvml.nvmlLib is None"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_processes_are_named_with_owner_on_the_host_and_not_named_in_a_container(
    board: Driver, tmp_path: Path
):
    """The driver speaks of host process ids: inside a container the same number is another process."""
    board.gpu(0, compute=f"{os.getpid()}:1048576,999999:{2**64 - 1}", graphics="")
    host, container = tmp_path / "host", tmp_path / "container"
    host.symlink_to("pid:[4026531836]")
    container.symlink_to("pid:[4026532999]")
    ours, gone = nvml.processes("0", board.nvml, host)
    assert (ours.pid, ours.kind, ours.memory_used_bytes) == (os.getpid(), "compute", 1048576)
    assert ours.name
    assert ours.owner
    assert (gone.memory_used_bytes, gone.name) == (None, None)
    assert {process.name for process in nvml.processes("0", board.nvml, container)} == {None}


def test_processes_a_driver_does_not_tell_are_unavailable_not_none(board: Driver):
    board.gpu(0)
    with pytest.raises(Unavailable) as why:
        nvml.processes("0", board.nvml)
    assert why.value.kind == "not-supported"


def test_xids_are_counted_from_zero_where_the_driver_tells_them(board: Driver):
    board.gpu(0)
    board.gpu(1, event_types=None)
    now = iter([100.0, 200.0, 300.0])
    watch = XidWatch(board.nvml, clock=lambda: next(now))
    assert {(xid.gpu_id, xid.code, xid.count) for xid in watch.look()} == {
        ("0", code, 0) for code in HARDWARE
    }
    board.set(events="0:79,0:31,0:79")
    seen = {xid.code: xid for xid in watch.look() if xid.count}
    assert {code: (xid.count, xid.first_seen, xid.last_seen) for code, xid in seen.items()} == {
        79: (2, 100.0, 300.0),
        31: (1, 200.0, 200.0),
    }


def test_xids_are_unavailable_where_no_gpu_offers_them(board: Driver):
    board.gpu(0, event_types=None)
    with pytest.raises(Unavailable) as why:
        XidWatch(board.nvml).look()
    assert why.value.kind == "not-supported"


def test_xid_counts_go_on_after_the_event_stream_broke(board: Driver):
    board.gpu(0)
    watch = XidWatch(board.nvml)
    board.set(events="0:79")
    watch.look()
    board.set(events="!15")
    with pytest.raises(Unavailable):
        watch.look()
    board.set(events="0:79,0:79")
    assert next(xid.count for xid in watch.look() if xid.code == 79) == 2


@pytest.mark.gpu
def test_a_real_gpu_reads_plausibly():
    """In a process of its own, where no other test has started NVML."""
    program = """if True:
        import dataclasses, json
        from collectors import nvml
        from collectors.unavailable import Unavailable
        try:
            print(json.dumps([dataclasses.asdict(gpu) for gpu in nvml.read()]))
        except Unavailable as why:
            print(json.dumps(str(why)))
        """
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    gpus = json.loads(said)
    if isinstance(gpus, str):
        pytest.skip(gpus)
    assert gpus
    for gpu in gpus:
        assert gpu["uuid"].startswith("GPU-")
        assert gpu["memory_total_bytes"] is None or gpu["memory_total_bytes"] > 2**30
        assert gpu["temperature_celsius"] is None or 0 < gpu["temperature_celsius"] < 120
        assert gpu["utilization_percent"] is None or 0 <= gpu["utilization_percent"] <= 100
