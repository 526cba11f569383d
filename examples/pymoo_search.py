"""A search by pymoo, which knows nothing of routers, made visible by the observer.

    python -m examples.pymoo_search --generations 100

pymoo minimises, so the fitness that is reported is the objective with its sign turned: it is negative, and 0 is the
optimum. There are no experts here and no training, and the dashboard shows neither. The lines that instrument the
search are marked `# observer n/4`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.algorithm import Algorithm
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from dashboard.observer import Observer  # observer 1/4

VARIABLES = 10


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.pymoo_search", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--population", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=9100, help="of /metrics; 0 takes a free one")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Search the minimum of Rastrigin's function; returns the exit status."""
    chosen = arguments(argv)
    observer = Observer(chosen.port, run_name="pymoo", runs_dir=chosen.runs_dir)  # observer 2/4

    def report(algorithm: Algorithm) -> None:
        fitness = -algorithm.pop.get("F")[:, 0]
        values = {
            "fitness_best": fitness.max(),
            "fitness_average": fitness.mean(),
            "fitness_std": fitness.std(),
            "fitness_min": fitness.min(),
            "population_size": len(fitness),
            "evaluations_total": algorithm.evaluator.n_eval,
        }
        observer.log(values, step=algorithm.n_gen)  # observer 3/4

    problem = get_problem("rastrigin", n_var=VARIABLES)
    with observer.run(
        config={"problem": "rastrigin", "variables": VARIABLES, "seed": chosen.seed}
    ):  # observer 4/4
        algorithm = GA(pop_size=chosen.population)
        found = minimize(problem, algorithm, ("n_gen", chosen.generations), seed=chosen.seed, callback=report)
    print(f"best fitness {-found.F[0]:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
