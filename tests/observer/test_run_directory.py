"""The run directory as readers find it: whole, or not there."""

import datetime as dt
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from dashboard.observer import Observer
from dashboard.observer.rundirectory import Lines, git_sha


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def is_held(run: Path) -> bool:
    with (run / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_generations_line_has_the_guides_fields_and_the_catalogues_names(observer):
    with observer.run("digits") as run:
        observer.log(
            {
                "generation": 42, "best_fitness": 0.95, "average_fitness": 0.87, "diversity_score": 0.7, "mutation_rate": 0.1,
                "population_size": 100, "elapsed_time_seconds": 45.3, "fitness_std": 0.02, "loss": float("nan"), "accuracy": None,
                "expert_utilization_ratio": {0: 0.25, 1: 0.75}, "specialization_score": {(0, 1): 0.5, (1, 0): 1},
            }
        )  # fmt: skip
    [line] = lines(run.directory / "generations.jsonl")
    timestamp = dt.datetime.fromisoformat(line.pop("timestamp"))
    assert timestamp.utcoffset() == dt.timedelta(0)
    assert line == {
        "event": "Evolution generation completed",
        "level": "info",
        "logger": "self_evolving_moe",
        "run_id": run.run_id,
        "generation": 42,
        "best_fitness": 0.95,
        "average_fitness": 0.87,
        "diversity_score": 0.7,
        "mutation_rate": 0.1,
        "population_size": 100,
        "elapsed_time_seconds": 45.3,
        "evolution_generations_since_improvement": 0,
        "evolution_fitness_std": 0.02,
        "training_loss": None,
        "expert_utilization_ratio": {"0": 0.25, "1": 0.75},
        "expert_specialization_score": {"0": {"1": 0.5}, "1": {"0": 1}},
    }


def test_run_json_says_who_what_and_since_when(observer):
    with observer.run("a b/c", config={"seed": 1, "layers": [1, 2]}) as run:
        record = json.loads((run.directory / "run.json").read_text())
        assert is_held(run.directory)
    assert run.directory.name == record["run_id"] == run.run_id
    assert run.run_id.startswith("a-b-c-")
    assert {key: record[key] for key in ("schema", "run_name", "state", "ended_at", "error", "pid", "config")} == {
        "schema": 1, "run_name": "a b/c", "state": "running", "ended_at": None, "error": None, "pid": os.getpid(),
        "config": {"seed": 1, "layers": [1, 2]},
    }  # fmt: skip
    assert record["started_at"].endswith("Z")
    assert not is_held(run.directory)


def test_the_end_is_written_as_finished_or_failed_with_the_error(observer):
    with observer.run() as fine:
        pass
    broken = observer.run()
    observer.log({"fitness_best": 1}, step=7)
    with pytest.raises(ValueError, match="boom"), broken:
        raise ValueError("boom")
    finished, failed = (json.loads((run.directory / "run.json").read_text()) for run in (fine, broken))
    assert (finished["state"], finished["error"]) == ("finished", None)
    assert (failed["state"], failed["error"]) == ("failed", "ValueError: boom")
    assert finished["ended_at"] >= finished["started_at"]
    events = lines(broken.directory / "events.jsonl")
    assert [event["event"] for event in events] == ["Run started", "Evolution step failed", "Run failed"]
    assert (events[1]["level"], events[1]["error_type"], events[1]["generation"]) == (
        "error",
        "ValueError",
        7,
    )


def test_a_person_who_interrupts_finishes_the_run(observer):
    with pytest.raises(KeyboardInterrupt), observer.run() as run:
        raise KeyboardInterrupt
    assert json.loads((run.directory / "run.json").read_text())["state"] == "finished"


def test_a_killed_process_leaves_running_in_run_json_and_a_free_lock(tmp_path):
    """Also where a forked worker of it lives on: the worker must not keep the dead run's lock."""
    script = textwrap.dedent("""
        import os, sys, time
        from dashboard.observer import Observer
        observer = Observer(runs_dir=sys.argv[1])
        observer.log({"fitness_best": 0.5}, step=1)
        if os.fork() == 0:
            observer.log({"fitness_best": 9}, step=2)
            observer.close()
            print("worker", os.getpid(), flush=True)
            time.sleep(120)
        os.wait()
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    worker = int(process.stdout.readline().split()[1])
    try:
        [run] = tmp_path.iterdir()
        assert is_held(run)
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()
        os.kill(worker, 0)  # lives
        assert not is_held(run)
        assert json.loads((run / "run.json").read_text())["state"] == "running"
        assert [line["generation"] for line in lines(run / "generations.jsonl")] == [1]
    finally:
        os.kill(worker, signal.SIGKILL)


def test_topology_is_written_whole_and_its_history_only_when_it_changed(observer):
    first, second = [[1, 0], [0, 1]], np.array([[True, True], [False, True]])
    with observer.run(config={"top_k": 2}) as run:
        observer.log({"fitness_best": 0.5}, step=1, topology=first)
        observer.log({"fitness_best": 0.6}, step=2, topology=first)
        observer.log({"fitness_best": 0.7}, step=3, topology={"matrix": second, "top_k": 1, "fitness": 0.75})
    history = lines(run.directory / "topologies.jsonl")
    assert history == [
        {"schema": 1, "run_id": run.run_id, "generation": 1, "fitness": 0.5, "tokens": 2, "experts": 2, "top_k": 2, "matrix": first},
        {"schema": 1, "run_id": run.run_id, "generation": 3, "fitness": 0.75, "tokens": 2, "experts": 2, "top_k": 1, "matrix": [[1, 1], [0, 1]]},
    ]  # fmt: skip
    assert json.loads((run.directory / "topology.json").read_text()) == history[-1]


def test_a_topology_that_is_no_matrix_is_counted_and_the_generation_is_kept(observer, look):
    with observer.run() as run:
        observer.log({"fitness_best": 0.5}, step=1, topology=[[1, 0], [1]])
        assert look(observer).value("observer_failures_total", error_type="ValueError") == 1
    assert len(lines(run.directory / "generations.jsonl")) == 1
    assert not (run.directory / "topology.json").exists()


def test_where_nothing_can_be_written_metrics_go_on(tmp_path, look, caplog):
    (tmp_path / "runs").write_text("a file, not a folder")
    observer = Observer(port=0, runs_dir=tmp_path / "runs")
    with observer.run() as run:
        observer.log({"fitness_best": 0.5}, step=1, topology=[[1]])
        found = look(observer)
    observer.close()
    assert run.directory is None
    assert found.value("evolution_fitness_best") == 0.5
    assert found.value("observer_failures_total", error_type="NotADirectoryError") == 1
    assert len(caplog.records) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the kernel's always-full device")
def test_a_full_disk_is_counted_each_time_said_once_and_metrics_go_on(observer, look, caplog):
    with observer.run() as run:
        run._files._generations._file.close()
        run._files._generations._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115 - closed with the run
        for step in (1, 2, 3):
            observer.log({"fitness_best": step}, step=step)
        found = look(observer)
    assert found.value("evolution_fitness_best") == 3
    assert found.value("observer_failures_total", error_type="OSError") == 3
    assert [os.strerror(errno.ENOSPC) in record.message for record in caplog.records] == [True]


def test_a_line_torn_by_a_full_disk_is_closed_off_before_the_next(tmp_path):
    class Fills:
        """A disk that takes five bytes of one write; a real one cannot be filled in a test."""

        name = "generations.jsonl"

        def __init__(self, file):
            self.file, self.room = file, 5

        def write(self, data):
            taken = data[: self.room] if self.room else data
            self.room = 0
            return self.file.write(taken)

    path = tmp_path / "generations.jsonl"
    out = Lines(path)
    out._file = Fills(out._file)
    with pytest.raises(OSError, match="disk full"):
        out.msg(b'{"generation":1}')
    out.msg(b'{"generation":2}')
    out._file = out._file.file
    out.close()
    assert path.read_bytes() == b'{"gen\n{"generation":2}\n'


def test_the_commit_is_read_from_a_checkout_a_packed_one_and_nowhere(tmp_path):
    assert git_sha(tmp_path) is None
    git = ["git", "-c", "user.email=a@example.org", "-c", "user.name=a", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert git_sha(inside) == commit
    subprocess.run([*git, "pack-refs", "--all"], check=True)
    assert git_sha(inside) == commit
    subprocess.run([*git, "checkout", "-q", "--detach"], check=True)
    assert git_sha(inside) == commit
