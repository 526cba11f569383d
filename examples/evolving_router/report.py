"""What the example says of a generation: every value measured, under the catalogue's names.

Definitions that the names leave open:
  convergence rate      mean gain of the best fitness per generation over the last ten generations
  diversity score       mean Jaccard distance between pairs of genomes (see `genome.diversity`)
  specialization score  1 − H(patch position | expert) / log T over the tokens the expert served: 1 is one position
                        only, 0 all positions alike; not said for an expert that served nothing
  routing efficiency    held-out accuracy of the best topology ÷ that of the full mask with the same top-k
  path length           experts that a token passed on average, as served
  utilization           the expert's share of the token–expert calls served since the last generation
"""

import math
import statistics
from collections import Counter, deque

import torch

from examples.evolving_router.digits import TOKENS, Split
from examples.evolving_router.evaluation import accuracy_of
from examples.evolving_router.evolution import Generation, Search
from examples.evolving_router.genome import diversity
from examples.evolving_router.model import DigitsRouter
from examples.evolving_router.serving import Served
from examples.evolving_router.training import Trainer

CONVERGENCE_GENERATIONS = 10


class Reporter:
    """Turns generations into the dict that `observer.log` takes; remembers what totals and rates need."""

    def __init__(self, model: DigitsRouter, held_out: Split, search: Search) -> None:
        self._model, self._held_out, self._search = model, held_out, search
        self._best: deque[float] = deque(maxlen=CONVERGENCE_GENERATIONS + 1)
        self._evaluations = 0
        self._failures: Counter[str] = Counter()
        self._tokens = torch.zeros(model.experts, dtype=torch.int64)

    def report(self, generation: Generation, trainer: Trainer, served: Served) -> dict[str, object]:
        """Values of one generation. `served` is what was served since the last report."""
        return {
            **self._population(generation),
            **self._routing(generation, served),
            **self._training(trainer),
        }

    def _population(self, generation: Generation) -> dict[str, object]:
        finite = [value for value in generation.fitness if math.isfinite(value)]
        best = generation.fitness[generation.best]
        self._best.append(best)
        self._evaluations += len(generation.population)
        self._failures += generation.failures
        full = len(self._best) == self._best.maxlen
        values: dict[str, object] = {
            "evolution_fitness_best": best,
            "evolution_fitness_average": statistics.fmean(finite) if finite else math.nan,
            "evolution_fitness_std": statistics.pstdev(finite) if finite else math.nan,
            "evolution_fitness_min": min(finite, default=math.nan),
            "evolution_fitness_median": statistics.median(finite) if finite else math.nan,
            "evolution_nonfinite_fitness_count": len(generation.fitness) - len(finite),
            "evolution_diversity_score": diversity(generation.population),
            "evolution_distinct_genomes": len({genome.key for genome in generation.population}),
            "evolution_convergence_rate": (best - self._best[0]) / CONVERGENCE_GENERATIONS if full else None,
            "evolution_population_size": len(generation.population),
            "evolution_elite_count": self._search.elites,
            "evolution_mutation_rate": self._search.mutation_rate,
            "evolution_crossover_rate": self._search.crossover_rate,
            "evolution_evaluations_total": self._evaluations,
        }
        if self._failures:
            values["evolution_evaluation_failures_total"] = dict(self._failures)
        return values

    def _routing(self, generation: Generation, served: Served) -> dict[str, object]:
        best = generation.population[generation.best]
        self._tokens += served.calls.sum(dim=0).cpu()
        calls = served.calls.sum(dim=0).double().cpu()  # (E,)
        values: dict[str, object] = {
            "routing_sparsity_ratio": 1 - best.connections / best.mask.size,
            "routing_connections_active": best.connections,
            "routing_efficiency_score": self._efficiency(generation),
            "expert_tokens_total": dict(enumerate(self._tokens.tolist())),
            "model_flops": self._model.flops(torch.from_numpy(best.mask), best.top_k),
        }
        if served.images:
            shares = (calls / calls.sum()).tolist()
            values |= {
                "expert_utilization_ratio": dict(enumerate(shares)),
                "expert_load_balance_variance": statistics.pvariance(shares),
                "expert_specialization_score": specialization(served.calls),
                "routing_path_length_avg": float(calls.sum()) / (served.images * TOKENS),
            }
        return values

    @torch.no_grad()
    def _efficiency(self, generation: Generation) -> float | None:
        best = generation.population[generation.best]
        device = self._held_out.tokens.device
        full = torch.ones(best.mask.shape, dtype=torch.bool, device=device)
        full[:, [*self._search.shape.frozen]] = False
        logits, _ = self._model(self._held_out.tokens, full, best.top_k)
        dense = accuracy_of(logits, self._held_out.labels)
        return generation.accuracy[generation.best] / dense if dense > 0 else None

    def _training(self, trainer: Trainer) -> dict[str, object]:
        return {
            "training_loss": trainer.loss,
            "training_accuracy": trainer.accuracy,
            "training_learning_rate": trainer.learning_rate,
            "training_epoch": trainer.epoch,
            "model_parameter_count": self._model.parameter_count(),
            "model_size_bytes": self._model.size_bytes(),
        }


def specialization(calls: torch.Tensor) -> dict[int, float | None]:
    """Score per expert from (T, E) tokens served, as defined above; None for an expert that served nothing."""
    scores: dict[int, float | None] = {}
    for expert, column in enumerate(calls.double().T):
        if column.sum() == 0:
            scores[expert] = None
            continue
        share = column[column > 0] / column.sum()
        scores[expert] = 1 + float((share * share.log()).sum()) / math.log(len(column))
    return scores
