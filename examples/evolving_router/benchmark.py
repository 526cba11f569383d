"""A benchmark target: one real generation of this example, by each way of evaluating its population.

For the setting `benchmark_targets`: `examples.evolving_router.benchmark:generation`. It times the loop's own
`evolve_one_generation` on real held-out images, with experts trained as the loop trains them before its first
generation, from seeded populations; a call whose fitness differs from the ordinary path's is wrong, however fast.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dashboard.benchmark.spec import Cell, Scalar
from dashboard.benchmark.workload import Workload
from examples.evolving_router import digits
from examples.evolving_router.evaluation import FrozenExperts
from examples.evolving_router.evolution import PHASES, Generation, Search, evolve_one_generation
from examples.evolving_router.genome import Genome, Shape
from examples.evolving_router.model import DigitsRouter
from examples.evolving_router.training import Trainer

EXPERTS = 8
SEED = 20_240_607
TRAINING_STEPS = 60
SEARCH_GENERATIONS = 12
SAME_FITNESS = 1e-9  # every way counts the same right answers

# ordinary: each individual's full forward pass. cached: expert outputs computed once in this generation, as where the
# experts are trained after each. frozen: a later generation while they are not; the outputs are those of an earlier one.
WAYS = ("ordinary", "cached", "frozen")

Start = tuple[list[Genome], int]  # a population, and the seed of what is bred from it


def generation(cell: Cell, device: str, arguments: Mapping[str, Scalar]) -> Workload:
    """One generation of `population` individuals; `evaluation` is one of WAYS."""
    del arguments
    size, way = int(cell.params["population"]), str(cell.params["evaluation"])
    torch.manual_seed(SEED)
    data = digits.load(SEED, torch.device(device))
    model = DigitsRouter(EXPERTS).to(device)
    search = Search(Shape(digits.TOKENS, EXPERTS))
    kept = FrozenExperts()
    phases: list[dict[str, float]] = []
    details: dict[str, Any] = {"individuals": size, "images": len(data.held_out), "experts": EXPERTS}

    def start(seed: int) -> Start:
        rng = np.random.default_rng(seed)
        return [search.shape.random(rng) for _ in range(size)], seed

    def step(population: list[Genome], rng: np.random.Generator, way: str) -> Generation:
        frozen = {"ordinary": None, "cached": FrozenExperts(), "frozen": kept}[way]
        return evolve_one_generation(population, model, data.held_out, search, rng, frozen=frozen)

    def evolve(given: Start) -> Generation:
        bred = step(given[0], np.random.default_rng(given[1]), way)
        phases.append(bred.seconds)
        return bred

    def error(given: Start, got: Generation) -> float:
        """Largest difference of a fitness from the ordinary path's; asked once, after the timing."""
        details["phase_seconds"] = {
            phase: float(np.median([seconds[phase] for seconds in phases])) for phase in PHASES
        }
        right = step(given[0], np.random.default_rng(given[1]), "ordinary")
        if len(set(right.fitness)) < 2:
            return float("inf")  # genomes that change nothing would make this measure nothing
        if way == "frozen" and kept.computed != 1:
            return float(
                "inf"
            )  # something trained the experts: these were not later generations of a frozen phase
        return float(np.max(np.abs(np.subtract(got.fitness, right.fitness))))

    population, _ = start(SEED)
    Trainer(model, data.train, np.random.default_rng(SEED)).train(population, TRAINING_STEPS)
    details["search"] = _searched(population, lambda now, rng: step(now, rng, way))
    return Workload(
        call=evolve,
        make_input=start,
        samples=size,
        tokens=size * len(data.held_out) * digits.TOKENS,
        error=error,
        error_limit=SAME_FITNESS,
        details=details,
    )


def _searched(population: list[Genome], step: Any) -> dict[str, float]:
    """What a short real search finds, and how fast: a generation is cheap only if it is as good."""
    rng = np.random.default_rng(SEED)
    best: list[float] = []
    began = time.perf_counter()
    for _ in range(SEARCH_GENERATIONS):
        bred = step(population, rng)
        best.append(max(bred.fitness))
        population = bred.children
    seconds = time.perf_counter() - began
    return {
        "generations": SEARCH_GENERATIONS,
        "seconds": seconds,
        "best_fitness_first": best[0],
        "best_fitness_last": best[-1],
        "best_fitness_gain_per_minute": 60 * (best[-1] - best[0]) / seconds,
    }


def cells(profile: str, device: str) -> list[dict[str, Any]]:
    """Population × way of evaluating."""
    del device
    sizes = {"quick": (32,), "standard": (16, 32, 64), "full": (16, 32, 64, 128)}
    return [{"population": size, "evaluation": way} for size in sizes.get(profile, (32,)) for way in WAYS]


generation.cells = cells  # type: ignore[attr-defined]  # the benchmark asks a factory for axes of its own
