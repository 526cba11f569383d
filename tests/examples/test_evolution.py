"""One generation, and what many of them really do: the healthy run, and each misbehaviour beside it."""

import json
import math

import numpy as np
import pytest
import torch

from examples.evolving_router import digits
from examples.evolving_router.evaluation import FrozenExperts, accuracy_of
from examples.evolving_router.evolution import PHASES, Search, evolve_one_generation
from examples.evolving_router.genome import Shape
from examples.evolving_router.model import DigitsRouter
from examples.evolving_router.training import Trainer

GUIDE = {
    "generation", "best_fitness", "average_fitness", "diversity_score", "mutation_rate", "population_size", "elapsed_time_seconds",
    "evolution_elite_count", "evolution_crossover_rate", "expert_utilization_ratio", "expert_load_balance_variance",
    "expert_specialization_score", "routing_sparsity_ratio", "routing_efficiency_score", "routing_connections_active",
    "routing_path_length_avg", "inference_throughput_samples", "training_loss", "training_accuracy", "training_learning_rate",
    "training_epoch", "model_parameter_count", "model_flops", "model_size_bytes",
}  # fmt: skip


@pytest.fixture
def parts():
    torch.manual_seed(0)
    shape, rng = Shape(digits.TOKENS, 4), np.random.default_rng(0)
    population = [shape.random(rng) for _ in range(6)]
    return population, DigitsRouter(experts=4), digits.load(0, torch.device("cpu")).held_out, shape


def test_every_way_of_evaluating_breeds_the_same_children(parts):
    population, model, held_out, shape = parts
    kept = FrozenExperts()
    bred = [
        evolve_one_generation(
            population, model, held_out, Search(shape), np.random.default_rng(1), frozen=frozen
        )
        for frozen in (None, FrozenExperts(), kept, kept)
    ]
    assert kept.computed == 1
    for one in bred[1:]:
        assert one.fitness == bred[0].fitness
        assert [child.key for child in one.children] == [child.key for child in bred[0].children]


def test_outputs_are_kept_only_while_every_weight_stays_as_it_was(parts):
    population, model, held_out, shape = parts
    frozen = FrozenExperts()
    search, rng = Search(shape), np.random.default_rng(1)
    trainer = Trainer(model, digits.load(0, torch.device("cpu")).train, rng)
    computed = []
    for number in range(1, 7):
        train = (lambda fit: trainer.train(fit, 1)) if number % 3 == 0 else None
        bred = evolve_one_generation(population, model, held_out, search, rng, train, frozen=frozen)
        computed.append(frozen.computed)
    assert computed == [1, 1, 1, 2, 2, 2]
    for parameter in model.parameters():  # a change of any weight, however small and by whatever means
        parameter.data.view(-1)[-1] += 1e-3
        bred = evolve_one_generation(population, model, held_out, search, rng, frozen=frozen)
        computed.append(frozen.computed)
        assert bred.fitness == evolve_one_generation(population, model, held_out, search, rng).fitness
    assert computed[6:] == list(range(3, 3 + len(list(model.parameters()))))


def test_other_images_are_other_outputs(parts):
    population, model, held_out, shape = parts
    frozen, search = FrozenExperts(), Search(shape)
    other = digits.load(1, torch.device("cpu")).held_out
    for images in (held_out, other, held_out):
        bred = evolve_one_generation(
            population, model, images, search, np.random.default_rng(1), frozen=frozen
        )
        right = evolve_one_generation(population, model, images, search, np.random.default_rng(1))
        assert bred.fitness == right.fitness
    assert frozen.computed == 3


def test_a_cached_evaluation_that_differs_from_the_ordinary_one_is_a_defect_and_says_so(parts, monkeypatch):
    population, model, held_out, shape = parts
    right = model.from_outputs
    monkeypatch.setattr(model, "from_outputs", lambda *a: right(*a) + 0.01)
    with pytest.raises(AssertionError):
        evolve_one_generation(
            population, model, held_out, Search(shape), np.random.default_rng(1), frozen=FrozenExperts()
        )


