"""Progress out of events: what a person who waits is told."""

from dataclasses import replace
from typing import Any

from dashboard.benchmark.progress import follow
from dashboard.benchmark.spec import PROFILES, Cell, Device, Spec, cells, loads

SPEC = Spec(
    run_id="r",
    target="t",
    factory="m:f",
    profile=replace(PROFILES["standard"], launches=2),
    device=Device(kind="cpu"),
    cells=(Cell({"batch": 1}), Cell({"batch": 2})),
    created_at="2026-01-01T00:00:00+00:00",
    mark="m",
    lease_directory="/l",
    working_directory="/w",
)


def event(name: str, at: float, **fields: Any) -> dict[str, Any]:
    return {"event": name, "monotonic_seconds": at, **fields}


WAITING = [event("queued", 1, position=2, holder={"run_id": "other", "owner": "Ada"})]
LEASED = [*WAITING, event("leased", 10)]
MEASURING = [
    *LEASED,
    event("launch started", 10, launch=0),
    event("planned", 12, cells=[{"batch": 1}, {"batch": 2}]),
    event("cell started", 12, key="batch=2"),
    event("cell progress", 13, key="batch=2", measuring="host", n=40, p50_seconds=0.5, low=0.4, high=0.6),
]
SECOND = [
    *MEASURING,
    event("cell finished", 14, key="batch=2"),
    event("cell finished", 16, key="batch=1"),
    event("launch finished", 16),
    event("launch started", 16, launch=1),
    event("cell finished", 20, key="batch=1"),
]


def test_who_waits_sees_the_place_and_the_holder():
    seen = follow(SPEC, WAITING, "queued", 2.0)
    assert (seen.phase, seen.queue_position) == ("waiting for the device", 2)
    assert seen.queue_holder == {"run_id": "other", "owner": "Ada"}
    assert seen.seconds_left is None


def test_the_live_median_comes_with_its_interval():
    seen = follow(SPEC, MEASURING, "running", 13.0)
    assert (seen.phase, seen.cell, seen.n) == ("measuring", "batch=2", 40)
    assert (seen.p50_low, seen.p50_seconds, seen.p50_high) == (0.4, 0.5, 0.6)
    assert seen.queue_position is None


def test_cells_are_counted_over_all_launches_and_time_left_follows():
    seen = follow(SPEC, SECOND, "running", 22.0)
    assert (seen.cells_done, seen.cells_total, seen.launch) == (3, 4, 1)
    assert seen.share == 0.75
    assert seen.seconds_left == 4.0  # 12 s for three cells


def test_time_left_is_never_more_than_the_limit_leaves_nor_nothing_while_cells_wait():
    limit = SPEC.profile.limit_seconds
    assert follow(SPEC, MEASURING, "running", 10 + limit - 1).seconds_left == 1.0
    early = follow(SPEC, MEASURING, "running", 40.0).seconds_left
    assert early is not None
    assert early > 0


def test_an_ended_run_measures_nothing_any_more():
    seen = follow(SPEC, MEASURING, "lost", 99.0)
    assert (seen.phase, seen.cell, seen.p50_seconds, seen.seconds_left) == ("over", "", None, None)


def test_a_spec_survives_its_file_and_its_hash_forgets_who_asked():
    assert loads(SPEC.dumps()) == SPEC
    assert SPEC.hash() == replace(SPEC, owner="Ada", run_id="x", created_at="y", mark="z").hash()
    assert SPEC.hash() != replace(SPEC, seed=1).hash()


def test_a_cpu_gets_smaller_sizes_and_a_gpu_bfloat16():
    assert {c.params["dtype"] for c in cells("quick", "cuda", half_precision=True)} == {"bfloat16"}
    assert {c.params["dtype"] for c in cells("standard", "cpu", half_precision=False)} == {"float32"}
    full = cells("full", "cuda", half_precision=True)
    assert len(full) == 77
    assert len({cell.key for cell in full}) == 77
    assert [(c.params["batch"], c.params["sequence"]) for c in full if "compile" in c.params] == [
        (1, 1),
        (64, 512),
    ]
    assert len(cells("full", "cuda", half_precision=True, sequence=16)) == 29
    assert {c.params["sequence"] for c in cells("standard", "cpu", half_precision=False, sequence=16)} == {16}
