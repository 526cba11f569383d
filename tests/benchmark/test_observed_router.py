"""The newest observed run as a target: found, snapshotted, measured with its own weights, or refused with a reason."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from dashboard.benchmark.targets import Target
from examples.evolving_router.model import DigitsRouter
from tests.benchmark.conftest import Room


def write_run(
    room: Room, name: str, *, checkpoint: bool = True, config: dict[str, Any] | None = None
) -> Path:
    """A run directory as the observer and the example leave it."""
    run = room.path / "runs" / name
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"run_id": name, "config": config or {}}))
    matrix = [[int((t + e) % 3 == 0) for e in range(8)] for t in range(16)]
    topology = {
        "schema": 1,
        "run_id": name,
        "generation": 7,
        "tokens": 16,
        "experts": 8,
        "top_k": 2,
        "matrix": matrix,
    }
    (run / "topology.json").write_text(json.dumps(topology))
    if checkpoint:
        torch.save({"experts": DigitsRouter(experts=8).state_dict(), "config": {}}, run / "checkpoint.pt")
    return run


def target(room: Room) -> Target:
    return next(found for found in room.benchmarks.targets() if found.name == "observed-router")


def test_the_newest_run_is_measured_with_its_own_weights(room: Room):
    old = write_run(room, "old")
    os.utime(old / "topology.json", (1, 1))
    run = write_run(room, "new")
    assert "new, 16 positions × 8 experts, top-2" in target(room).about
    run_id = room.start("observed-router")
    (run / "topology.json").unlink()  # what was started is measured, whatever the router does meanwhile
    view = room.wait(run_id)
    assert view.state == "done", view.error
    assert view.report is not None
    for cell in view.report["cells"]:
        assert cell["status"] == "ok", cell["reason"]
        assert cell["params"]["sequence"] == 16
        assert cell["details"]["weights"] == "the run's own"
        assert cell["details"]["observed_run"] == "new"
        assert cell["details"]["generation"] == 7
        assert cell["error_relative"] < 1e-5


def test_without_a_checkpoint_the_configuration_must_say_the_sizes(room: Room):
    write_run(room, "bare", checkpoint=False)
    assert "does not say model_size" in target(room).why_not
    write_run(room, "sized", checkpoint=False, config={"d_model": 64, "hidden_dim": 128})
    assert target(room).available
    assert target(room).arguments == {"observed_run": "sized", "model_size": 64, "expert_size": 128}


@pytest.mark.parametrize("broken", ["", "{", '{"matrix": []}', '{"matrix": [[1]], "top_k": "two"}', "[1]"])
def test_a_topology_that_cannot_be_read_is_a_reason_not_a_crash(room: Room, broken: str):
    run = write_run(room, "broken")
    (run / "topology.json").write_text(broken)
    assert "cannot be read" in target(room).why_not
