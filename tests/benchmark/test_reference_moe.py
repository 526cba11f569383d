"""The reference layer against a loop in float64 that takes one token and one expert after the other."""

from pathlib import Path
from typing import Any

import pytest
import torch

from dashboard.benchmark import reference_moe
from dashboard.benchmark.reference_moe import ReferenceMoE, Shape, per_token_reference, routing_error
from dashboard.benchmark.spec import Cell
from dashboard.benchmark.workload import Skip
from dashboard.benchmark.workloads import ERROR_LIMITS, Checkpoint, observed_router
from dashboard.benchmark.workloads import reference_moe as target

SHAPE = Shape(model_size=32, expert_size=48, experts=6, top_k=2)
PATHS = ("grouped", "loop", "gather", "dense")


def error(layer: ReferenceMoE, inputs: Any) -> float:
    """Relative error of the layer's output; the routing is checked by itself."""
    rows = inputs.reshape(-1, layer.shape.model_size)
    experts, weights = layer.route(rows)
    assert routing_error(layer, rows, experts, torch.arange(len(rows))) < 1e-4
    right = per_token_reference(layer, rows, experts, weights)
    got = layer(inputs).reshape(-1, layer.shape.model_size).double()
    return float((got - right).norm() / right.norm())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("path", PATHS)
def test_every_path_in_every_dtype_equals_the_loop(path: Any, dtype: str):
    layer = ReferenceMoE(SHAPE, dtype=getattr(torch, dtype), path=path, seed=1)
    inputs = torch.randn(5, 7, 32, generator=torch.Generator().manual_seed(2)).to(getattr(torch, dtype))
    assert error(layer, inputs) < ERROR_LIMITS[dtype]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("skew", ["zipf", "one-hot"])
def test_experts_without_any_token_are_no_trouble(path: Any, skew: Any):
    layer = ReferenceMoE(SHAPE, path=path, skew=skew)
    inputs = torch.randn(64, 32, generator=torch.Generator().manual_seed(3))
    chosen, _ = layer.route(inputs)
    load = torch.bincount(chosen.reshape(-1), minlength=6)
    assert int((load > 0).sum()) == 2 if skew == "one-hot" else int(load.max()) > 2 * int(load.min())
    assert error(layer, inputs) < 1e-5


@pytest.mark.parametrize("path", PATHS)
def test_no_tokens_give_no_output(path: Any):
    assert ReferenceMoE(SHAPE, path=path)(torch.empty(0, 32)).shape == (0, 32)


@pytest.mark.parametrize("path", PATHS)
def test_a_mask_closes_experts_and_a_position_without_any_says_nothing(path: Any):
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    layer = ReferenceMoE(SHAPE, mask=mask, path=path)
    inputs = torch.randn(4, 3, 32, generator=torch.Generator().manual_seed(4))
    experts, weights = layer.route(inputs.reshape(-1, 32))
    used = [
        set(experts[i::3][weights[i::3] > 0].tolist()) for i in range(3)
    ]  # position = token index modulo 3
    assert used[0] <= {0, 1, 2}
    assert used[1] == {3}
    assert used[2] == set()
    outputs = layer(inputs)
    assert bool((outputs[:, 2] == 0).all())
    assert bool(torch.isfinite(outputs).all())
    assert error(layer, inputs) < 1e-5


def test_the_sum_over_experts_is_deterministic():
    layer = ReferenceMoE(SHAPE, dtype=torch.bfloat16)
    inputs = torch.randn(128, 32).bfloat16()
    assert all(torch.equal(layer(inputs), layer(inputs)) for _ in range(5))


def test_strides_grouped_mm_cannot_take_fall_back_to_the_loop():
    odd = Shape(model_size=30, expert_size=50, experts=4, top_k=2)
    layer = ReferenceMoE(odd)
    assert layer.choose(100) == "loop"
    assert error(layer, torch.randn(40, 30)) < 1e-5


