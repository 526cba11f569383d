"""Targets that misbehave, kills at random moments, a full disk: the run always says what happened, and nobody is left."""

import os
import random
import resource
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.benchmark import processes
from tests.benchmark.conftest import SHORT, Room
from tests.benchmark.kills_job import SEED, random_kill

KILLS = int(os.environ.get("BENCHMARK_KILLS", "6"))  # `python -m tests.benchmark.kills_job` has more


def statuses(room: Room, run_id: str) -> dict[str, str]:
    view = room.wait(run_id)
    assert view.state == "done", view.error
    assert view.report is not None
    return {cell["key"]: cell["status"] for cell in view.report["cells"]}


def test_a_factory_that_raises_fails_the_run_with_its_words(room: Room):
    view = room.wait(room.start("raises"))
    assert view.state == "failed"
    assert "the factory said no" in view.summary.sentence
    assert "Traceback" in view.error
    assert view.report is None


def test_a_factory_that_exits_fails_the_run(room: Room):
    view = room.wait(room.start("exits"))
    assert view.state == "failed"
    assert "SystemExit" in view.summary.sentence


def test_one_bad_cell_does_not_take_the_others_with_it(room: Room):
    run_id = room.start("raises_in_one_cell")
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "failed"}
    [summary] = room.benchmarks.runs()
    assert summary.failed_cells == 1


def test_a_cell_that_does_not_apply_is_skipped_with_its_reason(room: Room):
    run_id = room.start("skips")
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "skipped"}
    assert "makes no sense" in room.benchmarks.run(run_id).report["cells"][1]["reason"]  # type: ignore[index]


def test_what_a_factory_prints_is_log_and_never_a_result(room: Room):
    run_id = room.start("prints")
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "ok"}
    assert not any("forged" in event for event in room.benchmarks.events(run_id)[0])
    assert "forged" in room.benchmarks.directory(run_id).log_tail()


def test_an_answer_that_is_not_a_number_is_wrong_however_fast(room: Room):
    view = room.wait(room.start("nan"))
    assert view.state == "failed"
    assert "float64 reference" in view.summary.sentence


def test_a_fast_and_wrong_cell_fails_alone(room: Room):
    assert statuses(room, room.start("wrong_in_one_cell")) == {"case=a": "ok", "case=b": "wrong"}


def test_a_segfault_costs_its_cell_and_is_named(room: Room):
    run_id = room.start("segfaults", replace(SHORT, launches=3))
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "crashed"}
    cells = room.benchmarks.run(run_id).report["cells"]  # type: ignore[index]
    assert "SIGSEGV" in cells[1]["reason"]
    assert cells[0]["k"] == 3
    started = [e for e in room.benchmarks.events(run_id)[0] if e["event"] == "launch started"]
    assert len(started) == 4  # one restart; the cell is not tried again in later launches


def test_a_cell_that_hangs_is_given_up(room: Room):
    run_id = room.start("hangs", replace(SHORT, stall_seconds=2))
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "hung"}
    room.nobody_left(run_id)


def test_a_model_that_does_not_fit_says_how_much_was_asked(room: Room):
    run_id = room.start("eats_memory")
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "out of memory"}
    assert "512. TiB" in room.benchmarks.run(run_id).report["cells"][1]["reason"]  # type: ignore[index]


def test_what_a_factory_forked_is_ended_with_the_run(room: Room):
    run_id = room.start("forks")
    assert statuses(room, run_id) == {"case=a": "ok", "case=b": "ok"}
    finished = [e for e in room.benchmarks.events(run_id)[0] if e["event"] == "cell finished"]
    assert len(finished) == 2  # the forked copy of the worker measured nothing
    room.nobody_left(run_id)


def test_a_factory_that_prints_without_end_does_not_fill_the_disk(room: Room):
    run_id = room.start("fills_the_log", replace(SHORT, stall_seconds=60))
    view = room.wait(run_id)
    assert view.state == "failed"
    assert "printed more than 64 MiB" in view.error
    assert len(view.error) < 20_000


def test_a_full_disk_is_a_failed_run_that_says_so(room: Room):
    """A file system of its own, filled to the last block while the run is on it."""
    disk = room.path / "data"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        run_id = room.start("slow", replace(SHORT, cell_seconds=20, launches=3))
        room.event(run_id, "cell progress")
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            ballast.write(b"x" * (shutil.disk_usage(disk).free - 40_000))
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                pass
        view = room.wait(run_id)
        assert view.state == "failed"
        assert "disk is full" in view.summary.sentence
        room.nobody_left(run_id)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_no_room_to_start_is_said_at_once_and_leaves_nothing(room: Room):
    from dashboard.benchmark.starting import CannotStart

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CannotStart, match="could not be started"):
            room.start("good", idempotency_key="again")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert room.benchmarks.runs() == ()
    assert not list((room.path / "data/benchmarks").glob(".new-*"))
    assert room.wait(room.start("good", idempotency_key="again")).state == "done"


def test_random_kills_never_leave_a_lie_or_a_process(room: Room):
    """kill -9 or SIGTERM or cancel, of supervisor or worker, at any moment from the click on."""
    dice = random.Random(SEED)
    turns = [random_kill(room, dice) for _ in range(KILLS)]
    assert len({turn.done for turn in turns}) > 1


def test_secrets_of_the_dashboard_do_not_reach_a_target(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MOE_DASHBOARD_PROMETHEUS_PASSWORD", "hunter2")
    run_id = room.start("ignores_sigterm")
    launch = room.event(run_id, "cell started")
    assert launch
    pid = room.event(run_id, "launch started")["process"]["pid"]  # type: ignore[index]
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"hunter2" not in environ
    assert processes.MARK_VARIABLE.encode() in environ
