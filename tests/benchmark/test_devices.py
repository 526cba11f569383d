"""Devices side by side: a lease each by UUID, a queue each, and how long the wait is; with stand-ins where a GPU would be needed."""

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from dashboard.benchmark import gpu, lease, starting
from dashboard.benchmark.directory import RunDirectory
from dashboard.benchmark.runs import Benchmarks
from dashboard.benchmark.spec import Device, Spec
from dashboard.settings import Settings
from tests.benchmark.conftest import FACTORIES, SHORT, Room

FIRST = Device(kind="cuda", uuid="GPU-11111111-aaaa-bbbb-cccc-000000000001", name="one")
SECOND = Device(kind="cuda", uuid="GPU-22222222-aaaa-bbbb-cccc-000000000002", name="two")
SLICE = Device(kind="cuda", uuid="MIG-33333333-aaaa-bbbb-cccc-000000000003", name="a slice")


def start(room: Room, device: Device, number: int, seconds: float = 0.0) -> str:
    """A real supervisor for a GPU that is not there: it takes its lease, and its worker then finds no GPU."""
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%SZ}-good-quick-{number:06x}"
    name = f"{FACTORIES}:good"
    spec = Spec(
        run_id=run_id, target=name, factory=name, profile=SHORT, device=device, cells=None, created_at=now.isoformat(),
        mark=run_id, lease_directory=str(room.path / "leases"), working_directory=str(Path.cwd()), expected_seconds=seconds,
    )  # fmt: skip
    room.benchmarks.root.mkdir(parents=True, exist_ok=True)
    starting.here(room.benchmarks.root, spec, {})
    return run_id


def hold(room: Room, device: Device, seconds: float) -> lease.Lease:
    """Somebody else's benchmark has this device."""
    folder = room.path / "leases"
    taken = lease.Lease(folder, lease.draw(folder, device.lease, seconds))
    assert taken.try_acquire({"run_id": "theirs", "owner": "Ada", "since": 0.0, "until": 4e9})
    return taken


def test_gpus_of_one_host_and_slices_are_benchmarked_side_by_side(room: Room):
    taken = hold(room, FIRST, 60)
    on_first, on_second, on_slice = (start(room, d, i) for i, d in enumerate((FIRST, SECOND, SLICE)))
    assert room.event(on_second, "leased")["device"] == SECOND.uuid.replace("GPU-", "gpu-")
    assert room.event(on_slice, "leased")["device"] == SLICE.uuid
    assert room.benchmarks.run(on_first).state == "queued"
    assert not any(e["event"] == "leased" for e in room.benchmarks.events(on_first)[0])
    taken.release()
    assert room.event(on_first, "leased")
    for run_id in (on_first, on_second, on_slice):  # no such GPU is here, and that is what the run says
        assert room.wait(run_id).state == "failed"


def test_two_runs_on_one_gpu_take_turns(room: Room):
    folder = room.path / "leases"
    first = lease.Lease(folder, lease.draw(folder, FIRST.lease))
    second = lease.Lease(folder, lease.draw(folder, FIRST.lease))
    other = lease.Lease(folder, lease.draw(folder, SECOND.lease))
    assert not second.try_acquire({})  # not its turn
    assert first.try_acquire({})
    assert other.try_acquire({})
    assert not second.try_acquire({})
    first.release()
    assert second.try_acquire({})
    for one in (second, other):
        one.release()


def test_who_waits_is_told_how_long(room: Room):
    folder = room.path / "leases"
    holder = lease.Lease(folder, lease.draw(folder, FIRST.lease, 100))
    before = lease.draw(folder, FIRST.lease, 30)
    assert holder.try_acquire(
        {"run_id": "theirs", "owner": "Ada", "since": time.time(), "until": time.time() + 100}
    )
    run_id = start(room, FIRST, 7, seconds=5)
    waiting = room.until(run_id, lambda view: view.progress.queue_position == 2)
    assert waiting.progress.seconds_to_start is not None
    assert 100 < waiting.progress.seconds_to_start <= 130
    os.close(before.descriptor)  # who stood before gives up
    nearer = room.until(run_id, lambda view: view.progress.queue_position == 1)
    assert nearer.progress.seconds_to_start is not None
    assert nearer.progress.seconds_to_start <= 100
    holder.release()
    assert room.wait(run_id).state == "failed"


def test_dashboards_of_one_host_meet_in_the_configured_directory(tmp_path: Path):
    """Two data directories, one lease directory: the run of the second waits for the run of the first."""
    name = f"{FACTORIES}:slow"
    one, two = (
        Benchmarks.of(
            Settings(
                data_dir=tmp_path / which, benchmark_targets=(name,), benchmark_lease_dir=tmp_path / "leases"
            )
        )
        for which in ("one", "two")
    )
    profile = replace(SHORT, cell_seconds=30, precision=1e-9, max_calls=10**7)
    first = one.start(name, device="cpu", adjust=profile, owner="Ada")
    second = two.start(name, device="cpu", adjust=profile)
    room_one, room_two = Room(tmp_path / "one"), Room(tmp_path / "two")
    room_one.benchmarks, room_two.benchmarks = one, two
    waiting = room_two.until(second, lambda view: view.progress.queue_position == 1)
    assert waiting.progress.queue_holder is not None
    assert waiting.progress.queue_holder["run_id"] == first
    for room, run_id in ((room_two, second), (room_one, first)):
        room.benchmarks.cancel(run_id, "the test")
        assert room.wait(run_id).state == "cancelled"


def test_clock_and_power_of_a_running_measurement_are_those_of_the_newest_whole_look(tmp_path: Path):
    path = tmp_path / gpu.SAMPLES
    assert gpu.last_look(path) == (None, None)
    looks = [{"monotonic_seconds": i, "sm_clock_hertz": 1.98e9, "power_watts": 400.0 + i} for i in range(200)]
    path.write_text("".join(json.dumps(look) + "\n" for look in looks) + '{"monotonic_seconds": 200, "sm_cl')
    assert gpu.last_look(path) == (1.98e9, 599.0)


class NotFound(Exception):
    """As pynvml's NVMLError."""


def stand_in() -> SimpleNamespace:
    """Stands in for pynvml where two GPUs are."""
    uuids = (FIRST.uuid, SECOND.uuid)

    def by_index(index: int) -> int:
        if index >= len(uuids):
            raise NotFound
        return index

    def by_uuid(uuid: str) -> int:
        if uuid not in uuids:
            raise NotFound
        return uuids.index(uuid)

    return SimpleNamespace(
        NVMLError=NotFound,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=by_index,
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetUUID=lambda handle: uuids[handle],
        nvmlDeviceGetName=lambda handle: f"GPU {handle}",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(free=10**9),
    )


@pytest.mark.parametrize(
    ("visible", "uuid"),
    [
        ("1", SECOND.uuid),
        ("0,1", FIRST.uuid),
        (SECOND.uuid, SECOND.uuid),
        ("7", None),
        ("", None),
        ("NoDevFiles", None),
    ],
)
def test_the_gpu_a_scheduler_gave_is_found_by_index_or_uuid(visible: str, uuid: str | None):
    found = gpu.granted(visible, stand_in())
    assert (found.uuid if found else None) == uuid


def test_a_run_directory_says_which_gpu_it_was_given(room: Room):
    run_id = start(room, FIRST, 9)
    room.wait(run_id)
    directory = RunDirectory(room.benchmarks.root / run_id)
    directory.replace_spec(replace(directory.spec(), device=SECOND))
    assert directory.spec().device == SECOND