def test_without_grouped_mm_the_layer_still_works(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(reference_moe.functional, "grouped_mm")
    layer = ReferenceMoE(SHAPE)
    assert layer.choose(100) == "loop"
    assert error(layer, torch.randn(40, 32)) < 1e-5


def test_a_wrong_expert_does_not_pass_the_check():
    layer = ReferenceMoE(SHAPE)
    rows = torch.randn(16, 32)
    experts, _ = layer.route(rows)
    worst = (rows.double() @ layer.router.double().t()).argmin(dim=-1)
    experts[3, 1] = worst[3]
    assert routing_error(layer, rows, experts, torch.arange(16)) > 0.1


def test_flops_follow_the_formula():
    shape = Shape(model_size=2048, expert_size=768, experts=128, top_k=8)
    # 2TDE for the router and 2Tk·3DH for the experts
    assert shape.flops(64) == 2 * 64 * 2048 * 128 + 2 * 64 * 8 * 3 * 2048 * 768
    assert shape.least_bytes(64, 128, 2) == 2 * (3 * 2048 * 768 * 128 + 2048 * 128 + 2 * 64 * 2048)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_target_checks_itself(dtype: str):
    workload = target(Cell({"batch": 2, "sequence": 8, "dtype": dtype, "skew": "uniform"}), "cpu", {})
    inputs = workload.make_input(3)
    assert workload.error is not None
    assert workload.error(inputs, workload.call(inputs)) <= workload.error_limit
    assert not workload.error(inputs, workload.call(inputs) * 1.1) <= workload.error_limit
    broken = workload.call(inputs).clone()
    broken[0, 0, 0] = float("nan")
    assert not workload.error(inputs, broken) <= workload.error_limit


def test_the_layer_compiles_whole_in_bfloat16_and_says_the_same():
    """One graph: a sync or a shape that depends on data would raise. The backend that needs no compiler proves that."""
    cell = Cell({"batch": 2, "sequence": 8, "dtype": "bfloat16", "skew": "uniform", "compile": "aot_eager"})
    workload = target(cell, "cpu", {})
    assert (workload.details["compile"], workload.details["path"]) == ("aot_eager", "grouped")
    inputs = workload.make_input(3)
    assert workload.error is not None
    assert workload.error(inputs, workload.call(inputs)) <= workload.error_limit


def test_a_path_that_waits_for_the_device_does_not_compile_whole():
    layer = ReferenceMoE(Shape(model_size=16, expert_size=16, experts=4, top_k=2), path="loop")
    with pytest.raises(Exception, match="data-dependent expression"):
        torch.compile(layer, fullgraph=True, backend="eager")(torch.randn(8, 16))


def test_an_unknown_dtype_is_skipped_with_its_name():
    with pytest.raises(Skip, match="float7"):
        target(Cell({"batch": 2, "sequence": 8, "dtype": "float7"}), "cpu", {})


def test_inputs_are_seeded_and_never_the_same():
    workload = target(Cell({"batch": 2, "sequence": 8, "dtype": "float32"}), "cpu", {})
    assert torch.equal(workload.make_input(1), workload.make_input(1))
    assert not torch.equal(workload.make_input(1), workload.make_input(2))


def test_an_observed_router_computes_what_the_router_itself_computes(tmp_path: Path):
    """The layer built from topology.json and checkpoint.pt says the same as the example's own forward pass."""
    import json

    import numpy as np

    from examples.evolving_router.model import DigitsRouter

    torch.manual_seed(0)
    model = DigitsRouter(experts=8)
    model.up_bias.data.normal_()
    rng = np.random.default_rng(0)
    mask = torch.tensor(rng.random((16, 8)) < 0.4)
    mask[5] = False
    (tmp_path / "topology.json").write_text(
        json.dumps({"matrix": mask.int().tolist(), "top_k": 2, "generation": 3})
    )
    torch.save({"experts": model.state_dict(), "config": {}}, tmp_path / "checkpoint.pt")
    files = {
        "topology_file": str(tmp_path / "topology.json"),
        "checkpoint_file": str(tmp_path / "checkpoint.pt"),
    }
    cell = Cell({"batch": 4, "sequence": 16, "dtype": "float32"})
    workload = observed_router(cell, "cpu", files)
    images = torch.rand(4, 16, 4)
    with torch.inference_mode():
        expected, _ = model(images, mask, 2)
        mixed = workload.call(model.embedded(images))
        assert torch.allclose(model.head(mixed.sum(dim=1)), expected, atol=1e-5)
    inputs = workload.make_input(0)
    assert workload.error is not None
    assert workload.error(inputs, workload.call(inputs)) <= workload.error_limit
    assert workload.details["weights"] == "the run's own"


def test_a_checkpoint_of_another_form_says_what_is_missing(tmp_path: Path):
    torch.save({"experts": {"w1": torch.zeros(2, 2)}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"no 'up'; it has w1"):
        Checkpoint.load(tmp_path / "checkpoint.pt")
