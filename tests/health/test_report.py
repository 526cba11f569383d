"""The report: the guide's shape, side by side, once for everybody, and what does not apply is no fault."""

import json
import sqlite3
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

from dashboard import __version__
from dashboard.health import Health
from tests.health.parts import SqliteStore, by_name, sampling, stored
from tests.services import wait_until

GUIDE = ("application", "database", "gpu", "memory", "disk", "evolution")


def test_health_has_the_guides_shape_and_its_six_checks(tmp_path: Path):
    with sampling() as sampler:
        health = Health(stored(tmp_path), sampler=sampler, store=SqliteStore(tmp_path / "s.sqlite"))
        status, said = health.report()
    assert (status, said["status"], said["version"]) == (200, "healthy", __version__)
    assert datetime.fromisoformat(said["timestamp"]).utcoffset() == timedelta(0)
    assert tuple(said["checks"])[:6] == GUIDE
    assert all(check["healthy"] is True and check["message"] for check in said["checks"].values())
    assert set(said["checks"]["memory"]) == {
        "healthy",
        "message",
        "memory_percent",
        "memory_available_gb",
        "memory_total_gb",
    }
    assert "failed_checks" not in said
    json.dumps(said, allow_nan=False)


def test_a_failed_check_is_503_and_named(tmp_path: Path):
    class Broken:
        def probe(self) -> None:
            raise sqlite3.OperationalError("unable to open database file /secret/path")

    status, said = Health(stored(tmp_path), store=Broken()).report(verbose=True)
    assert (status, said["status"], said["failed_checks"]) == (503, "unhealthy", ["database"])
    assert said["checks"]["database"]["error_type"] == "OperationalError"
    assert "/secret/path" not in json.dumps(said), "the answer says what kind of error, not what is inside"


def test_checks_run_side_by_side_and_one_that_hangs_delays_only_itself(tmp_path: Path):
    release, calls = threading.Event(), []

    class Hanging:
        def probe(self) -> None:
            calls.append(1)
            release.wait(20)

    health = Health(stored(tmp_path), store=Hanging(), timeout_seconds=0.3, keep_seconds=0)
    try:
        began = time.monotonic()
        first = by_name(health)
        assert time.monotonic() - began < 1.5
        assert (first["database"].healthy, first["database"].error_type) == (False, "timeout")
        assert first["memory"].healthy
        by_name(health)
        by_name(health)
        assert len(calls) == 1, "a check that hangs keeps one thread, however often it is asked"
    finally:
        release.set()
    wait_until(lambda: by_name(health)["database"].healthy, what="the check to recover")


def test_a_storm_of_probes_asks_each_source_once(tmp_path: Path):
    calls = []

    class Counting:
        def probe(self) -> None:
            calls.append(1)
            time.sleep(0.2)

    health = Health(stored(tmp_path), store=Counting())
    threads = [threading.Thread(target=health.report) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_what_is_not_configured_does_not_apply_and_is_no_fault(tmp_path: Path):
    checks = by_name(Health(stored(tmp_path)))
    assert {name for name, check in checks.items() if not check.applies} == {
        "database", "gpu", "evolution", "prometheus", "scrape", "rules", "alertmanager", "clock_skew", "sampler", "log",
        "benchmarks", "loki", "traces", "pushes",
    }  # fmt: skip
    assert all(check.healthy for check in checks.values())