def test_what_does_not_fit_at_once_is_evaluated_one_by_one(parts, monkeypatch):
    population, model, held_out, shape = parts

    def breaks(*_):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(model, "from_outputs", breaks)
    bred = evolve_one_generation(
        population, model, held_out, Search(shape), np.random.default_rng(1), frozen=FrozenExperts()
    )
    right = evolve_one_generation(population, model, held_out, Search(shape), np.random.default_rng(1))
    assert bred.fitness == right.fitness
    assert not bred.failures


def test_fitness_is_held_out_accuracy_minus_the_penalty_for_connections(parts):
    population, model, held_out, shape = parts
    bred = evolve_one_generation(
        population, model, held_out, Search(shape, penalty=0.3), np.random.default_rng(1)
    )
    for genome, accuracy, fitness in zip(population, bred.accuracy, bred.fitness, strict=True):
        logits, _ = model(held_out.tokens, torch.from_numpy(genome.mask), genome.top_k)
        assert accuracy == int((logits.argmax(-1) == held_out.labels).sum()) / 400
        assert fitness == pytest.approx(accuracy - 0.3 * genome.connections / genome.mask.size)


def test_elites_come_first_and_unchanged_and_every_phase_is_timed(parts):
    population, model, held_out, shape = parts
    trained_under = []
    bred = evolve_one_generation(
        population, model, held_out, Search(shape, elites=2), np.random.default_rng(1), trained_under.extend
    )
    order = sorted(range(6), key=lambda one: bred.fitness[one], reverse=True)
    assert [child.key for child in bred.children[:2]] == [population[one].key for one in order[:2]]
    assert len(bred.children) == 6
    assert [genome.key for genome in trained_under] == [population[one].key for one in order[:3]]
    assert set(bred.seconds) == set(PHASES)
    assert bred.seconds["evaluate"] > 0


def test_an_evaluation_that_raises_is_counted_and_the_others_live(parts, monkeypatch):
    population, model, held_out, shape = parts
    right, calls = model.forward, []

    def breaks(*a):
        calls.append(a)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("no memory left")
        return right(*a)

    monkeypatch.setattr(model, "forward", breaks)
    bred = evolve_one_generation(population, model, held_out, Search(shape), np.random.default_rng(1))
    assert dict(bred.failures) == {"OutOfMemoryError": 1}
    assert [math.isnan(value) for value in bred.fitness] == [False, False, True, False, False, False]


def test_a_score_that_is_not_finite_is_no_accuracy():
    assert math.isnan(accuracy_of(torch.tensor([[1.0, float("nan")]]), torch.tensor([0])))


# --- whole runs -----------------------------------------------------------------------------------------------


def test_a_healthy_run_improves_for_dozens_of_generations_and_does_not_collapse(evolved):
    run = evolved("--generations", "30")
    best = run.column("best_fitness")
    stretches = [max(best[:8]), max(best[8:16]), max(best[16:23]), max(best[23:])]
    assert stretches == sorted(stretches)
    assert stretches[-1] - stretches[0] > 0.15
    assert stretches[-1] > stretches[-2]
    assert min(run.column("diversity_score")) > 0.1
    assert run.column("evolution_nonfinite_fitness_count") == [0] * 30
    assert all(share > 0.05 / 8 for share in run.generations[-1]["expert_utilization_ratio"].values())


def test_without_mutation_diversity_goes_to_zero(evolved):
    run = evolved("--generations", "30", "--mutation-rate", "0")
    assert run.column("diversity_score")[-1] < 0.01
    assert run.column("evolution_distinct_genomes")[-1] == 1


