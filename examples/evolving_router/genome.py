"""A genome: which tokens may use which experts, and how many at once. Operators on genomes, and how different they are.

Knows no model and no fitness. Constraint of the search, kept by `repaired`: every token keeps an expert, and every
expert that is not frozen keeps a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_EXPERTS_PER_TOKEN = 4

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Genome:
    """`mask` is (T tokens, E experts), True where the token may use the expert; `top_k` how many it uses at once."""

    mask: Mask
    top_k: int

    @property
    def key(self) -> bytes:
        """Equal for equal genomes."""
        return bytes([self.top_k]) + np.packbits(self.mask).tobytes()

    @property
    def connections(self) -> int:
        """Active token–expert connections."""
        return int(self.mask.sum())


@dataclass(frozen=True, slots=True)
class Shape:
    """What genomes of one search have in common."""

    tokens: int
    experts: int
    frozen: frozenset[int] = frozenset()  # experts no genome may use

    def repaired(self, mask: Mask, rng: np.random.Generator) -> Mask:
        """The mask with frozen experts off, a random expert for each lonely token and a random token for each idle expert."""
        mask = mask.copy()
        usable = [expert for expert in range(self.experts) if expert not in self.frozen]
        mask[:, [*self.frozen]] = False
        for token in np.flatnonzero(~mask.any(axis=1)):
            mask[token, rng.choice(usable)] = True
        for expert in usable:
            if not mask[:, expert].any():
                mask[rng.integers(self.tokens), expert] = True
        return mask

    def random(self, rng: np.random.Generator, density: float = 0.5) -> Genome:
        """A genome with about this share of its connections active."""
        mask = rng.random((self.tokens, self.experts)) < density
        return Genome(self.repaired(mask, rng), int(rng.integers(1, MOST_EXPERTS_PER_TOKEN + 1)))


def tournament(fitness: Sequence[float], size: int, rng: np.random.Generator) -> int:
    """Index of the fittest of `size` individuals drawn at random; NaN never wins against a number."""
    drawn = rng.integers(len(fitness), size=size)
    return int(max(drawn, key=lambda one: comparable(fitness[one])))


def comparable(fitness: float) -> float:
    """A fitness that sorts: NaN is worse than everything."""
    return fitness if fitness == fitness else float("-inf")


def crossover(mother: Genome, father: Genome, shape: Shape, rng: np.random.Generator) -> Genome:
    """Uniform over tokens: each token takes all its connections from one parent, top-k from either."""
    from_mother = rng.random(shape.tokens) < 0.5
    mask = np.where(from_mother[:, None], mother.mask, father.mask)
    top_k = mother.top_k if rng.random() < 0.5 else father.top_k
    return Genome(shape.repaired(mask, rng), top_k)


def mutate(genome: Genome, rate: float, shape: Shape, rng: np.random.Generator) -> Genome:
    """Flip each connection, and step top-k by one, with probability `rate`. At rate 0 the genome comes back unchanged."""
    flipped = rng.random(genome.mask.shape) < rate
    top_k = genome.top_k
    if rng.random() < rate:
        top_k = int(np.clip(top_k + rng.choice((-1, 1)), 1, MOST_EXPERTS_PER_TOKEN))
    return Genome(shape.repaired(genome.mask ^ flipped, rng), top_k)


def diversity(population: Sequence[Genome]) -> float:
    """Mean Jaccard distance between pairs: 0 all equal, 1 nothing in common.

    A genome counts as the set of its active connections and its top-k, so the score does not fall merely because
    masks become sparse (P. Jaccard, "The distribution of the flora in the alpine zone", 1912).
    """
    features = np.stack(
        [
            np.concatenate([g.mask.ravel(), np.arange(1, MOST_EXPERTS_PER_TOKEN + 1) == g.top_k])
            for g in population
        ]
    ).astype(np.float64)
    both = features @ features.T
    size = features.sum(axis=1)
    distance = 1 - both / (size[:, None] + size[None, :] - both)
    pairs = np.triu_indices(len(population), k=1)
    return float(distance[pairs].mean()) if len(pairs[0]) else 0.0
