"""A search by PyGAD, which knows nothing of routers, made visible by the observer.

    python -m examples.pygad_search --generations 100

It places queens on a chess board. The fitness counts the pairs of queens that do not attack each other: 120 for sixteen
queens that are all safe, far above 1. There are no experts here and no training, and the dashboard shows neither. The
lines that instrument the search are marked `# observer n/4`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygad

from dashboard.observer import Observer  # observer 1/4

QUEENS = 16
MUTATED = 2  # genes of each child


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.pygad_search", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--population", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=9100, help="of /metrics; 0 takes a free one")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    return parser.parse_args(argv)


def safe_pairs(_search: pygad.GA, rows: np.ndarray, _index: int) -> int:
    """Pairs of queens that do not attack each other; `rows` is (QUEENS,), the row of the queen in each column."""
    first, second = np.triu_indices(QUEENS, 1)
    apart = np.abs(rows[first] - rows[second])
    return int(np.count_nonzero((apart != 0) & (apart != second - first)))


def main(argv: Sequence[str] | None = None) -> int:
    """Place the queens; returns the exit status."""
    chosen = arguments(argv)
    observer = Observer(chosen.port, run_name="pygad", runs_dir=chosen.runs_dir)  # observer 2/4

    def report(search: pygad.GA) -> None:
        fitness = search.last_generation_fitness
        values = {
            "fitness_best": fitness.max(),
            "fitness_average": fitness.mean(),
            "fitness_std": fitness.std(),
            "fitness_min": fitness.min(),
            "population_size": len(fitness),
            "distinct_genomes": len(np.unique(search.population, axis=0)),
            "mutation_rate": MUTATED / QUEENS,
        }
        observer.log(values, step=search.generations_completed)  # observer 3/4

    search = pygad.GA(
        num_generations=chosen.generations,
        num_parents_mating=chosen.population // 2,
        sol_per_pop=chosen.population,
        num_genes=QUEENS,
        gene_type=int,
        gene_space=range(QUEENS),
        mutation_num_genes=MUTATED,
        parent_selection_type="tournament",
        keep_elitism=2,
        fitness_func=safe_pairs,
        on_generation=report,
        random_seed=chosen.seed,
    )
    with observer.run(config={"problem": "queens", "queens": QUEENS, "seed": chosen.seed}):  # observer 4/4
        search.run()
    print(f"{search.best_solution()[1]:.0f} of {QUEENS * (QUEENS - 1) // 2} pairs are safe")
    return 0


if __name__ == "__main__":
    sys.exit(main())
