"""One generation: evaluate, select, cross, mutate, train. The same function serves the loop, its tests and benchmarks.

Fitness is the accuracy on held-out images minus `penalty` times the share of active connections; an individual whose
class scores are not all finite has no fitness (NaN). Knows no metric, no clock time and no server.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from examples.evolving_router.digits import Split
from examples.evolving_router.evaluation import FrozenExperts, accuracies
from examples.evolving_router.genome import Genome, Shape, comparable, crossover, mutate, tournament
from examples.evolving_router.model import DigitsRouter

PHASES = ("evaluate", "select", "crossover", "mutate", "train")


@dataclass(frozen=True, slots=True)
class Search:
    """How the population is bred."""

    shape: Shape
    mutation_rate: float = 0.02
    crossover_rate: float = 0.7
    tournament_size: int = 3
    elites: int = 2
    penalty: float = 0.2


@dataclass(slots=True)
class Generation:
    """What one generation was, and who comes after it. Lists run along the population that was evaluated."""

    population: list[Genome]
    fitness: list[float]
    accuracy: list[float]
    children: list[Genome] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)  # error type → evaluations that raised
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    @property
    def best(self) -> int:
        """Index of the fittest individual."""
        return max(range(len(self.fitness)), key=lambda one: comparable(self.fitness[one]))

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the wall time of the block to a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - began


Train = Callable[[list[Genome]], None]
Span = Callable[[str], AbstractContextManager[None]]  # name of a phase → context around it


def evolve_one_generation(
    population: Sequence[Genome], model: DigitsRouter, held_out: Split, search: Search, rng: np.random.Generator,
    train: Train | None = None, span: Span = lambda _: nullcontext(), frozen: FrozenExperts | None = None,
) -> Generation:  # fmt: skip
    """Evaluate a population, breed the next one, and let `train` improve the experts under the fittest half.

    Args:
        train: called once with the genomes to train under, fittest first; None leaves the experts as they are.
        span: put around each phase: fitness_evaluation, selection, reproduction, training.
        frozen: evaluate from what the experts said, kept for as long as they are not trained; None takes every individual
            through the ordinary path. The fitness is the same.
    """
    generation = Generation(list(population), [], [])
    with span("fitness_evaluation"), generation.timed("evaluate"):
        generation.accuracy, generation.failures = accuracies(population, model, held_out, frozen)
        generation.fitness = [
            accuracy - search.penalty * genome.connections / genome.mask.size
            for accuracy, genome in zip(generation.accuracy, population, strict=True)
        ]
    with span("selection"):  # who survives; parents are drawn child by child, within reproduction
        order = sorted(
            range(len(population)), key=lambda one: comparable(generation.fitness[one]), reverse=True
        )
        children = [population[one] for one in order[: search.elites]]
    with span("reproduction"):
        while len(children) < len(population):
            with generation.timed("select"):
                mother, father = (
                    population[tournament(generation.fitness, search.tournament_size, rng)] for _ in range(2)
                )
            child = mother
            if rng.random() < search.crossover_rate:
                with generation.timed("crossover"):
                    child = crossover(mother, father, search.shape, rng)
            with generation.timed("mutate"):
                children.append(mutate(child, search.mutation_rate, search.shape, rng))
    generation.children = children
    if train is not None:
        with span("training"), generation.timed("train"):
            train([population[one] for one in order[: max(1, len(order) // 2)]])
    return generation
