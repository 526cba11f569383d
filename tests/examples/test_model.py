"""The router's two ways to compute a topology are one, and what it says about its size is true."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from examples.evolving_router import digits
from examples.evolving_router.genome import Shape
from examples.evolving_router.model import DigitsRouter
from examples.evolving_router.report import specialization

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DigitsRouter(experts=5)


@pytest.fixture(scope="module")
def images():
    return digits.load(0, CPU).held_out.tokens[:64]


def masks(count: int = 6):
    rng = np.random.default_rng(0)
    return [Shape(16, 5).random(rng, density) for density in np.linspace(0.05, 1, count)]


def test_the_splits_hold_all_digits_once_and_patches_keep_every_pixel():
    data = digits.load(0, CPU)
    whole = torch.cat([split.tokens for split in (data.train, data.held_out, data.served)])
    assert whole.shape == (1797, 16, 4)
    assert whole.min() == 0
    assert whole.max() == 1
    again = digits.load(1, CPU)
    assert not torch.equal(data.held_out.labels, again.held_out.labels)
    assert whole.sum() == torch.cat([s.tokens for s in (again.train, again.held_out, again.served)]).sum()


def test_a_patch_is_two_by_two_neighbouring_pixels(monkeypatch):
    image = np.arange(64.0).reshape(1, 64)
    monkeypatch.setattr(digits, "load_digits", lambda **_: (np.repeat(image, 700, 0), np.zeros(700)))
    tokens = digits.load(0, CPU).train.tokens[0] * 16
    assert tokens[0].tolist() == [0, 1, 8, 9]
    assert tokens[5].tolist() == [18, 19, 26, 27]


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_cached_expert_outputs_give_what_the_ordinary_path_gives(model, images, top_k):
    together = np.stack([genome.mask for genome in masks()])
    together[0, 3] = False  # a token that may use no expert says nothing, either way
    chosen = torch.from_numpy(together)
    cached = model.from_outputs(model.outputs(images), chosen, torch.full((len(chosen),), top_k))
    for mask, scores in zip(chosen, cached, strict=True):
        torch.testing.assert_close(scores, model(images, mask, top_k)[0], rtol=1e-5, atol=1e-5)


def test_more_than_eight_experts_need_wider_integers_and_give_the_same(images):
    torch.manual_seed(1)
    model = DigitsRouter(experts=11)
    genome = Shape(16, 11).random(np.random.default_rng(3))
    mask = torch.from_numpy(genome.mask)
    cached = model.from_outputs(model.outputs(images), mask[None], torch.tensor([3]))
    torch.testing.assert_close(cached[0], model(images, mask, 3)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e3, float("inf"), float("nan")])
def test_a_gate_too_sure_of_itself_is_left_to_the_ordinary_path(images, scale):
    """Beside an expert preferred by e^88 the others vanish in float32; where that one is masked, they would be all there is."""
    torch.manual_seed(1)
    model = DigitsRouter(experts=4)
    model.gate.weight.data.mul_(scale)
    assert model.outputs(images) is None


def test_two_topologies_give_two_answers(model, images):
    """Else evaluating a topology would measure nothing."""
    first, *_, last = masks()
    answers = [model(images, torch.from_numpy(genome.mask), 2)[0] for genome in (first, last)]
    assert (answers[0] - answers[1]).abs().max() > 0.01


def test_tokens_served_are_counted_where_the_mask_allows_and_nowhere_else(model, images):
    for genome in masks():
        mask = torch.from_numpy(genome.mask)
        _, served = model(images, mask, 2)
        assert not served[~mask].any()
        assert torch.equal(served.sum(dim=1), len(images) * mask.sum(dim=1).clamp(max=2))


def test_flops_are_what_torch_counts(model):
    """One image through the dense part and the chosen experts, counted by torch's own counter."""
    genome = masks()[3]
    mask = torch.from_numpy(genome.mask)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, 16, 4), mask, 2)
    assert model.flops(mask, 2) == counter.get_total_flops()


def test_parameters_and_bytes_are_those_of_the_saved_state(model):
    state = model.state_dict()
    assert model.parameter_count() == sum(tensor.numel() for tensor in state.values())
    assert model.size_bytes() == 4 * model.parameter_count()


def test_specialization_is_one_for_one_position_zero_for_all_and_unsaid_for_none():
    calls = torch.tensor([[8, 5, 0], [0, 5, 0], [0, 5, 0], [0, 5, 0]])
    scores = specialization(calls)
    assert scores[0] == pytest.approx(1)
    assert scores[1] == pytest.approx(0)
    assert scores[2] is None
