"""The GPU job where there is no GPU: its parts at small sizes on the CPU, the census of NVML against the stand-in library."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.benchmark import gpu_drill, gpu_job, gpu_layers
from tests.benchmark.gpu_job import Ask
from tests.fakes.nvml.driver import driver


def ask(folder: Path, launches: int = 1) -> Ask:
    return Ask("cpu", folder, time.monotonic() + 600, launches)


def test_every_getter_of_nvml_is_recorded_with_its_answer_or_its_return_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with driver(tmp_path) as board:
        board.gpu(0, power=412_500, energy=None)
        monkeypatch.setitem(sys.modules, "pynvml", board.nvml)
        found = gpu_job.census(ask(tmp_path))
    answers = found["answers"]
    assert answers["nvmlDeviceGetPowerUsage"]["value"] == 412_500
    assert (
        answers["nvmlDeviceGetPowerUsage"]["worst_us"] >= answers["nvmlDeviceGetPowerUsage"]["median_us"] > 0
    )
    assert answers["nvmlDeviceGetMemoryInfo"]["value"]["total"] == 80 * 2**30
    assert answers["nvmlDeviceGetTotalEnergyConsumption"]["return_code"] == 3
    assert len(answers) > 60
    json.dumps(found)
    assert "getters answer" in gpu_job.census_table(found)[0]


def test_the_injected_arm_is_named_and_equal_code_is_not(tmp_path: Path):
    rng = np.random.default_rng(3)
    launches = [
        {
            "arm": arm,
            "clock": "host",
            "canary": {"small": {"p50_seconds": 1e-6 * (1 + 0.001 * rng.standard_normal())}},
            "cells": {
                f"tokens={tokens}": {
                    "p50_seconds": 1e-3 * (1 + 0.001 * rng.standard_normal()) * (1.03 if arm == "injected" and tokens == 16 else 1)
                }
                for tokens in (4, 16, 64)
            },
        }
        for _ in range(5)
        for arm in ("A", "B", "injected")
    ]  # fmt: skip
    (tmp_path / "launches.json").write_text(json.dumps({"launches": launches}))
    found = gpu_job.judged(ask(tmp_path))
    assert {cell["word"] for cell in found["A/A"]["cells"]} <= {"same", "inconclusive"}
    words = {cell["cell"]: cell["word"] for cell in found["3 % injected"]["cells"]}
    assert words.pop("tokens=16") == "suspect"
    assert set(words.values()) <= {"same", "inconclusive"}
    assert any("| 3 % injected | tokens=16 | suspect | 1.03" in line for line in gpu_job.judged_table(found))


def test_the_layer_is_held_against_rates_of_its_own_process(tmp_path: Path):
    found = gpu_layers.layers(ask(tmp_path))
    assert not found["left_out"]
    for row in found["rows"]:
        assert row["error_relative"] <= row["error_limit"]
        assert row["share_of_matmul"] == pytest.approx(
            row["flops_per_second"] / row["matmul_flops_per_second"]
        )
        assert row["transformers"]
    assert len(gpu_layers.layers_table(found)) == 2 + len(found["rows"])


def test_the_drill_ends_runs_under_a_real_supervisor(tmp_path: Path):
    found = gpu_drill.drill(ask(tmp_path))
    assert [(c["cell"], c["status"]) for c in found["faults"]["cells"]] == [
        ("case=behaves", "ok"),
        ("case=does not fit", "out of memory"),
        ("case=crashes", "crashed"),
    ]
    [cancel] = found["cancels"]
    assert cancel["state"] == "cancelled"
    assert cancel["to_end_seconds"] is not None
    assert found["memory"] == gpu_job.NEEDS_GPU
    assert cancel["held_bytes"] is None


def test_the_command_writes_its_files_and_invents_nothing(tmp_path: Path):
    words = ["--device", "cpu", "--only", "nvml,launches,judged", "--launches", "1", "--minutes", "10"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmark.gpu_job", "-o", str(tmp_path), *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "judged.json", "launches.json", "machine.json", "nvml.json", "table.md",
    ]  # fmt: skip
    found = json.loads((tmp_path / "launches.json").read_text())
    assert [launch["arm"] for launch in found["launches"]] == ["A", "B", "injected"]
    assert all(launch["cells"]["tokens=16"]["p50_seconds"] > 0 for launch in found["launches"])
    table = (tmp_path / "table.md").read_text()
    assert "fewer than two launches of an arm" in table  # one launch a side proves nothing
    assert "needs a GPU" in table or "getters answer" in table
    assert len(gpu_job.parts()) + 2 <= 8  # with machine.json and table.md
