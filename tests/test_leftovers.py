"""What a killed demo leaves behind is ended by the next one, and nothing else is."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dashboard import leftovers
from dashboard.processes import Child, Identity
from tests import services


def test_what_was_left_is_ended_but_a_reused_pid_is_not(tmp_path):
    """The state file is believed only where pid, start time and boot agree."""
    left = Child("left", ["sleep", "600"], log=tmp_path / "left.log")
    bystander = Child("bystander", ["sleep", "600"], log=tmp_path / "bystander.log")
    with left, bystander:
        mine, other = Identity.of(left.pid), Identity.of(bystander.pid)
        reused = replace(other, started_ticks=other.started_ticks + 1)
        (tmp_path / "state.json").write_text(json.dumps({"router": asdict(mine), "exporter": asdict(reused)}))
        said: list[str] = []
        leftovers.clear(tmp_path, said.append)
        services.wait_until(lambda: not left.running, 5, "the leftover to end")
        assert bystander.running
        assert said == [f"Stopping router (pid {mine.pid}), left behind by an earlier demo"]


def test_a_leftover_that_ignores_the_request_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "_GRACE_SECONDS", 0.3)
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    with Child("router", ["sh", "-c", script], log=tmp_path / "log") as left:
        left.wait_until(lambda: "ready" in left.tail(), timeout_seconds=10)
        leftovers.remember(tmp_path, {"router": left})
        leftovers.clear(tmp_path, lambda _: None)
        services.wait_until(lambda: not left.running, 5, "the leftover to die")


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"router": 3}', '{"router": {"pid": 1}}'])
def test_a_torn_state_file_is_no_reason_not_to_start(tmp_path, torn):
    (tmp_path / "state.json").write_text(torn)
    leftovers.clear(tmp_path, lambda _: None)


def test_benchmarks_under_way_are_cancelled(tmp_path: Path):
    pytest.importorskip("torch")
    from dashboard.benchmark.runs import Benchmarks

    benchmarks = Benchmarks(tmp_path / "data")
    run_id = benchmarks.start("reference-moe", profile="quick", device="cpu", owner="test")
    said: list[str] = []
    began = time.monotonic()
    leftovers.cancel_benchmarks(tmp_path / "data", said.append)
    assert said == [f"Cancelling benchmark {run_id}"]
    assert benchmarks.run(run_id).state == "cancelled"
    assert time.monotonic() - began < 10
