"""What looks changed is measured again by itself, and the verdict stands on what the new launches say."""

import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dashboard.benchmark import exports, judging
from dashboard.benchmark.directory import RunDirectory
from dashboard.benchmark.progress import follow
from dashboard.benchmark.spec import Device, Profile, Spec
from tests.benchmark.conftest import FACTORIES, SHORT, Room

FIVE = replace(SHORT, launches=5, limit_seconds=120)


def run(room: Room, profile: Profile = FIVE, **changed: object) -> RunDirectory:
    """A run whose history says that case b was twenty times as fast."""
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%SZ}-good-quick-abcdef"
    spec = Spec(
        run_id=run_id, target=f"{FACTORIES}:good", factory=f"{FACTORIES}:good", profile=profile,
        device=Device(kind="cpu"), cells=None, created_at=now.isoformat(), mark=run_id,
        lease_directory=str(room.path / "leases"), working_directory=".", **changed,
    )  # fmt: skip
    directory = RunDirectory(room.path / "data/benchmarks" / run_id)
    directory.path.parent.mkdir(parents=True)
    directory.create(spec)
    subprocess.run(
        [sys.executable, "-m", "tests.benchmark.suspicious", str(directory.path)], check=True, timeout=200
    )
    return directory


def test_a_cell_that_looks_slower_is_measured_again_alone_and_the_suspicion_stands_if_it_is_seen_twice(
    room: Room,
):
    directory = run(room)
    report = directory.report()
    assert report is not None, directory.error()
    events, _ = directory.events()
    [suspects] = [event for event in events if event["event"] == "suspects"]
    assert "case=b" in suspects["cells"]
    again = [e for e in events if e["event"] == "launch started" and e.get("again")]
    assert len(again) == suspects["launches"] == 5
    measured = {e["key"] for e in events if e["event"] == "cell started" and e["launch"] >= 5}
    assert measured == set(suspects["cells"])
    cell = next(cell for cell in report["cells"] if cell["key"] == "case=b")
    assert [launch["launch"] for launch in cell["launches"]] == [0, 1, 2, 3, 4]
    assert [launch["launch"] for launch in cell["again"]] == [5, 6, 7, 8, 9]
    assert report["launches_done"] == 5
    verdict = judging.from_json(report["verdict"])
    [b] = [one for one in verdict.verdicts if one.key == "case=b"]
    assert b.word == "regressed"
    assert "Seen twice" in b.sentence
    assert verdict.word == "regressed"
    assert any("measured again in 5 launches" in note for note in report["notes"])
    assert 'message="regressed: ' in exports.as_junit("good", report, "")
    over = [event for event in events if event["event"] != "ended"]
    progress = follow(directory.spec(), over, "running", over[-1]["monotonic_seconds"])
    assert progress.cells_total == 10 + 5 * len(suspects["cells"])
    assert progress.cells_done == progress.cells_total
    [summary] = room.benchmarks.runs()
    assert summary.verdict == "regressed"


def test_it_can_be_switched_off_and_a_quick_run_is_never_judged(room: Room):
    report = run(room, recheck=False).report()
    assert report is not None
    assert not any("again" in cell for cell in report["cells"])
    assert report["verdict"]["word"] == "regressed"


def test_a_run_of_one_launch_is_not_judged(room: Room):
    report = run(room, SHORT).report()
    assert report is not None
    assert "verdict" not in report


# --- the verdict itself, on reports with known noise


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    def cell(key: str, factor: float) -> dict[str, Any]:
        launches = [
            {
                "launch": i, "p50_seconds": factor * (1 + 0.001 * (-1) ** i), "host_p50_seconds": factor,
                "cpu_p50_seconds": factor, "n": 100, "preempted_share": 0.0, "canary_seconds": {},
            }
            for i in range(5)
        ]  # fmt: skip
        return {"key": key, "params": {"case": key}, "status": "ok", "reason": "", "clock": "host",
                "preempted_share": 0.0, "launches": launches, "k": 5}  # fmt: skip

    return {
        "target": "t", "spec_hash": "h", "environment": {}, "launches_planned": 5,
        "launches": [{"launch": i, "canary_seconds": {"copy": 1.0}, "again": i >= 5} for i in range(10)],
        "cells": [cell("a", 1.0), cell("b", 1.0)],
    }  # fmt: skip


def changed(report: dict[str, Any], key: str, factor: float, again: float | None = None) -> dict[str, Any]:
    new = deepcopy(report)
    for cell in new["cells"]:
        if cell["key"] == key:
            base = deepcopy(cell["launches"])
            if again is not None:
                cell["again"] = [scaled(launch, again, 5) for launch in base]
            cell["launches"] = [scaled(launch, factor) for launch in base]
    return new


def scaled(launch: dict[str, Any], factor: float, further: int = 0) -> dict[str, Any]:
    times = {name: launch[name] * factor for name in ("p50_seconds", "host_p50_seconds", "cpu_p50_seconds")}
    return launch | times | {"launch": launch["launch"] + further}


@pytest.mark.parametrize("runs", [1, 6])
def test_chance_is_not_confirmed_by_looking_again(report: dict[str, Any], runs: int):
    slow = changed(report, "b", 1.1)
    earlier = [report] * runs
    assert judging.suspects(earlier, slow) == ["b"]
    found = judging.judge(earlier, changed(report, "b", 1.1, again=1.0))
    assert found is not None
    [a, b] = found.verdicts
    assert b.word == "same"
    assert "+10.0% at first, but not in 5 further launches" in b.sentence
    assert found.word == a.word == "same"


@pytest.mark.parametrize(("runs", "word"), [(1, "suspect"), (6, "regressed")])
def test_what_is_seen_twice_keeps_its_word_and_no_more(report: dict[str, Any], runs: int, word: str):
    found = judging.judge([report] * runs, changed(report, "b", 1.1, again=1.08))
    assert found is not None
    assert found.verdicts[1].word == found.word == word
    assert found.verdicts[1].ratio == pytest.approx(1.08)  # of the new launches alone


def test_the_other_way_round_is_no_confirmation(report: dict[str, Any]):
    found = judging.judge([report] * 6, changed(report, "b", 1.1, again=0.9))
    assert found is not None
    assert found.verdicts[1].word == "inconclusive"


def test_without_anything_to_compare_with_there_is_no_verdict(report: dict[str, Any]):
    assert judging.judge([], report) is None
    assert judging.suspects([], report) == []


def test_a_machine_that_changed_makes_nothing_suspicious(report: dict[str, Any]):
    slow = changed(report, "b", 1.5) | {"environment": {"torch": "9"}}
    assert judging.suspects([report] * 6, slow) == []
    found = judging.judge([report] * 6, slow)
    assert found is not None
    assert found.word == "incomparable"
    assert "torch was None and is 9" in found.sentence


def test_a_verdict_survives_its_report(report: dict[str, Any]):
    found = judging.judge([report] * 6, changed(report, "b", 1.1))
    assert found is not None
    assert judging.from_json(judging.as_json(found)) == found
