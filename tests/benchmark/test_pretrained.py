"""Hugging Face MoE configurations as targets: random weights, every experts implementation, prefill and decode."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.benchmark import targets
from dashboard.benchmark.runs import Benchmarks
from dashboard.benchmark.spec import Cell
from tests.benchmark.conftest import SHORT, Room, opened

TINY = {
    "model_type": "qwen3_moe", "hidden_size": 32, "moe_intermediate_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
    "num_experts": 4, "num_experts_per_tok": 2, "vocab_size": 64,
}  # fmt: skip
MIXTRAL = (
    "mixtral hidden_size=32 intermediate_size=32 num_hidden_layers=1 num_attention_heads=2"
    " num_key_value_heads=2 num_local_experts=4 vocab_size=64 sliding_window=8"
)
PATIENT = replace(SHORT, limit_seconds=240, stall_seconds=120, cell_seconds=0.2, precision=0.2, min_calls=5)


class ModelRoom(Room):
    def another(self) -> Benchmarks:
        config = self.path / "config.json"
        config.write_text(json.dumps(TINY))
        models = {"tiny-qwen": str(config), "tiny-mixtral": MIXTRAL}
        return Benchmarks(self.path / "data", [], lease_dir=self.path / "leases", models=models)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRoom]:
    path = tmp_path_factory.mktemp("models")
    with opened(path, ModelRoom(path)) as made:
        yield made


@pytest.mark.parametrize("name", ["tiny-qwen", "tiny-mixtral"])
def test_every_experts_implementation_is_measured_and_right_in_prefill_and_decode(room: ModelRoom, name: str):
    run_id = room.benchmarks.start(name, device="cpu", adjust=PATIENT)
    view = room.wait(run_id, 240)
    assert view.state == "done", view.error
    assert view.report is not None
    cells = view.report["cells"]
    assert {(c["params"]["phase"], c["params"]["experts"]) for c in cells} == {
        (phase, experts) for phase in ("prefill", "decode") for experts in ("grouped_mm", "batched_mm", "eager")
    }  # fmt: skip
    assert [c["status"] for c in cells] == ["ok"] * 6, [c["reason"] for c in cells]
    for cell in cells:
        assert cell["details"]["error_against"] == "float64"
        assert cell["error_relative"] < 1e-4
        assert cell["tokens"] == (16 if cell["params"]["phase"] == "prefill" else 1)
        assert cell["details"]["experts"] == 4
    if name == "tiny-qwen":  # the run keeps the configuration it measured
        kept = room.benchmarks.directory(run_id).path / "config.json"
        assert json.loads(kept.read_text()) == TINY


def test_a_compiled_cell_gives_the_same_answer():
    from dashboard.benchmark.pretrained import model, torch

    params = {"experts": "batched_mm", "batch": 1, "sequence": 8, "dtype": "float32", "compile": "eager"}
    for phase in ("prefill", "decode"):
        workload = model(Cell({**params, "phase": phase}), "cpu", _arguments())
        prompt = workload.make_input(3)
        first, again = workload.call(prompt), workload.call(prompt)
        assert torch.equal(first, again)  # a decoding step leaves the cache as it found it
        assert workload.error is not None
        assert workload.error(prompt, again) < 1e-4


def test_a_wrong_answer_is_seen():
    from dashboard.benchmark.pretrained import model

    params = {"phase": "decode", "experts": "eager", "batch": 2, "sequence": 8, "dtype": "float32"}
    workload = model(Cell(params), "cpu", _arguments())
    prompt = workload.make_input(1)
    assert workload.error is not None
    assert workload.error(prompt, workload.call(prompt) * 1.01) > workload.error_limit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model_type": "llama", "fields": '{"hidden_size": 32, "num_attention_heads": 2}'}, "no experts"),
        ({"model_type": "no_such_model", "fields": "{}"}, "no model_type 'no_such_model'"),
    ],
)
def test_what_is_no_moe_is_refused_in_one_sentence(arguments: dict[str, str], said: str):
    from dashboard.benchmark.pretrained import model

    cell = Cell({"phase": "prefill", "experts": "eager", "batch": 1, "sequence": 8, "dtype": "float32"})
    with pytest.raises(ValueError, match=said):
        model(cell, "cpu", arguments)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/nowhere/config.json", "cannot be read as a model configuration"),
        ("mixtral hidden_size", "a model_type and fields with values"),
    ],
)
def test_a_configuration_that_cannot_be_read_says_so_before_anything_starts(value: str, said: str):
    assert said in targets.resolve("m", None, {"m": value}).why_not


def test_without_transformers_the_target_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(targets, "find_spec", lambda name: None)
    found = targets.resolve("m", None, {"m": MIXTRAL})
    assert not found.available
    assert "moe-router-dashboard[transformers]" in found.why_not


def test_code_of_a_stranger_named_in_a_configuration_is_never_run(tmp_path: Path):
    from dashboard.benchmark.pretrained import model

    file = tmp_path / "config.json"
    file.write_text(json.dumps(TINY | {"auto_map": {"AutoModelForCausalLM": "evil--modeling.Evil"}}))
    cell = Cell({"phase": "prefill", "experts": "eager", "batch": 1, "sequence": 8, "dtype": "float32"})
    workload = model(cell, "cpu", {"config_file": str(file)})
    assert workload.details["model_type"] == "qwen3_moe"


def _arguments() -> dict[str, str]:
    return {
        "model_type": "qwen3_moe",
        "fields": json.dumps({k: v for k, v in TINY.items() if k != "model_type"}),
    }
