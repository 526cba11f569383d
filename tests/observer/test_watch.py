"""Expert load counted by hooks on torch routers, checked against routing done by hand."""

import pytest
import torch
from torch import nn

from dashboard.observer import Observer
from dashboard.observer.watch import layers


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


def test_a_layer_is_called_as_the_model_calls_it_where_every_router_has_a_number_of_its_own():
    assert layers(["model.layers.1.mlp.gate", "model.layers.3.mlp.gate"]) == ["1", "3"]
    assert layers(["encoder.block.1.mlp.router", "decoder.block.1.mlp.router"]) == ["0", "1"]
    assert layers(["left.gate", "right.gate"]) == ["0", "1"]
    assert layers(["model.layers.7.gate"]) == [""]


def test_a_dropped_token_went_to_no_expert(observer, look):
    gate = nn.Identity()
    observer.watch(gate, experts=3, extract=lambda *_: torch.tensor([[0, -1], [2, 2]]))
    gate(torch.zeros(1))
    observer.log({}, step=1)
    assert look(observer).all("expert_tokens_total", "expert_id") == {"0": 1, "1": 0, "2": 2}


def test_an_expert_beyond_the_last_is_a_router_misread_and_its_numbers_are_not_shown(observer, look, caplog):
    gate = nn.Identity()
    observer.watch(gate, experts=3, extract=lambda *_: torch.tensor([0, 1, 7, 9]))
    for step in range(1, 4):
        gate(torch.zeros(1))
        observer.log({}, step=step)
    found = look(observer)
    assert "expert_tokens_total" not in found
    assert found.value("observer_failures_total", error_type="LookupError") == 1
    assert "named experts beyond its last one 2 times: pass extract=" in caplog.text


TINY = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "moe_intermediate_size": 16, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "first_k_dense_replace": 1, "d_model": 32, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "num_layers": 3, "d_ff": 32, "num_heads": 4, "d_kv": 8, "eos_token_id": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("mixtral", ["0", "1", "2"]),
        ("qwen3_moe", ["0", "1", "2"]),
        ("olmoe", ["0", "1", "2"]),
        ("granitemoe", ["0", "1", "2"]),
        (
            "deepseek_v3",
            ["1", "2"],
        ),  # its first layer is dense; experts are chosen by scores with a bias, not by logits
        ("ernie4_5_moe", ["1", "2"]),
        ("switch_transformers", [str(n) for n in range(6)]),  # a mask, in encoder and decoder
        ("nllb-moe", ["3", "7", "11"]),  # a mask of the first expert, and weights of both
        ("jetmoe", [str(n) for n in range(6)]),  # attention routes too; places of tokens, no indices
    ],
)
def test_the_load_of_a_hugging_face_model_is_what_its_experts_were_handed(observer, kind, names):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = type(transformers.AutoConfig.for_model(kind))(**TINY)
    model = transformers.AutoModel.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.5)
    handed = {}

    def note(name, tensors):
        for one in tensors:
            if isinstance(one, list):  # tokens of each expert, counted by the router itself
                handed[name] = one
            elif one.dtype == torch.bool or (not one.is_floating_point() and one.shape[-1] == 4):
                handed[name] = one.reshape(-1, 4).sum(dim=0).tolist()
            elif not one.is_floating_point():
                handed[name] = torch.bincount(one.flatten(), minlength=4).tolist()

    for name, part in model.named_modules():
        if kind == "jetmoe" and name.endswith("router"):
            part.register_forward_hook(lambda _m, _i, output, name=name: note(name, output[3:4]))
        elif kind == "nllb-moe" and name.endswith(
            "router"
        ):  # by the weights with which the experts are added up
            part.register_forward_hook(lambda _m, _i, output, name=name: note(name, [output[1] > 0]))
        elif name.endswith(".experts") and kind not in {"jetmoe", "nllb-moe"}:
            part.register_forward_pre_hook(lambda _m, inputs, name=name: note(name, inputs[1:]))
    watch = observer.watch(model)
    tokens = torch.randint(2, 60, (2, 9))
    both = {"decoder_input_ids": tokens} if config.is_encoder_decoder else {}
    with torch.no_grad():
        model(input_ids=tokens, **both)
    totals = watch.totals()
    counted = {layer: [totals[layer, str(expert)] for expert in range(4)] for layer in names}
    assert {layer for layer, _ in totals} == set(names)
    assert sorted(counted.values()) == sorted(handed.values())
    assert {sum(row) for row in handed.values()} == {18 if kind == "switch_transformers" else 36}
    assert len({tuple(row) for row in handed.values()}) > 1, "else any router would do"
