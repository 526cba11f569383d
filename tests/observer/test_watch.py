"""Expert load counted by hooks on torch routers, checked against routing done by hand."""

import pytest
import torch
from torch import nn

from dashboard.observer import Observer


class Gate(nn.Linear):
    """A router that returns logits, as most do."""

    def __init__(self, features: int, experts: int, top_k: int) -> None:
        super().__init__(features, experts, bias=False)
        self.top_k = top_k


class TopKRouter(nn.Module):
    """A router in the newer Hugging Face form: (logits, weights, indices)."""

    def __init__(self, features: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.num_experts, self.top_k = experts, top_k
        self.weight = nn.Parameter(torch.randn(experts, features))

    def forward(self, hidden):
        logits = hidden.reshape(-1, hidden.shape[-1]) @ self.weight.T
        weights, indices = logits.softmax(-1).topk(self.top_k, dim=-1)
        return logits, weights, indices


class Model(nn.Module):
    """Two MoE layers whose routers are found by name, one of each form, and a decoy."""

    def __init__(self) -> None:
        super().__init__()
        self.gated_mlp = nn.Linear(4, 4)
        self.layers = nn.ModuleList(
            [nn.ModuleDict({"gate": Gate(4, 3, 1)}), nn.ModuleDict({"mlp": TopKRouter(4, 5, 2)})]
        )

    def forward(self, hidden):
        self.gated_mlp(hidden)
        return self.layers[0]["gate"](hidden), self.layers[1]["mlp"](hidden)


def test_load_of_each_layer_equals_routing_done_by_hand(observer, look):
    torch.manual_seed(0)
    model, hidden = Model(), torch.randn(2, 50, 4)
    observer.watch(model)
    logits, (_, _, indices) = model(hidden)
    observer.log({"fitness_best": 1}, step=1)
    found = look(observer)
    expected = {
        0: torch.bincount(logits.argmax(-1).flatten(), minlength=3),
        1: torch.bincount(indices.flatten(), minlength=5),
    }
    for layer, counts in expected.items():
        for expert, count in enumerate(counts.tolist()):
            labels = {"layer": str(layer), "expert_id": str(expert)}
            assert found.value("expert_tokens_total", **labels) == count
            assert found.value("expert_utilization_ratio", **labels) == pytest.approx(
                count / counts.sum().item()
            )
    assert found.value("expert_load_balance_variance") == pytest.approx(
        sum((counts / counts.sum()).var(correction=0).item() for counts in expected.values()) / 2, rel=1e-5
    )


def test_utilization_is_of_the_generation_and_tokens_are_of_the_process(observer, look):
    gate = Gate(2, 2, 1)
    gate.weight.data = torch.eye(2)
    observer.watch(gate)
    gate(torch.tensor([[1.0, 0.0]] * 10))
    observer.log({}, step=1)
    gate(torch.tensor([[0.0, 1.0]] * 30))
    observer.log({}, step=2)
    found = look(observer)
    assert found.all("expert_utilization_ratio", "expert_id") == {"0": 0, "1": 1}
    assert found.all("expert_tokens_total", "expert_id") == {"0": 10, "1": 30}


def test_a_generation_without_a_token_has_no_load(observer, look):
    gate = Gate(2, 2, 1)
    observer.watch(gate)
    gate(torch.randn(10, 2))
    observer.log({}, step=1)
    observer.log({}, step=2)
    assert "expert_utilization_ratio" not in look(observer)


def test_a_server_without_generations_has_a_load_all_the_same(observer, look):
    gate = Gate(2, 2, 1)
    gate.weight.data = torch.eye(2)
    observer.watch(gate)
    gate(torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]]))
    assert look(observer).all("expert_utilization_ratio", "expert_id") == {"0": 0.75, "1": 0.25}


def test_hooks_change_neither_the_output_nor_the_gradient():
    torch.manual_seed(0)
    gate, hidden = Gate(4, 3, 2), torch.randn(5, 4)
    plain = gate(hidden)
    plain.sum().backward()
    gradient = gate.weight.grad.clone()
    gate.zero_grad()
    with Observer().watch(gate):
        watched = gate(hidden)
        watched.sum().backward()
    assert torch.equal(plain, watched)
    assert torch.equal(gradient, gate.weight.grad)
    assert not gate._forward_hooks, "leaving the context takes the hook off"


def test_a_router_that_cannot_be_read_is_counted_and_goes_on_routing(observer, look, caplog):
    class Odd(nn.Module):
        def forward(self, hidden):
            return {"decision": "left"}

    odd = Odd()
    observer.watch(odd)
    for _ in range(3):
        assert odd(torch.zeros(1)) == {"decision": "left"}
    assert look(observer).value("observer_failures_total", error_type="LookupError") == 3
    assert len(caplog.records) == 1
    assert "extract=" in caplog.text


def test_extraction_and_selection_are_the_callers_choice(observer, look):
    class Custom(nn.Module):
        def forward(self, hidden):
            return {"where": hidden.long()}

    model = nn.ModuleDict({"first": Custom(), "second": Custom()})
    observer.watch(
        model,
        experts=4,
        extract=lambda module, inputs, output: output["where"],
        select=lambda name, part: name == "second",
    )
    model["first"](torch.tensor([1.0]))
    model["second"](torch.tensor([3.0, 3.0]))
    observer.log({}, step=1)
    assert look(observer).all("expert_tokens_total", "expert_id") == {"0": 0, "1": 0, "2": 0, "3": 2}


def test_what_is_no_module_is_counted_not_raised(observer, look):
    observer.watch("not a module")
    assert look(observer).value("observer_failures_total", error_type="AttributeError") == 1
