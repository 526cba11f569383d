"""Which runs there are and how each stands: finished is not down, silent is not finished, dead is not running."""

import fcntl
import socket

import pytest

from collectors.runs import RunsDirectory
from dashboard.feed import RunList, Window
from tests.feed import history

ALL = Window("now-4h")


def run(runs: RunList, run_id: str = "alpha"):
    return next(one for one in runs.runs if one.run_id == run_id)


def test_runs_of_prometheus_alone(past, feed_at):
    runs = feed_at(past.url).runs(ALL)
    assert runs.unavailable == ()
    alpha = run(runs)
    assert (alpha.name, alpha.state, alpha.active) == ("Alpha", "finished", False)
    assert alpha.config == {"num_experts": "4", "top_k": "1"}
    assert alpha.sources == {"prometheus"}
    assert alpha.instance == "a:8000"
    assert alpha.last_seen == pytest.approx(history.FINISHED + 900, abs=120)
    beta = run(runs, "b:8000")
    assert (beta.state, beta.active, beta.labelled) == ("running", True, False)
    assert "no state" in beta.reason


def test_a_run_that_fell_silent_is_not_called_running(past, feed_at, clock):
    clock.now = history.FINISHED - 60
    assert run(feed_at(past.url).runs(ALL)).state == "running"
    clock.now = history.END + 1200  # the history ends without a word
    beta = run(feed_at(past.url).runs(ALL), "b:8000")
    assert (beta.state, beta.active) == ("unknown", False)
    assert "last saw it" in beta.reason


def test_the_directory_and_prometheus_are_one_list(past, feed_at, alpha_folder):
    alpha = run(feed_at(past.url, RunsDirectory(alpha_folder)).runs(ALL))
    assert alpha.sources == {"prometheus", "log"}
    assert (alpha.started_at, alpha.ended_at) == (history.START, history.FINISHED)
    assert alpha.best_fitness == pytest.approx(history.best(int(5400 / 0.5)))
    assert alpha.config["git_sha"] == "abc"


def test_a_process_that_died_without_a_word_has_failed(feed_at, tmp_path):
    folder = history.write_run(tmp_path, state="running", host=socket.gethostname())
    dead = run(feed_at(None, RunsDirectory(tmp_path)).runs(ALL))
    assert (dead.state, dead.active) == ("failed", False)
    assert "without a word" in dead.reason
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        alive = run(feed_at(None, RunsDirectory(tmp_path)).runs(ALL))
    assert (alive.state, alive.active) == ("running", True)


def test_a_run_of_another_host_that_writes_no_more_is_unknown(feed_at, tmp_path, clock):
    history.write_run(tmp_path, state="running", host="elsewhere")
    log = tmp_path / "alpha" / "generations.jsonl"
    clock.now = log.stat().st_mtime + 10
    assert run(feed_at(None, RunsDirectory(tmp_path)).runs(ALL)).state == "running"
    clock.now += 3600
    assert run(feed_at(None, RunsDirectory(tmp_path)).runs(ALL)).state == "unknown"


def test_a_source_that_is_off_is_named_beside_what_the_other_has(gate, feed_at, alpha_folder, tmp_path):
    gate.shut = True
    runs = feed_at(gate.url, RunsDirectory(alpha_folder)).runs(ALL)
    assert run(runs).state == "finished"
    assert [why.kind for why in runs.unavailable] == ["http-503"]
    runs = feed_at(None, RunsDirectory(tmp_path / "none")).runs(ALL)
    assert (runs.runs, [why.kind for why in runs.unavailable]) == ((), ["no-directory"])


def test_the_topology_comes_from_the_directory(feed_at, alpha_folder):
    assert feed_at(None, RunsDirectory(alpha_folder)).topology("alpha") is None
    assert feed_at(None, None).topology("alpha") is None
    assert feed_at(None, RunsDirectory(alpha_folder)).topology("../etc") is None
