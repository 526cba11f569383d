"""Genomes: what the operators may and may not do."""

import numpy as np
import pytest

from examples.evolving_router.genome import (
    Genome,
    Shape,
    comparable,
    crossover,
    diversity,
    mutate,
    tournament,
)

SHAPE = Shape(tokens=6, experts=4)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("frozen", [frozenset(), frozenset({1}), frozenset({0, 2, 3})])
@pytest.mark.parametrize("seed", range(5))
def test_every_token_keeps_an_expert_and_every_expert_a_token_unless_frozen(frozen, seed):
    shape, random = Shape(6, 4, frozen), rng(seed)
    genome = shape.random(random, density=0.1)
    for _ in range(20):
        genome = mutate(crossover(genome, shape.random(random), shape, random), 0.3, shape, random)
        assert genome.mask.any(axis=1).all()
        idle = {int(expert) for expert in np.flatnonzero(~genome.mask.any(axis=0))}
        assert idle == frozen


def test_mutation_at_rate_zero_changes_nothing():
    genome = SHAPE.random(rng())
    assert mutate(genome, 0.0, SHAPE, rng(1)).key == genome.key


def test_mutation_flips_about_as_many_connections_as_its_rate_says():
    genome, random = SHAPE.random(rng()), rng(1)
    flips = [int((mutate(genome, 0.1, SHAPE, random).mask != genome.mask).sum()) for _ in range(500)]
    assert np.mean(flips) == pytest.approx(0.1 * 24, rel=0.15)


def test_crossover_of_a_genome_with_itself_is_itself():
    genome = SHAPE.random(rng())
    assert crossover(genome, genome, SHAPE, rng(1)).key == genome.key


def test_a_tournament_prefers_the_fit_and_never_a_nan():
    random = rng()
    winners = [tournament([0.1, float("nan"), 0.9, 0.5], 3, random) for _ in range(300)]
    assert np.bincount(winners, minlength=4).argmax() == 2
    assert winners.count(1) < 300 * 0.05, "a NaN wins only where all drawn are NaN"
    assert comparable(float("nan")) < comparable(-1e300)


def test_diversity_is_zero_for_equal_and_one_for_disjoint_genomes():
    left = Genome(np.array([[True, False]]), 1)
    right = Genome(np.array([[False, True]]), 2)
    assert diversity([left, left, left]) == 0
    assert diversity([left, right]) == 1
    assert diversity([left]) == 0


def test_diversity_of_a_known_population():
    """Three sets: {a, b, k1}, {a, k1}, {b, k1}: Jaccard distances 1/3, 1/3 and 2/3."""
    masks = ([[True, True]], [[True, False]], [[False, True]])
    assert diversity([Genome(np.array(mask), 1) for mask in masks]) == pytest.approx(4 / 9)
