"""Evolve the router and report each generation. `python -m examples.evolving_router --help` lists what it can do.

Ctrl-C or SIGTERM lets the generation in progress end and finishes the run (state "finished"); kill -9 leaves a run
that reads as died. The five lines that instrument the loop are marked `# observer n/5` (four here, one in
`serving`).
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dashboard.observer import Observer  # observer 1/5
from examples.evolving_router import digits
from examples.evolving_router.evaluation import FrozenExperts
from examples.evolving_router.evolution import Generation, Search, evolve_one_generation
from examples.evolving_router.genome import Genome, Shape
from examples.evolving_router.model import DigitsRouter
from examples.evolving_router.report import Reporter
from examples.evolving_router.serving import LoadGenerator, Server
from examples.evolving_router.training import LEARNING_RATE, Trainer

ABSURD_LEARNING_RATE = 1e12
STEPS_BEFORE = 60  # of training under random topologies, before the first generation
STEPS_BETWEEN = 6  # after each generation, under the fittest half
REQUESTS_AT_LEAST = 4  # served after each generation, however short the pace
CHECKPOINT_EVERY = 10  # generations, and whenever the best genome changed


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.evolving_router",
        description="A small self-evolving MoE router on real digits.",
    )
    add = parser.add_argument
    add("--generations", type=int, default=0, help="how many to evolve; 0 goes on until stopped (default)")
    add("--population", type=int, default=24)
    add("--experts", type=int, default=8)
    add("--mutation-rate", type=float, default=0.02, help="per connection; 0 makes the population collapse")
    add("--seed", type=int, default=0, help="of data split, weights, evolution and load")
    add(
        "--pace",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="serve requests until a generation took this long",
    )
    add(
        "--requests",
        type=float,
        default=40.0,
        metavar="PER_SECOND",
        help="mean arrival rate of inference requests",
    )
    add(
        "--freeze-expert",
        type=int,
        action="append",
        default=[],
        metavar="K",
        help="no topology may use expert K",
    )
    add(
        "--slow", action="store_true", help="do so much work per request that the latency objective is missed"
    )
    add(
        "--nan",
        action="store_true",
        help="train with an absurd learning rate: loss and fitness stop being numbers",
    )
    add(
        "--train-every",
        type=int,
        default=1,
        metavar="N",
        help="train the experts after each Nth generation; in between they are frozen, and evaluation is cheap",
    )
    add("--ordinary-evaluation", action="store_true", help="run each individual's full forward pass")
    add("--threads", type=int, default=1, help="CPU threads of torch")
    add("--port", type=int, default=9100, help="of /metrics; 0 takes a free one")
    add("--runs-dir", type=Path, default=Path("runs"))
    add("--run-name", default="digits")
    chosen = parser.parse_args(argv)
    if chosen.population < 2 or chosen.experts < 2:
        parser.error("a population and a router need at least two members")
    if chosen.train_every < 1:
        parser.error("--train-every: 1 trains after every generation, N after each Nth")
    if any(not 0 <= expert < chosen.experts for expert in chosen.freeze_expert):
        parser.error(f"--freeze-expert: experts are 0 to {chosen.experts - 1}")
    if len(set(chosen.freeze_expert)) >= chosen.experts:
        parser.error("--freeze-expert: one expert must be left")
    return chosen


class Stop:
    """Set by SIGINT and SIGTERM; the loop looks at it between generations. A second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def evolve(chosen: argparse.Namespace, observer: Observer, checkpoints: Path | None, stop: Stop) -> None:
    """The loop: evolve, train, serve, report."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(chosen.seed)
    data = digits.load(chosen.seed, device)
    breeding, training = np.random.default_rng(chosen.seed).spawn(2)
    model = DigitsRouter(chosen.experts).to(device)
    shape = Shape(digits.TOKENS, chosen.experts, frozenset(chosen.freeze_expert))
    search = Search(shape, chosen.mutation_rate)
    frozen = None if chosen.ordinary_evaluation else FrozenExperts()
    population = [shape.random(breeding) for _ in range(chosen.population)]
    trainer = Trainer(model, data.train, training, LEARNING_RATE)
    trainer.train(population, STEPS_BEFORE)
    if chosen.nan:
        trainer.learning_rate = ABSURD_LEARNING_RATE
    reporter = Reporter(model, data.held_out, search)
    load = LoadGenerator(data.served, chosen.requests, chosen.seed)
    server = Server(model, load, observer, slow=chosen.slow)
    best: Genome | None = None
    number = 0
    with load.running():
        while not stop.asked and (chosen.generations == 0 or number < chosen.generations):
            number += 1
            began = time.monotonic()
            generation = evolve_one_generation(
                population,
                model,
                data.held_out,
                search,
                breeding,
                (lambda fit: trainer.train(fit, STEPS_BETWEEN)) if number % chosen.train_every == 0 else None,
                observer.span,
                frozen,
            )
            before, best = best, generation.population[generation.best]
            served = server.serve(best, REQUESTS_AT_LEAST, until=began + chosen.pace)
            values = reporter.report(generation, trainer, served)
            topology = {"matrix": best.mask, "top_k": best.top_k}
            observer.log(values, step=number, topology=topology)  # observer 5/5
            if before is None or before.key != best.key or number % CHECKPOINT_EVERY == 0:
                save(checkpoints, model, best, number)
            say(number, generation, values)
            population = generation.children


def save(folder: Path | None, model: DigitsRouter, best: Genome, generation: int) -> None:
    """Move a whole checkpoint into place: weights, and the topology they are used with."""
    if folder is None:
        return
    part = folder / "checkpoint.part"
    config = {
        "experts": model.experts,
        "features": model.features,
        "hidden": model.hidden,
        "top_k": best.top_k,
    }
    torch.save(
        {
            "experts": model.state_dict(),
            "config": {**config, "mask": best.mask.tolist(), "generation": generation},
        },
        part,
    )
    part.replace(folder / "checkpoint.pt")


def say(number: int, generation: Generation, values: dict[str, object]) -> None:
    """One line for the person who watches the terminal."""
    phases = " ".join(f"{phase} {1000 * seconds:.0f} ms" for phase, seconds in generation.seconds.items())
    print(
        f"generation {number}: best {values['evolution_fitness_best']:.4f}"
        f" mean {values['evolution_fitness_average']:.4f} diversity {values['evolution_diversity_score']:.3f}"
        f" connections {values['routing_connections_active']} loss {values['training_loss']:.3f} ({phases})",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    stop = Stop()
    options = ("generations", "population", "mutation_rate", "seed", "pace", "train_every", "slow", "nan")
    config = {option: getattr(chosen, option) for option in options}
    config |= {"num_experts": chosen.experts, "frozen": chosen.freeze_expert}
    observer = Observer(chosen.port, run_name=chosen.run_name, runs_dir=chosen.runs_dir)  # observer 2/5
    with observer.run(config=config) as run:  # observer 3/5
        print(f"run {run.run_id} in {run.directory}, metrics on port {observer.port}", flush=True)
        evolve(chosen, observer, run.directory, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
