"""The handwritten digits of scikit-learn as sequences of patches: each 8×8 image is 16 tokens of 2×2 pixels.

Knows no model. The three splits do not overlap; which image goes where depends on the seed alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits

TOKENS = 16  # 4 × 4 patches
PIXELS = 4  # of a 2 × 2 patch
CLASSES = 10
HELD_OUT = 400
SERVED = 200


@dataclass(frozen=True, slots=True)
class Split:
    """Images as tokens, (N, 16, 4) in 0..1, and their digits, (N,)."""

    tokens: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Digits:
    """`train` for the experts, `held_out` for fitness, `served` for inference requests."""

    train: Split
    held_out: Split
    served: Split


def load(seed: int, device: torch.device) -> Digits:
    """Read the digits and split them."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    patches = images.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, TOKENS, PIXELS) / 16

    def split(rows: np.ndarray) -> Split:
        return Split(
            torch.tensor(patches[rows], dtype=torch.float32, device=device),
            torch.tensor(labels[rows], dtype=torch.int64, device=device),
        )

    return Digits(
        train=split(order[HELD_OUT + SERVED :]),
        held_out=split(order[:HELD_OUT]),
        served=split(order[HELD_OUT : HELD_OUT + SERVED]),
    )
