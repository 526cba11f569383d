"""The example's own generation step as a benchmark target: real work, the same fitness both ways, and the speed-up shown."""

import json
import os
import subprocess
import sys

from tests.benchmark.conftest import Room

TARGET = "examples.evolving_router.benchmark:generation"


def test_a_real_generation_is_measured_and_caching_is_faster_at_equal_fitness(room: Room):
    done = subprocess.run(
        [sys.executable, "-m", "dashboard.cli", "benchmark", "run", TARGET, "--device", "cpu", "--json"],
        env=os.environ
        | {
            "MOE_DASHBOARD_DATA_DIR": str(room.path / "data"),
            "MOE_DASHBOARD_BENCHMARK_TARGETS": TARGET,
            "TMPDIR": str(room.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    cells = {
        cell["params"]["evaluation"]: cell
        for cell in json.loads(done.stdout.splitlines()[-1])["report"]["cells"]
    }
    assert cells["ordinary"]["error_relative"] == cells["cached"]["error_relative"] == 0
    # CPU time: a busy machine makes both wait, and neither work more
    assert cells["cached"]["cpu_p50_seconds"] < cells["ordinary"]["cpu_p50_seconds"]
    assert cells["cached"]["samples_per_second"] > 0
    assert set(cells["cached"]["details"]["phase_seconds"]) >= {"evaluate", "select", "crossover", "mutate"}
