"""What a report says of a cell beside its time: compiling, clocks, throttling, energy, the launch as the bottleneck."""

from typing import Any

import pytest

from dashboard.benchmark import exports, gpu_window
from tests.benchmark.conftest import Room


def test_a_compiled_cell_says_how_long_it_took_and_where_its_graph_broke(room: Room):
    run_id = room.start("compiled")
    view = room.wait(run_id)
    assert view.report is not None, view.error
    plain, compiled = view.report["cells"]
    assert plain["compiled"] is None
    assert compiled["compiled"]["graph_breaks"] == 1
    assert compiled["compiled"]["graphs"] == 2
    assert 0 < compiled["compiled"]["seconds"] <= compiled["first_call_seconds"]
    assert "graph_break" in compiled["compiled"]["break_reasons"][0]
    assert compiled["p50_seconds"]["value"] < compiled["first_call_seconds"]  # the first call stands apart
    assert "1 graph break," in exports.remarks(compiled)
    row = exports.rows(view.report)[1]
    assert row["graph_breaks"] == 1
    assert row["compile_seconds"] == compiled["compiled"]["seconds"]


def sampled(seconds: float, **others: Any) -> list[dict[str, Any]]:
    """Ten looks a second at a board that takes 400 W."""
    return [
        {"monotonic_seconds": 10 + t / 10, "energy_joules": 40.0 * t, "power_watts": 400.0, "sm_clock_hertz": 1.5e9,
         "throttle_reasons": 0, "utilization_percent": 80, "memory_used_bytes": 2**30 + t} | others
        for t in range(int(10 * seconds) + 1)
    ]  # fmt: skip


def seen(samples: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    started = {"event": "cell started", "key": "a", "launch": 0, "monotonic_seconds": 10.0}
    finished = {"launch": 0, "monotonic_seconds": 10.0 + seconds, "calls": 100, "tokens": 50}
    found = gpu_window.window("a", [finished], [started], samples)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("bit", "said"),
    [
        (0x08, "throttled: hardware slowdown"),
        (0x20, "throttled: software thermal"),
        (0x40, "throttled: hardware thermal"),
        (0x80, "throttled: power brake"),
        (0x04, "power-capped"),
    ],
)
def test_throttling_is_named_with_its_reason(bit: int, said: str):
    assert gpu_window.flags(seen(sampled(3, throttle_reasons=bit), 3)) == [said]


def test_a_reason_that_came_up_once_is_not_named():
    samples = sampled(4)
    samples[7]["throttle_reasons"] = 0x40
    found = seen(samples, 4)
    assert found["throttled_share"] == pytest.approx(1 / 41)
    assert gpu_window.flags(found) == []


def test_a_clock_below_that_of_the_run_is_said():
    rest = [s | {"monotonic_seconds": s["monotonic_seconds"] + 100} for s in sampled(10)]
    assert gpu_window.flags(seen(sampled(3, sm_clock_hertz=1.2e9) + rest, 3)) == ["clock 80% of the run's"]


def test_energy_and_utilization_need_a_window_that_can_carry_them():
    long, short = seen(sampled(3), 3), seen(sampled(1), 1)
    assert long["joules_per_token"] == pytest.approx(40 * 30 / 5000)
    assert long["energy_against_power"] == pytest.approx(1)
    assert long["utilization_ratio"] == 0.8
    assert (short["joules_per_token"], short["utilization_ratio"]) == (None, None)
    assert short["memory_used_bytes"] == 2**30 + 10


def test_a_counter_of_energy_that_power_does_not_bear_out_is_said():
    assert gpu_window.flags(seen(sampled(3, power_watts=250.0), 3)) == ["energy counter and power disagree"]


def test_a_gpu_that_stopped_answering_is_a_note_of_the_run():
    silent = [dict.fromkeys(s) | {"monotonic_seconds": 20 + i / 10} for i, s in enumerate(sampled(2))]
    [note] = gpu_window.notes(sampled(3) + silent)
    assert "stopped answering 9 s before the end" in note
    assert gpu_window.notes(sampled(3)) == []
    assert gpu_window.notes([]) == []


def test_a_launch_bound_cell_says_what_handing_over_costs_and_the_replay():
    cell: dict[str, Any] = {
        "status": "ok", "reason": "", "flags": ["launch-bound"], "enqueue_seconds": 90e-6, "replay_p50_seconds": 60e-6,
    }  # fmt: skip
    assert (
        exports.remarks(cell)
        == "launch-bound, handing a call over takes 90 µs, replayed without the host 60 µs"
    )
    refused = cell | {"replay_p50_seconds": None, "replay_reason": "the call waits for the device"}
    assert exports.remarks(refused).endswith("no replay: the call waits for the device")