def test_a_frozen_expert_serves_nothing_and_reads_zero(evolved):
    run = evolved("--generations", "6", "--freeze-expert", "3", "--freeze-expert", "5")
    for line in run.generations:
        shares = line["expert_utilization_ratio"]
        assert {expert for expert, share in shares.items() if share == 0} >= {"3", "5"}
        assert sum(shares.values()) == pytest.approx(1)
    assert run.generations[-1]["expert_tokens_total"]["3"] == 0
    assert "3" not in run.generations[-1]["expert_specialization_score"]
    topology = json.loads((run.directory / "topology.json").read_text())
    assert not any(row[3] or row[5] for row in topology["matrix"])


def test_an_absurd_learning_rate_makes_loss_and_fitness_not_numbers(evolved):
    run = evolved("--generations", "5", "--nan")
    assert run.column("best_fitness")[0] is not None
    assert run.column("training_loss")[-1] is None
    assert run.column("best_fitness")[-1] is None
    assert "best_fitness" in run.generations[-1]
    assert run.column("evolution_nonfinite_fitness_count")[-1] == 12
    assert (
        run.observer.registry.get_sample_value("evolution_fitness_best", {"run_id": run.directory.name})
        is None
    )


def test_slow_serving_misses_the_objective_and_ordinary_serving_does_not(evolved):
    def share_within_objective(run):
        within = run.observer.registry.get_sample_value("inference_latency_seconds_bucket", {"le": "0.1"})
        return within / run.observer.registry.get_sample_value("inference_latency_seconds_count")

    assert share_within_objective(evolved("--generations", "3", "--slow")) < 0.75
    assert share_within_objective(evolved("--generations", "6")) > 0.9


def test_training_every_third_generation_leaves_the_experts_as_they_are_in_between(evolved):
    run = evolved("--generations", "6", "--train-every", "3")
    epochs = run.column("training_epoch")
    assert epochs[0] == epochs[1] < epochs[2] == epochs[4] < epochs[5]


def test_one_seed_is_one_trajectory_and_two_are_two(evolved):
    first = evolved("--generations", "6")
    again = evolved("--generations", "6", "--seed", "0")
    other = evolved("--generations", "6", "--seed", "1")
    assert first.column("best_fitness") == again.column("best_fitness")
    assert first.column("training_loss") == again.column("training_loss")
    assert first.column("best_fitness") != other.column("best_fitness")


def test_every_value_of_the_guide_is_in_each_line(evolved):
    for line in evolved("--generations", "6").generations:
        assert line.keys() >= GUIDE


def test_what_is_reported_agrees_with_itself(evolved):
    run = evolved("--generations", "6")
    for before, line in zip(run.generations, run.generations[1:], strict=False):
        assert line["routing_sparsity_ratio"] == pytest.approx(1 - line["routing_connections_active"] / 128)
        assert line["evolution_fitness_min"] <= line["evolution_fitness_median"] <= line["best_fitness"]
        moved = {
            expert: total - before["expert_tokens_total"][expert]
            for expert, total in line["expert_tokens_total"].items()
        }
        for expert, share in line["expert_utilization_ratio"].items():
            assert share == pytest.approx(moved[expert] / sum(moved.values()))
        assert line["evolution_evaluations_total"] == before["evolution_evaluations_total"] + 12


def test_the_checkpoint_computes_what_its_topology_says(evolved):
    run = evolved("--generations", "6")
    saved = torch.load(run.directory / "checkpoint.pt", weights_only=True)
    config = saved["config"]
    model = DigitsRouter(config["experts"], config["features"], config["hidden"])
    model.load_state_dict(saved["experts"])
    held_out = digits.load(0, torch.device("cpu")).held_out
    logits, _ = model(held_out.tokens, torch.tensor(config["mask"]), config["top_k"])
    assert accuracy_of(logits, held_out.labels) > 0.2, "ten classes: 0.1 is chance"
    assert config["mask"] == [
        [bool(cell) for cell in row]
        for row in json.loads((run.directory / "topology.json").read_text())["matrix"]
    ]
