"""A run from the click to its one honest end, with real processes."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.benchmark import processes
from dashboard.benchmark.runs import Benchmarks, NoSuchRun
from dashboard.benchmark.starting import CannotStart
from tests.benchmark.conftest import SHORT, Room


def test_a_run_is_measured_reported_and_remembered(room: Room):
    run_id = room.start("good", replace(SHORT, cell_seconds=1.0), owner="Ada")
    view = room.wait(run_id)
    assert view.state == "done", view.error
    report = view.report
    assert report is not None
    assert [cell["status"] for cell in report["cells"]] == ["ok", "ok"]
    for cell in report["cells"]:
        # the workload spins for 0.5 ms: never less; a busy machine may make it wait, but not work longer
        assert cell["p50_seconds"]["value"] >= 0.0005
        assert cell["cpu_p50_seconds"] < 0.0006
        assert cell["p50_seconds"]["low"] <= cell["p50_seconds"]["value"] <= cell["p50_seconds"]["high"]
        assert 0 < cell["samples_per_second"] <= 4 / 0.0005
    assert report["owner"] == "Ada"
    assert report["environment"]["cpu_model"]
    directory = room.benchmarks.directory(run_id).path
    assert {"spec.json", "events.jsonl", "report.json"} <= {path.name for path in directory.iterdir()}
    assert not (directory / "error.txt").exists()
    [summary] = room.benchmarks.runs()
    assert (summary.state, summary.target) == ("done", view.summary.target)
    assert room.benchmarks.runs() == (summary,)  # now from the index
    assert summary.p50_seconds == report["headline"]["p50_seconds"]


def test_launches_are_processes_of_their_own_and_measure_in_different_orders(room: Room):
    run_id = room.start("good", replace(SHORT, launches=5))
    view = room.wait(run_id)
    assert view.state == "done", view.error
    assert view.report is not None
    assert view.report["launches_done"] == 5
    events, _ = room.benchmarks.events(run_id)
    pids = {event["process"]["pid"] for event in events if event["event"] == "launch started"}
    assert len(pids) == 5
    orders = {
        tuple(e["key"] for e in events if e["event"] == "cell started" and e["launch"] == launch)
        for launch in range(5)
    }
    assert len(orders) == 2
    cell = view.report["cells"][0]
    assert cell["p50_seconds"]["of"] == "launches"
    assert [launch["launch"] for launch in cell["launches"]] == [0, 1, 2, 3, 4]


def test_the_same_click_twice_starts_one_run(room: Room):
    started: list[str] = []
    clicks = [
        threading.Thread(target=lambda: started.append(room.start("good", idempotency_key="click 1")))
        for _ in range(4)
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert len(started) == 4
    assert len(set(started)) == 1
    assert room.wait(started[0]).state == "done"
    assert len(room.benchmarks.runs()) == 1


def test_a_target_nobody_configured_is_refused(room: Room):
    with pytest.raises(CannotStart, match="not a configured benchmark target"):
        room.benchmarks.start("os:system")
    assert room.benchmarks.runs() == ()


def test_a_target_that_cannot_run_now_says_why(room: Room):
    observed = next(target for target in room.benchmarks.targets() if target.name == "observed-router")
    assert not observed.available
    assert "written a topology" in observed.why_not
    with pytest.raises(CannotStart, match="written a topology"):
        room.benchmarks.start("observed-router")


def test_a_device_that_is_not_there_is_refused(room: Room):
    if __import__("dashboard.benchmark.gpu", fromlist=["find"]).find() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(CannotStart, match="No such GPU"):
        room.benchmarks.start("reference-moe", device="cuda")
    with pytest.raises(CannotStart, match="no device 'tpu'"):
        room.benchmarks.start("reference-moe", device="tpu")


@pytest.mark.parametrize("name", ["../../etc", "20260101T000000Z-x-quick-000000", "", "."])
def test_an_id_that_is_no_run_is_no_path_either(room: Room, name: str):
    with pytest.raises(NoSuchRun):
        room.benchmarks.run(name)


def test_runs_take_turns_in_the_order_they_were_asked_for(room: Room):
    first = room.start("slow", replace(SHORT, cell_seconds=1.0), owner="Ada")
    others = [room.start("good", owner=f"user {i}") for i in range(3)]
    waiting = room.until(others[2], lambda view: view.progress.queue_position == 3)
    assert waiting.state == "queued"
    assert waiting.progress.queue_holder is not None
    assert waiting.progress.queue_holder["run_id"] == first
    assert waiting.progress.queue_holder["owner"] == "Ada"
    ends = []
    for run_id in [first, *others]:
        assert room.wait(run_id).state == "done"
        leased = room.event(run_id, "leased")["monotonic_seconds"]
        ends.append((leased, room.benchmarks.events(run_id)[0][-1]["monotonic_seconds"]))
    assert ends == sorted(ends)
    for (_, over), (leased, _) in itertools.pairwise(ends):
        assert leased >= over - 0.05  # one at a time


def test_a_waiting_run_can_be_cancelled_and_the_queue_moves_on(room: Room):
    first = room.start("ignores_sigterm")
    second, third = room.start("good"), room.start("good")
    room.until(third, lambda view: view.progress.queue_position == 2)
    room.benchmarks.cancel(second, "Ada")
    cancelled = room.wait(second)
    assert cancelled.state == "cancelled"
    assert "Ada" in cancelled.error
    room.until(third, lambda view: view.progress.queue_position == 1)
    room.benchmarks.cancel(first, "Ada")
    assert room.wait(first).state == "cancelled"
    assert room.wait(third).state == "done"


def test_cancel_stops_a_running_measurement_at_once(room: Room):
    run_id = room.start("slow", replace(SHORT, cell_seconds=30))
    room.event(run_id, "cell started")
    asked = time.monotonic()
    room.benchmarks.cancel(run_id, "Grace")
    view = room.wait(run_id)
    assert time.monotonic() - asked < 15  # the cell alone would have taken 30
    assert view.state == "cancelled"
    assert view.error.startswith("cancelled: by Grace")
    room.nobody_left(run_id)
    assert room.benchmarks.cancel(run_id, "somebody else") == "cancelled"


def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace(room: Room):
    run_id = room.start("ignores_sigterm")
    room.event(run_id, "cell started")
    asked = time.monotonic()
    room.benchmarks.cancel(run_id, "Grace")
    assert room.wait(run_id).state == "cancelled"
    assert SHORT.grace_seconds <= time.monotonic() - asked < SHORT.grace_seconds + 15  # it sleeps for an hour
    room.nobody_left(run_id)


def test_the_time_limit_ends_a_run_as_timed_out(room: Room):
    run_id = room.start("ignores_sigterm", replace(SHORT, limit_seconds=2))
    view = room.wait(run_id)
    assert view.state == "timed out"
    assert "time limit of 2 s" in view.error
    room.nobody_left(run_id)


def test_kill_9_of_the_dashboard_does_not_end_its_run(room: Room):
    script = (
        "import sys, time; from pathlib import Path; from dataclasses import replace\n"
        "from tests.benchmark.conftest import Room, SHORT\n"
        "print(Room(Path(sys.argv[1])).start('slow', replace(SHORT, cell_seconds=1)), flush=True)\n"
        "time.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(room.path)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        run_id = server.stdout.readline().strip()
        room.event(run_id, "leased")
        server.kill()
    assert room.wait(run_id).state == "done"


def test_kill_9_of_the_supervisor_reads_died_and_nobody_is_left(room: Room):
    run_id = room.start("forks", replace(SHORT, cell_seconds=30))
    room.event(run_id, "cell progress")
    started = room.event(run_id, "supervisor started")
    os.kill(started["process"]["pid"], signal.SIGKILL)  # type: ignore[index]
    view = room.wait(run_id)
    assert (view.state, view.summary.shown_state) == ("lost", "died")
    assert view.error.startswith("died:")
    room.nobody_left(run_id)
    assert [summary.state for summary in room.benchmarks.runs()] == ["lost"]


def test_the_next_in_the_queue_ends_what_a_dead_supervisor_left(room: Room):
    """The second supervisor must clean up by itself: no dashboard looks while it waits."""
    run_id = room.start("forks", replace(SHORT, cell_seconds=30))
    room.event(run_id, "cell progress")
    mark = room.benchmarks.directory(run_id).spec().mark
    second = room.start("good")
    started = room.event(run_id, "supervisor started")
    os.kill(started["process"]["pid"], signal.SIGKILL)  # type: ignore[index]
    room.event(second, "leased")
    assert processes.marked(mark) == []
    assert room.wait(second).state == "done"


def test_kill_9_of_the_worker_costs_one_cell_and_is_said(room: Room):
    run_id = room.start("slow", replace(SHORT, cell_seconds=2))
    room.event(run_id, "cell progress")
    launch = room.event(run_id, "launch started")
    os.kill(launch["process"]["pid"], signal.SIGKILL)  # type: ignore[index]
    view = room.wait(run_id)
    assert view.state == "done"
    assert view.report is not None
    assert sorted(cell["status"] for cell in view.report["cells"]) == ["crashed", "ok"]
    crashed = next(cell for cell in view.report["cells"] if cell["status"] == "crashed")
    assert "SIGKILL" in crashed["reason"]


def test_events_are_read_on_from_an_offset(room: Room):
    run_id = room.start("good")
    room.wait(run_id)
    room.event(run_id, "ended")  # its last line, which follows the report
    everything, end = room.benchmarks.events(run_id)
    path = room.benchmarks.directory(run_id).path / "events.jsonl"
    assert end == path.stat().st_size
    with path.open("a") as file:
        file.write('{"event": "later", "torn')  # a line being written is not an event yet
    assert room.benchmarks.events(run_id, end) == ([], end)
    assert [event["event"] for event in everything][-1] == "ended"


def test_an_index_from_a_newer_version_is_left_alone(room: Room):
    import sqlite3
    from contextlib import closing

    run_id = room.start("good")
    room.wait(run_id)
    room.benchmarks.runs()
    path = room.path / "data/benchmarks/index.sqlite"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT state FROM run").fetchall() == [("done",)]
        database.execute("PRAGMA user_version = 99")
    assert [summary.run_id for summary in room.another().runs()] == [run_id]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (99,)


def test_a_locked_or_damaged_index_does_not_hide_the_runs(room: Room):
    run_id = room.start("good")
    room.wait(run_id)
    (room.path / "data/benchmarks/index.sqlite").write_bytes(b"this is no database" * 100)
    assert [summary.run_id for summary in room.benchmarks.runs()] == [run_id]


def test_a_spec_from_a_newer_version_is_passed_over(room: Room, tmp_path: Path):
    run_id = room.start("good")
    room.wait(run_id)
    path = room.benchmarks.directory(run_id).path / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    assert Benchmarks(room.path / "data", (), lease_dir=tmp_path).runs() == ()
