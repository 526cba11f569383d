"""The health check of benchmarks under way."""

import os
import time

from dashboard.health.benchmarks import SILENT_LIMIT_SECONDS, under_way
from tests.benchmark.conftest import Room


def test_a_run_under_way_is_counted_and_one_that_fell_silent_is_a_fault(room: Room):
    assert under_way(None).applies is False
    assert under_way(room.benchmarks).applies is False
    first = room.start("ignores_sigterm")
    room.event(first, "cell started")
    second = room.start("good")
    check = under_way(room.benchmarks)
    assert (check.healthy, check.applies) == (True, True)
    assert (check.details["running"], check.details["queued"]) == (1, 1)
    long_ago = time.time() - 2 * SILENT_LIMIT_SECONDS
    os.utime(room.benchmarks.root / first / "events.jsonl", (long_ago, long_ago))
    check = under_way(room.benchmarks)
    assert (check.healthy, check.error_type) == (False, "stale")
    for run_id in (second, first):
        room.benchmarks.cancel(run_id, "the test")
        assert room.wait(run_id).state == "cancelled"
    assert under_way(room.benchmarks).applies is False
