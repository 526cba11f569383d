"""Training of the experts and the gate: a few steps of Adam, each under one of the given topologies.

Knows no genetic algorithm: it is told which genomes to train under.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from examples.evolving_router.digits import Split
from examples.evolving_router.evaluation import accuracy_of
from examples.evolving_router.genome import Genome
from examples.evolving_router.model import DigitsRouter

BATCH = 128
BALANCE = 0.01  # weight of the load-balancing loss
LEARNING_RATE = 3e-3
SLOWEST_RATE = 3e-4
DECAY = 0.985  # of the learning rate, each time the trainer is called


class Trainer:
    """Keeps the optimiser and what it saw last.

    Attributes: `loss` and `accuracy`, means over the last call, NaN where they were; `learning_rate`; `epoch`, how
    often the training images were seen.
    """

    def __init__(
        self,
        model: DigitsRouter,
        images: Split,
        rng: np.random.Generator,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        self._model, self._images, self._rng = model, images, rng
        self._optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
        self._seen = 0
        self.learning_rate = learning_rate
        self.loss: float | None = None
        self.accuracy: float | None = None

    @property
    def epoch(self) -> float:
        """Passes over the training images so far."""
        return self._seen / len(self._images)

    def train(self, genomes: Sequence[Genome], steps: int) -> None:
        """Take `steps` steps, each on a random batch under a random one of the genomes."""
        losses, accuracies = [], []
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate
        for _ in range(steps):
            rows = torch.from_numpy(self._rng.integers(len(self._images), size=BATCH))
            genome = genomes[self._rng.integers(len(genomes))]
            tokens = self._images.tokens[rows]
            labels = self._images.labels[rows]
            mask = torch.from_numpy(genome.mask).to(tokens.device)
            logits, served = self._model(tokens, mask, genome.top_k)
            loss = functional.cross_entropy(logits, labels)
            loss = loss + BALANCE * self._imbalance(tokens, mask, served)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            losses.append(float(loss.detach()))
            accuracies.append(accuracy_of(logits.detach(), labels))
            self._seen += BATCH
        self.loss, self.accuracy = float(np.mean(losses)), float(np.mean(accuracies))
        self.learning_rate = max(self.learning_rate * DECAY, min(self.learning_rate, SLOWEST_RATE))

    def _imbalance(self, tokens: torch.Tensor, mask: torch.Tensor, served: torch.Tensor) -> torch.Tensor:
        """Load-balancing loss of the Switch Transformer (Fedus et al. 2021, eq. 4), over the experts each token may use."""
        gate = self._model.gate(self._model.embedded(tokens)).masked_fill(~mask, -torch.inf)
        probability = gate.softmax(dim=-1).mean(dim=(0, 1))
        share = served.sum(dim=0) / served.sum().clamp(min=1)
        return self._model.experts * (probability * share).sum()
