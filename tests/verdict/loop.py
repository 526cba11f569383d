"""A small real search that ends as it is told to: what the example cannot do without being broken.

    python -m tests.verdict.loop --help

It evolves the example's topologies over experts that are not trained, so that a genome's fitness never changes and may be
remembered. Without the observer (`--plain`) it exports the guide's gauges as the guide does: no run, no state.
"""

import argparse
import threading
from pathlib import Path

import numpy as np
import prometheus_client
import torch

from dashboard.observer import Observer
from examples.evolving_router import digits
from examples.evolving_router.evaluation import accuracies
from examples.evolving_router.genome import Genome, Shape, crossover, diversity, mutate, tournament
from examples.evolving_router.model import DigitsRouter

EXPERTS, POPULATION, PENALTY = 4, 16, 0.2


class Search:
    """A population over frozen experts; `evaluated` counts what was really evaluated."""

    def __init__(self, mutation_rate: float, *, remember: bool) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self._rng = np.random.default_rng(0)
        self._model, self._images = DigitsRouter(EXPERTS), digits.load(0, torch.device("cpu")).held_out
        self._shape, self._mutation_rate = Shape(digits.TOKENS, EXPERTS), mutation_rate
        self._remembered: dict[object, float] | None = {} if remember else None
        self.evaluated = 0
        self.population = [self._shape.random(self._rng) for _ in range(POPULATION)]

    def generation(self) -> dict[str, float]:
        """Evaluate, breed, and say what it was, under the catalogue's names."""
        fitness = [self._fitness(genome) for genome in self.population]
        said = {
            "evolution_fitness_best": max(fitness),
            "evolution_fitness_average": sum(fitness) / len(fitness),
            "evolution_diversity_score": diversity(self.population),
            "evolution_distinct_genomes": len({genome.key for genome in self.population}),
            "evolution_population_size": len(self.population),
            "evolution_mutation_rate": self._mutation_rate,
            "evolution_evaluations_total": self.evaluated,
        }
        best = max(range(POPULATION), key=fitness.__getitem__)
        children = [self.population[best]]
        while len(children) < POPULATION:
            mother, father = (self.population[tournament(fitness, 3, self._rng)] for _ in range(2))
            child = crossover(mother, father, self._shape, self._rng)
            children.append(mutate(child, self._mutation_rate, self._shape, self._rng))
        self.population = children
        return said

    def _fitness(self, genome: Genome) -> float:
        if self._remembered is not None and genome.key in self._remembered:
            return self._remembered[genome.key]
        self.evaluated += 1
        [accuracy], _ = accuracies([genome], self._model, self._images, None)
        value = accuracy - PENALTY * genome.connections / genome.mask.size
        if self._remembered is not None:
            self._remembered[genome.key] = value
        return value


def main() -> None:
    """Search as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--generations", type=int, default=10**6)
    parser.add_argument("--mutation-rate", type=float, default=0.02)
    parser.add_argument("--remember", action="store_true", help="the fitness of genomes seen before")
    parser.add_argument("--raise-at", type=int, default=0)
    parser.add_argument("--hang-at", type=int, default=0)
    parser.add_argument("--pace", type=float, default=0.0, help="seconds a generation takes at the least")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="the guide's gauges alone")
    parser.add_argument("--runs-dir", type=Path)
    chosen = parser.parse_args()
    search = Search(chosen.mutation_rate, remember=chosen.remember)
    if chosen.plain:
        gauges = {name: prometheus_client.Gauge(name, name) for name in search.generation()}
        current = prometheus_client.Gauge("evolution_generation_current", "current generation")
        prometheus_client.start_http_server(chosen.port, "127.0.0.1")
        for generation in range(1, chosen.generations + 1):
            for name, value in search.generation().items():
                gauges[name].set(value)
            current.set(generation)
            threading.Event().wait(chosen.pace)
        return
    with Observer(chosen.port, run_name="loop", runs_dir=chosen.runs_dir) as observer, observer.run():
        for generation in range(1, chosen.generations + 1):
            if generation == chosen.raise_at:
                raise FloatingPointError("the evaluation of the third genome overflowed")
            if generation == chosen.hang_at:
                threading.Event().wait()
            observer.log(search.generation(), step=generation)
            threading.Event().wait(chosen.pace)


if __name__ == "__main__":
    main()
