"""A benchmark is one trace: run, wait, launches, cells, as a real OTLP receiver decodes them; a dead collector costs nothing."""

import time
from dataclasses import replace

import pytest

from dashboard.ports import free_port
from tests.benchmark.conftest import SHORT, Room
from tests.observer.test_tracing import Receiver, receiver  # noqa: F401  (a fixture)


def test_launches_and_cells_lie_below_the_run_and_have_its_times(room: Room, receiver: Receiver):  # noqa: F811
    run_id = room.start("raises_in_one_cell", replace(SHORT, launches=2), owner="Ada")
    assert room.wait(run_id).state == "done"
    traced = room.event(run_id, "traced")
    spans = receiver.wait_for(8)
    assert {span["trace_id"] for span in spans} == {traced["trace_id"]}
    [run] = receiver.named("benchmark")
    assert (run["run_id"], run["state"], run["owner"], run["parent_id"]) == (run_id, "done", "Ada", "")
    launches = receiver.named("benchmark_launch")
    assert [launch["launch"] for launch in launches] == [0, 1]
    assert {launch["parent_id"] for launch in launches} == {run["span_id"]}
    cells = receiver.named("benchmark_cell")
    assert sorted((cell["cell"], cell["failed"]) for cell in cells) == [
        ("case=a", False), ("case=a", False), ("case=b", True), ("case=b", True),
    ]  # fmt: skip
    assert {cell["parent_id"] for cell in cells} == {launch["span_id"] for launch in launches}
    for above, below in [(run, launch) for launch in launches]:
        assert above["start"] <= below["start"] <= below["end"] <= above["end"]
    begun = room.event(run_id, "cell started")
    assert cells[0]["start"] == int(begun["time"] * 1e9)  # type: ignore[operator]
    [queue] = receiver.named("benchmark_queue")
    assert queue["end"] <= launches[0]["start"]
    assert "OTEL" not in " ".join(room.benchmarks.run(run_id).report["environment"]["variables"])  # type: ignore[index]


def test_a_cancelled_run_is_a_failed_trace(room: Room, receiver: Receiver):  # noqa: F811
    run_id = room.start("ignores_sigterm")
    room.event(run_id, "cell started")
    room.benchmarks.cancel(run_id, "Ada")
    assert room.wait(run_id).state == "cancelled"
    receiver.wait_for(4)
    [run] = receiver.named("benchmark")
    assert run["failed"]
    [cell] = receiver.named("benchmark_cell")
    assert cell["status"] == "interrupted"


def test_a_dead_collector_changes_nothing_about_a_run(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    run_id = room.start("good")
    assert room.wait(run_id).state == "done"
    asked = time.monotonic()
    room.nobody_left(run_id)
    assert time.monotonic() - asked < 8


def test_no_secret_of_the_collector_reaches_a_target(room: Room, monkeypatch: pytest.MonkeyPatch):
    from pathlib import Path

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2")
    run_id = room.start("ignores_sigterm")
    room.event(run_id, "cell started")
    pid = room.event(run_id, "launch started")["process"]["pid"]  # type: ignore[index]
    assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()
