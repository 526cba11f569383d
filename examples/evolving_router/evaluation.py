"""How good topologies are: accuracy on held-out images, by the ordinary path or from what frozen experts said before.

Experts that are not trained say the same about the same images in every generation. `FrozenExperts` keeps what they
said and, beside it, the weights it belongs to: it is used only while every weight is bit for bit the same. Knows no
fitness and no genetic algorithm.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from examples.evolving_router.digits import Split
from examples.evolving_router.genome import Genome
from examples.evolving_router.model import DigitsRouter, Outputs

_TOGETHER = 64  # individuals evaluated at once: bounds the memory, images × tokens × experts × this


@dataclass(frozen=True, slots=True)
class Kept:
    """Outputs, and what they are the outputs of."""

    tokens: torch.Tensor
    weights: tuple[torch.Tensor, ...]
    outputs: Outputs | None  # None: these weights have none, see `DigitsRouter.outputs`


class FrozenExperts:
    """What the experts said about one batch of images, kept for as long as nothing is trained.

    Attributes: `computed`, how often it had to be computed: once for each time the weights or the images changed.
    """

    def __init__(self) -> None:
        self._kept: Kept | None = None
        self.computed = 0

    def outputs(self, model: DigitsRouter, tokens: torch.Tensor) -> tuple[Outputs | None, bool]:
        """The outputs for these images and the weights as they are now, and whether they were kept from before."""
        kept, weights = self._kept, tuple(parameter.detach() for parameter in model.parameters())
        if (
            kept is not None
            and kept.tokens is tokens
            and len(kept.weights) == len(weights)
            and all(torch.equal(then, now) for then, now in zip(kept.weights, weights, strict=True))
        ):
            return kept.outputs, True
        found = model.outputs(tokens)
        self._kept = Kept(tokens, tuple(weight.clone() for weight in weights), found)
        self.computed += 1
        return found, False


@torch.no_grad()
def accuracies(
    population: Sequence[Genome], model: DigitsRouter, images: Split, frozen: FrozenExperts | None
) -> tuple[list[float], Counter[str]]:
    """Accuracy of each individual, NaN where it has none; and how many evaluations raised, by error type.

    Args:
        frozen: None takes each individual through the ordinary path.

    Raises:
        AssertionError: the outputs differ from the ordinary path, which only a defect can cause.
    """
    if frozen is not None:
        try:
            outputs, kept = frozen.outputs(model, images.tokens)
            if outputs is not None:
                found = [
                    accuracy
                    for first in range(0, len(population), _TOGETHER)
                    for accuracy in _together(
                        population[first : first + _TOGETHER], model, images, outputs, kept=kept
                    )
                ]
                return found, Counter()
        except RuntimeError:  # out of memory is one: one after the other needs less, and counts what fails
            pass
    return _one_by_one(population, model, images)


def _together(
    population: Sequence[Genome], model: DigitsRouter, images: Split, outputs: Outputs, *, kept: bool
) -> list[float]:
    device = images.tokens.device
    masks = torch.from_numpy(np.stack([genome.mask for genome in population])).to(device)
    top_k = torch.tensor([genome.top_k for genome in population], device=device)
    scores = model.from_outputs(outputs, masks, top_k)  # (P, N, 10)
    if not kept:  # what was asserted once stays true while the weights do
        ordinary, _ = model(images.tokens, masks[0], population[0].top_k)
        torch.testing.assert_close(scores[0], ordinary, rtol=1e-4, atol=1e-4, equal_nan=True)
    finite = torch.isfinite(scores).flatten(1).all(dim=-1)
    right = (scores.argmax(dim=-1) == images.labels).sum(dim=-1)
    return [
        count / len(images) if number else float("nan")
        for count, number in zip(right.tolist(), finite.tolist(), strict=True)
    ]


def _one_by_one(
    population: Sequence[Genome], model: DigitsRouter, images: Split
) -> tuple[list[float], Counter[str]]:
    found: list[float] = []
    failures: Counter[str] = Counter()
    for genome in population:
        mask = torch.from_numpy(genome.mask).to(images.tokens.device)
        try:
            scores, _ = model(images.tokens, mask, genome.top_k)
            found.append(accuracy_of(scores, images.labels))
        except RuntimeError as error:
            failures[type(error).__name__] += 1
            found.append(float("nan"))
    return found, failures


def accuracy_of(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right answers; NaN where any score is not finite, because then the order of the scores means nothing."""
    if not bool(torch.isfinite(scores).all()):
        return float("nan")
    return int((scores.argmax(dim=-1) == labels).sum()) / len(labels)
