"""A tiny Mixtral of Hugging Face transformers, from random weights, whose routers evolve while its experts are trained.

    python -m examples.huggingface_moe --generations 50

Nothing is downloaded: the model is made from a configuration, and the text it learns, byte by byte, is the source of a
module of Python itself. In each generation the experts are trained for a few steps; then copies of all router weights
are mutated, and the one under which the model predicts held-out text best is kept. The fitness is the loss with its
sign turned. The observer finds the routers and counts where they send each token, layer by layer: all tokens of a
generation, those of children that were not kept as well. The lines that instrument it are marked `# observer n/5`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import torch
from transformers import MixtralConfig, MixtralForCausalLM

from dashboard.observer import Observer  # observer 1/5

LENGTH = 64  # bytes of text in one sequence
BATCH = 8  # sequences
HELD_OUT = 16  # sequences
MUTATION = 0.05  # standard deviation, of the router weights' own
Routers = list[torch.Tensor]  # one (experts, hidden) a layer


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.huggingface_moe", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--generations", type=int, default=50)
    parser.add_argument("--population", type=int, default=6)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="of training before each generation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--port", type=int, default=9100, help="of /metrics; 0 takes a free one")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    return parser.parse_args(argv)


def tiny(layers: int, experts: int) -> MixtralForCausalLM:
    """A Mixtral of some ten thousand parameters a layer, over bytes."""
    config = MixtralConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=experts,
        num_experts_per_tok=2,
        max_position_embeddings=LENGTH,
    )
    return MixtralForCausalLM(config)


def text() -> torch.Tensor:
    """The source of argparse as (sequences, LENGTH) bytes."""
    source = torch.frombuffer(bytearray(Path(argparse.__file__).read_bytes()), dtype=torch.uint8).long()
    return source[: len(source) // LENGTH * LENGTH].view(-1, LENGTH)


class Search:
    """Trains the experts and evolves the routers of one model."""

    def __init__(self, model: MixtralForCausalLM) -> None:
        shuffled = text()
        shuffled = shuffled[torch.randperm(len(shuffled))]
        self._held_out, self._train = shuffled[:HELD_OUT], shuffled[HELD_OUT:]
        self._model = model
        self._optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        self._gates = [layer.mlp.gate.weight for layer in model.model.layers]

    def train(self, steps: int) -> float:
        """Take some steps under the routers as they are; returns the mean loss."""
        losses = []
        for _ in range(steps):
            rows = torch.randint(len(self._train), (BATCH,))
            loss = self._loss(self._train[rows])
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    @torch.no_grad()
    def evolve(self, population: int) -> list[float]:
        """Keep the fittest of the routers as they are and `population` - 1 mutated copies; returns all fitness."""
        now = [gate.detach().clone() for gate in self._gates]
        candidates = [now, *(self._mutated(now) for _ in range(population - 1))]
        fitness = [self._fitness(candidate) for candidate in candidates]
        self._use(candidates[max(range(population), key=fitness.__getitem__)])
        return fitness

    def _mutated(self, routers: Routers) -> Routers:
        return [router + MUTATION * router.std() * torch.randn_like(router) for router in routers]

    def _fitness(self, routers: Routers) -> float:
        self._use(routers)
        return -self._loss(self._held_out).item()

    def _use(self, routers: Routers) -> None:
        for gate, router in zip(self._gates, routers, strict=True):
            gate.copy_(router)

    def _loss(self, sequences: torch.Tensor) -> torch.Tensor:
        return self._model(input_ids=sequences, labels=sequences).loss


def main(argv: Sequence[str] | None = None) -> int:
    """Train and evolve; returns the exit status."""
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    model = tiny(chosen.layers, chosen.experts)
    search = Search(model)
    observer = Observer(chosen.port, run_name="mixtral", runs_dir=chosen.runs_dir)  # observer 2/5
    observer.watch(model)  # observer 3/5
    with observer.run(
        config={"num_experts": chosen.experts, "top_k": 2, "layers": chosen.layers}
    ):  # observer 4/5
        for generation in range(1, chosen.generations + 1):
            loss = search.train(chosen.steps)
            fitness = search.evolve(chosen.population)
            values = {
                "fitness_best": max(fitness),
                "fitness_average": sum(fitness) / len(fitness),
                "fitness_min": min(fitness),
                "population_size": len(fitness),
                "training_loss": loss,
                "parameter_count": model.num_parameters(),
            }
            observer.log(values, step=generation)  # observer 5/5
            print(f"generation {generation}: fitness {max(fitness):.4f} loss {loss:.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
