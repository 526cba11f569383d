"""The checks of where numbers come from, against real sources that are well, ill, silent and gone."""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.prometheus import Prometheus
from collectors.runs import RunsDirectory
from collectors.unavailable import Unavailable
from dashboard.health import Health, sources
from dashboard.settings import Settings
from tests.health.parts import answering, by_name, run, stamp, stored
from tests.services import wait_until


class Replica:
    def __init__(self, answer: dict | Unavailable) -> None:
        self._answer = answer

    def status(self) -> dict:
        if isinstance(self._answer, Unavailable):
            raise self._answer
        return self._answer


RUNS = {
    "evolves": ({"generations": [20, 15, 10, 5]}, True, None),
    "has told nothing yet": ({}, False, "stalled"),
    "stands still": ({"generations": [1000, 999, 998]}, False, "stalled"),
    "is slow and in time": ({"generations": [2000, 1400, 800]}, True, None),
    "was killed": ({"generations": [5], "lock": False}, False, "died"),
    "finished long ago": ({"generations": [9000], "state": "finished", "lock": False}, True, None),
    "is paused": ({"generations": [9000], "state": "paused"}, True, None),
    "failed": ({"generations": [5], "state": "failed", "lock": False}, False, "failed"),
}


@pytest.mark.parametrize(("made", "healthy", "error_type"), RUNS.values(), ids=RUNS)
def test_evolution_reads_the_newest_runs_heartbeat(
    tmp_path: Path, made: dict, healthy: bool, error_type: str | None
):
    release = run(tmp_path / "r1", **made)
    try:
        seen = sources.evolution(RunsDirectory(tmp_path), None)
    finally:
        release()
    assert (seen.healthy, seen.error_type) == (healthy, error_type)


def test_without_any_run_evolution_does_not_apply(tmp_path: Path):
    seen = sources.evolution(RunsDirectory(tmp_path), None)
    assert (seen.healthy, seen.applies) == (True, False)


def vector(*samples: tuple[dict, float]) -> dict:
    result = [{"metric": labels, "value": [time.time(), str(value)]} for labels, value in samples]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def groups(*rules: dict, evaluated: float = 1.0) -> Callable[[], dict]:
    """An answer whose age counts from when it is asked for: a test may run long after this file was read."""

    def answer() -> dict:
        group = {"name": "g", "interval": 15, "lastEvaluation": stamp(evaluated), "rules": list(rules)}
        return {"status": "success", "data": {"groups": [group]}}

    return answer


RULES = {
    "evaluated": (groups({"name": "A", "health": "ok"}), True, None),
    "failing": (
        groups({"name": "A", "health": "ok"}, {"name": "B", "health": "err"}),
        False,
        "not-evaluated",
    ),
    "late": (groups({"name": "A", "health": "ok"}, evaluated=300), False, "not-evaluated"),
    "none loaded": ({"status": "success", "data": {"groups": []}}, True, None),
    "not told": (404, True, None),
    "broken": (500, False, "http-500"),
}


@pytest.mark.parametrize(("answer", "healthy", "error_type"), RULES.values(), ids=RULES)
def test_rules_that_are_not_evaluated_are_no_silence(
    tmp_path: Path, answer: object, healthy: bool, error_type: str | None
):
    with answering({"/api/v1/rules": answer() if callable(answer) else answer}) as url:
        prometheus = Prometheus(url)
        seen = by_name(Health(stored(tmp_path), prometheus=prometheus))["rules"]
        prometheus.close()
    assert (seen.healthy, seen.error_type) == (healthy, error_type)


def test_a_clock_that_is_apart_is_unhealthy(tmp_path: Path):
    for skew, healthy in ((2.0, True), (-90.0, False), (90.0, False)):
        with answering({"/api/v1/query": vector(({}, time.time() + skew))}) as url:
            prometheus = Prometheus(url)
            seen = sources.clock_skew(prometheus)
            prometheus.close()
        assert seen.healthy is healthy
        assert seen.details["skew_seconds"] == pytest.approx(skew, abs=1)


def test_a_prometheus_that_refuses_or_says_nothing_is_unhealthy_within_the_time_of_its_check(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    prometheus = Prometheus(closed)
    health = Health(stored(tmp_path), prometheus=prometheus)
    _, said = health.report(verbose=True)
    prometheus.close()
    assert {"prometheus", "scrape", "rules", "clock_skew"} <= set(said["failed_checks"])
    assert said["checks"]["prometheus"]["error_type"] == "refused"
    assert closed not in json.dumps(said)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        prometheus = Prometheus(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=2.0)
        began = time.monotonic()
        seen = by_name(Health(stored(tmp_path), prometheus=prometheus, timeout_seconds=0.5))["prometheus"]
        assert time.monotonic() - began < 1.5
        assert (seen.healthy, seen.error_type) == (False, "timeout")
        wait_until(
            lambda: not [t for t in threading.enumerate() if t.name.startswith("check-")],
            what="the checks to end",
        )
        prometheus.close()


@pytest.mark.parametrize(
    ("answers", "healthy", "error_type"),
    [
        ([{"cluster": {"status": "ready"}}, {"cluster": {"status": "disabled"}}], True, None),
        ([{"cluster": {"status": "settling"}}], False, "not-settled"),
        ([{"cluster": {"status": "ready"}}, Unavailable("gone", kind="refused")], False, "refused"),
    ],
)
def test_every_alertmanager_replica_counts(answers: list, healthy: bool, error_type: str | None):
    seen = sources.alertmanager([Replica(answer) for answer in answers])
    assert (seen.healthy, seen.error_type) == (healthy, error_type)


def test_logs_that_are_gone_or_hold_no_structure_are_unhealthy(tmp_path: Path):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text('{"event":"a"}\n')
    bad.write_text("Traceback\n  File\n")
    assert sources.log(Settings(log_files=(str(good),)), None).healthy
    assert sources.log(Settings(log_files=(str(bad),)), None).error_type == "not-json"
    assert (
        sources.log(Settings(log_files=(str(good), f"{tmp_path}/none*.jsonl")), None).error_type == "missing"
    )
    assert sources.log(Settings(), None).applies is False


@pytest.mark.services
def test_against_a_real_prometheus_a_scraped_router_is_well_and_a_gone_one_is_not(
    tmp_path: Path, prometheus, scrape_target
):
    now = time.time()
    target = scrape_target(
        f'evolution_run_active{{run_id="r1"}} 1\nevolution_last_generation_timestamp_seconds{{run_id="r1"}} {now}\n'
        'evolution_generation_duration_seconds{run_id="r1"} 2\n'
    )
    rule = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: vector(0) > 1\n"
    server = prometheus(targets={"moe-router": target.target}, rules=[rule])
    server.wait_for("evolution_run_active")
    client = Prometheus(server.url)
    health = Health(stored(tmp_path), prometheus=client, keep_seconds=0)
    checks = by_name(health)
    for name in ("prometheus", "scrape", "rules", "clock_skew", "evolution"):
        assert (checks[name].healthy, checks[name].applies) == (True, True), checks[name]
    assert checks["scrape"].details["targets_up"] == 1
    assert (
        by_name(Health(stored(tmp_path, job="other"), prometheus=client))["scrape"].error_type == "no-target"
    )
    target.text = target.text.replace(str(now), str(now - 1000))
    wait_until(lambda: by_name(health)["evolution"].error_type == "stalled", what="the stall to be seen")
    client.close()
