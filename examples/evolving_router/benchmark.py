"""A benchmark target: one real generation of this example, by both ways of evaluating it.

For the setting `benchmark_targets`: `examples.evolving_router.benchmark:generation`. It times the loop's own
`evolve_one_generation` on real held-out images, without training, from seeded populations; a call whose fitness
differs from the ordinary path's is wrong, however fast.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dashboard.benchmark.spec import Cell, Scalar
from dashboard.benchmark.workload import Workload
from examples.evolving_router import digits
from examples.evolving_router.evolution import Generation, Search, evolve_one_generation
from examples.evolving_router.genome import Genome, Shape
from examples.evolving_router.model import DigitsRouter

EXPERTS = 8
SEED = 20_240_607
SAME_FITNESS = 1e-9  # both ways count the same right answers

Start = tuple[list[Genome], int]  # a population, and the seed of what is bred from it


def generation(cell: Cell, device: str, arguments: Mapping[str, Scalar]) -> Workload:
    """One generation of `population` individuals; `evaluation` is "ordinary" or "cached"."""
    del arguments
    size, cached = int(cell.params["population"]), cell.params["evaluation"] == "cached"
    torch.manual_seed(SEED)
    data = digits.load(SEED, torch.device(device))
    model = DigitsRouter(EXPERTS).to(device)
    shape = Shape(digits.TOKENS, EXPERTS)
    search = Search(shape, cached=cached)
    ordinary = Search(shape, cached=False)

    def start(seed: int) -> Start:
        rng = np.random.default_rng(seed)
        return [shape.random(rng) for _ in range(size)], seed

    def evolve(given: Start) -> Generation:
        population, seed = given
        return evolve_one_generation(population, model, data.held_out, search, np.random.default_rng(seed))

    def error(given: Start, got: Generation) -> float:
        population, seed = given
        right = evolve_one_generation(population, model, data.held_out, ordinary, np.random.default_rng(seed))
        if len(set(right.fitness)) < 2:
            return float("inf")  # genomes that change nothing would make this measure nothing
        return float(np.max(np.abs(np.subtract(got.fitness, right.fitness))))

    return Workload(
        call=evolve,
        make_input=start,
        samples=size,
        tokens=size * len(data.held_out) * digits.TOKENS,
        error=error,
        error_limit=SAME_FITNESS,
        details={
            "individuals": size,
            "images": len(data.held_out),
            "experts": EXPERTS,
            "phase_seconds": evolve(start(SEED)).seconds,
        },
    )


def cells(profile: str, device: str) -> list[dict[str, Any]]:
    """Population × way of evaluating."""
    del device
    sizes = {"quick": (32,), "standard": (16, 32, 64), "full": (16, 32, 64, 128)}
    return [
        {"population": size, "evaluation": way}
        for size in sizes.get(profile, (32,))
        for way in ("ordinary", "cached")
    ]


generation.cells = cells  # type: ignore[attr-defined]  # the benchmark asks a factory for axes of its own
