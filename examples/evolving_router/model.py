"""The classifier: patches → embedding → one MoE layer under a routing mask → sum over tokens → digit.

There is no path around the experts: a token that no expert serves says nothing, so the topology matters. Knows no
genetic algorithm. Shapes: N images, T = 16 tokens, E experts, D features.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from examples.evolving_router.digits import CLASSES, PIXELS, TOKENS


@dataclass(frozen=True, slots=True)
class Outputs:
    """What frozen experts and gate say about a fixed batch, whatever the topology. Experts in the gate's order, best first."""

    flag: torch.Tensor  # (E, N, T) 2 to the power of the expert's number
    strength: torch.Tensor  # (E, N, T) exp(gate logit − the token's best one)
    classes: torch.Tensor  # (N, E·T, 10) what the expert adds to the class scores: the head is linear


class DigitsRouter(nn.Module):
    """A classifier with `experts` experts of `hidden` units each."""

    def __init__(self, experts: int = 8, features: int = 16, hidden: int = 32) -> None:
        super().__init__()
        self.experts, self.features, self.hidden = experts, features, hidden
        self.embed = nn.Linear(PIXELS, features)
        self.position = nn.Parameter(torch.randn(TOKENS, features) * 0.5)
        self.gate = nn.Linear(features, experts)
        self.up = nn.Parameter(torch.randn(experts, features, hidden) / math.sqrt(features))
        self.up_bias = nn.Parameter(torch.zeros(experts, 1, hidden))
        self.down = nn.Parameter(torch.randn(experts, hidden, features) / math.sqrt(hidden))
        self.head = nn.Linear(features, CLASSES)

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, T, 4) → (N, T, D)."""
        return self.embed(tokens) + self.position

    def route(self, gate: torch.Tensor, mask: torch.Tensor, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose each token's experts among those its mask allows.

        Args:
            gate: (N, T, E) logits.
            mask: (T, E), True where the token may use the expert.

        Returns:
            Weights (N, T, k), 0 where the mask left fewer than k, and experts (N, T, k).
        """
        allowed = gate.masked_fill(~mask, -torch.inf)
        logits, chosen = allowed.topk(min(top_k, self.experts), dim=-1)
        served = mask.any(dim=-1)[None, :, None]
        weights = torch.where(served, logits, torch.zeros_like(logits)).softmax(dim=-1)
        return weights * torch.isneginf(logits).logical_not(), chosen

    def forward(
        self, tokens: torch.Tensor, mask: torch.Tensor, top_k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The ordinary path: each expert computes the tokens routed to it, and no others.

        Returns:
            Class logits (N, 10), and how many tokens each (position, expert) pair served, (T, E).
        """
        hidden = self.embedded(tokens)
        weights, chosen = self.route(self.gate(hidden), mask, top_k)
        images, length, k = weights.shape
        flat = hidden.reshape(-1, self.features)
        mixed = torch.zeros_like(flat)
        flat_weights, flat_chosen = weights.reshape(-1, k), chosen.reshape(-1, k)
        for expert in range(self.experts):
            rows, slots = torch.nonzero((flat_chosen == expert) & (flat_weights != 0), as_tuple=True)
            if len(rows):
                said = self._expert(flat[rows], expert) * flat_weights[rows, slots, None]
                mixed = mixed.index_add(0, rows, said)
        served = torch.zeros(length, self.experts, dtype=torch.int64, device=tokens.device)
        positions = torch.arange(length, device=tokens.device)[None, :, None].expand(images, length, k)
        used = weights != 0
        pairs = positions[used] * self.experts + chosen[used]
        served.view(-1).scatter_add_(0, pairs, torch.ones_like(pairs))
        return self.head(mixed.reshape(images, length, self.features).sum(dim=1)), served

    @torch.no_grad()
    def outputs(self, tokens: torch.Tensor) -> Outputs | None:
        """What every expert says about every token; None where only the ordinary path can tell.

        N·T·E·(H + D) floats on the way. It cannot tell where the gate prefers an expert so much (or its logits are so far from
        numbers) that the weight of the others beside it vanishes in float32: without that one, nothing would be left. Nor
        for more experts than an integer has bits.
        """
        hidden = self.embedded(tokens)
        logits, order = self.gate(hidden).sort(dim=-1, descending=True)
        strength = (logits - logits[..., :1]).exp()
        if self.experts > 62 or not bool(
            (strength > torch.finfo(strength.dtype).tiny).all()
        ):  # false for NaN, too
            return None
        inner = functional.gelu(torch.einsum("ntd,edh->enth", hidden, self.up) + self.up_bias[:, None])
        classes = torch.einsum("enth,ehd->nted", inner, self.down) @ self.head.weight.t()
        classes = classes.gather(2, order[..., None].expand(*order.shape, CLASSES))
        return Outputs(
            flag=self._flags(order).permute(2, 0, 1).contiguous(),
            strength=strength.permute(2, 0, 1).contiguous(),
            classes=classes.transpose(1, 2).flatten(1, 2).contiguous(),
        )

    @torch.no_grad()
    def from_outputs(self, outputs: Outputs, masks: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
        """Class scores (P, N, 10) of many topologies at once; equal `forward`'s of each while nothing was trained.

        Args:
            masks: (P, T, E).
            top_k: (P,) int.
        """
        experts, images, length = outputs.strength.shape
        individuals = len(masks)
        flags = self._flags(torch.arange(experts, device=masks.device))
        allowed = (
            (masks * flags).sum(dim=-1, dtype=flags.dtype).t().contiguous()
        )  # (T, P), a bit for each open expert
        most = top_k.to(torch.uint8)
        # (N, E, T, P): individuals innermost, so that a step is long and the product below needs no copy
        weights = torch.empty(images, experts, length, individuals, device=masks.device)
        used = torch.zeros(images, length, individuals, dtype=torch.uint8, device=masks.device)
        total = torch.zeros(images, length, individuals, device=masks.device)
        nothing = torch.zeros((), device=masks.device)
        for rank in range(experts):
            open_here = (allowed & outputs.flag[rank, :, :, None]) != 0
            used += open_here
            weight = weights[:, rank]
            chosen = open_here & (used <= most)
            torch.where(chosen, outputs.strength[rank, :, :, None], nothing, out=weight)
            total += weight
        weights /= torch.where(total > 0, total, 1)[:, None]  # a token that may use no expert says nothing
        scores = torch.bmm(weights.flatten(1, 2).transpose(1, 2), outputs.classes)  # (N, P, 10)
        return scores.transpose(0, 1) + self.head.bias

    def _flags(self, experts: torch.Tensor) -> torch.Tensor:
        """One bit for each expert number, in the smallest integers that hold them: they are read for every individual."""
        return (
            torch.ones((), dtype=torch.int64, device=experts.device)
            .bitwise_left_shift(experts)
            .to(torch.uint8 if self.experts <= 8 else torch.int64)
        )

    def _expert(self, rows: torch.Tensor, expert: int) -> torch.Tensor:
        return functional.gelu(rows @ self.up[expert] + self.up_bias[expert]) @ self.down[expert]

    def parameter_count(self) -> int:
        """Trainable numbers in the model."""
        return sum(parameter.numel() for parameter in self.parameters())

    def size_bytes(self) -> int:
        """Memory of the parameters."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.parameters())

    def flops(self, mask: torch.Tensor, top_k: int) -> int:
        """Floating point operations of the matrix products of one image under this topology; a multiply-add is two."""
        calls = int(mask.sum(dim=-1).clamp(max=top_k).sum())
        per_token = 2 * PIXELS * self.features + 2 * self.features * self.experts
        per_call = 2 * 2 * self.features * self.hidden
        return TOKENS * per_token + calls * per_call + 2 * self.features * CLASSES
