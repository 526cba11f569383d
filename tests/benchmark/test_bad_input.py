"""Memory without end, a GPU that goes away, a locked index, a clock that is set: real processes, one honest state each."""

import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.benchmark import memory
from tests.benchmark.conftest import SHORT, Room
from tests.benchmark.test_chaos import statuses

LIMIT = 400 * 2**20  # a worker with numpy takes a tenth of it


def reason(room: Room, run_id: str, cell: int = 1) -> str:
    report = room.benchmarks.run(run_id).report
    assert report is not None
    return str(report["cells"][cell]["reason"])


def test_a_factory_that_allocates_without_end_is_stopped_at_the_limit_and_says_what_it_asked_for(room: Room):
    room.benchmarks = room.another(LIMIT)
    run_id = room.start("allocates_without_end", replace(SHORT, launches=2))
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "out of memory"}
    assert "Unable to allocate 32.0 MiB" in reason(room, run_id)
    # whichever was measured first: what was hoarded is not held against the other cell
    assert room.benchmarks.run(run_id).report["cells"][0]["k"] == 2  # type: ignore[index]
    room.nobody_left(run_id)


def test_what_children_take_together_counts(room: Room):
    room.benchmarks = room.another(LIMIT)
    run_id = room.start("allocates_in_children")
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "out of memory"}
    assert "GiB of memory; at most 0.4 GiB may be used" in reason(room, run_id)
    room.nobody_left(run_id)


def test_the_limit_is_the_tightest_of_the_container_and_those_around_it(tmp_path: Path):
    mine = tmp_path / "cgroup"
    for controllers, limit, used in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        mine.write_text(f"9:pids:/\n0:{controllers}:/outer/inner\n")
        for folder, most, taken in (("outer", "1000", "400"), ("outer/inner", "max", "300")):
            where = tmp_path / controllers / folder
            where.mkdir(parents=True, exist_ok=True)
            (where / limit).write_text(most)
            (where / used).write_text(taken)
        assert memory._container_free_bytes(mine, tmp_path) == 600
        shutil.rmtree(tmp_path / controllers / "outer")
    assert memory._container_free_bytes(mine, tmp_path) is None


def test_a_gpu_that_disappears_costs_its_cell_and_the_process_that_held_it(room: Room):
    run_id = room.start("loses_the_gpu")
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "failed"}
    assert "unspecified launch failure" in reason(room, run_id)
    events, _ = room.benchmarks.events(run_id)
    order = [(e["event"], e.get("key")) for e in events]
    lost = order.index(("cell finished", "case=b"))
    if ("cell finished", "case=a") not in order[:lost]:  # nothing more is measured in a context that is gone
        assert ("launch started", None) in order[lost:]


def test_a_locked_index_is_left_alone_and_hides_nothing(room: Room):
    run_id = room.start("good")
    room.wait(run_id)
    room.benchmarks.runs()  # makes the index
    path = room.path / "data/benchmarks/index.sqlite"
    holder = subprocess.Popen(
        [sys.executable, "-c", ("import sqlite3, sys\nd = sqlite3.connect(sys.argv[1])\n"
         "d.execute('BEGIN EXCLUSIVE')\nprint('locked', flush=True)\nsys.stdin.read()"), str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sqlite3.connect(path, timeout=0).execute("SELECT 1 FROM run").fetchall()
        second = room.start("good")
        assert room.wait(second).state == "done"
        assert {summary.run_id for summary in room.benchmarks.runs()} == {run_id, second}
    finally:
        holder.communicate()
    assert {summary.run_id for summary in room.benchmarks.runs()} == {run_id, second}


@pytest.fixture
def wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file; the seconds in it move the clock on the wall of every process a run starts."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build a clock that jumps with")
    offset, library = tmp_path / "offset", tmp_path / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", f'-DFILE="{offset}"', "-o", str(library)]
    subprocess.run([*command, str(Path(__file__).with_name("clock.c")), "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    said = subprocess.run(
        [sys.executable, "-c", "import sys, time; open(sys.argv[1], 'w').write('86400'); print(time.time())", str(offset)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(said.stdout) > time.time() + 80_000  # it really jumps
    offset.unlink()
    return offset


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_that_is_set_changes_no_duration_and_ends_nothing(room: Room, wall: Path, jump: int):
    began = time.monotonic()
    run_id = room.start("slow", replace(SHORT, launches=2, cell_seconds=0.6))
    room.event(run_id, "cell finished")
    wall.write_text(str(jump))
    view = room.wait(run_id)
    took = time.monotonic() - began
    room.event(run_id, "ended")
    events, _ = room.benchmarks.events(run_id)
    assert abs(events[-1]["time"] - events[0]["time"]) > 80_000  # the events saw it
    assert view.state == "done", view.error
    report = view.report
    assert report is not None
    assert [cell["k"] for cell in report["cells"]] == [2, 2]
    assert 0 < report["measured_seconds"] <= took
    assert all(0 < launch["seconds"] <= took for launch in report["launches"])
    [summary] = room.another().runs()
    assert summary.started_at is not None
    assert summary.ended_at is not None
    assert 0 < (summary.ended_at - summary.started_at).total_seconds() <= took
    assert room.benchmarks._expected("x", SHORT, room.benchmarks.directory(run_id).spec().device) > 0


def test_who_waits_is_not_told_a_day_because_the_clock_was_set(room: Room, wall: Path):
    wall.write_text("86400")
    first = room.start("slow", replace(SHORT, cell_seconds=30))
    room.event(first, "leased")
    wall.write_text("0")
    second = room.start("good")
    waits = room.event(second, "queued")["wait_seconds"]
    assert isinstance(waits, float)
    assert waits <= SHORT.limit_seconds
    room.benchmarks.cancel(first, "the test")
    assert room.wait(second).state == "done"
