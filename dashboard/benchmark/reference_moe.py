"""The reference MoE layer: as fast as plain PyTorch can be, and checked against a loop nobody can doubt. Imports torch.

SwiGLU experts (or plain GELU ones, as an observed router may have) behind a top-k router. Default path: sort the tokens by expert, one grouped matrix product
for the fused gate and up projections, one for the way down, put the rows back, weigh and add. The sum over
k is taken in a fixed order, so that the result is deterministic (an `index_add` is not, in bfloat16).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Path = Literal["grouped", "loop", "gather", "dense"]
Skew = Literal["uniform", "zipf", "one-hot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of one layer."""

    model_size: int  # D
    expert_size: int  # H, hidden size of one expert
    experts: int  # E
    top_k: int
    gated: bool = True  # SwiGLU: gate, up and down; otherwise up, GELU and down

    @property
    def matrices(self) -> int:
        """How many D × H matrices an expert has."""
        return 3 if self.gated else 2

    def parameters(self) -> int:
        """Weights of all experts and of the router, without biases."""
        return self.model_size * self.experts * (self.matrices * self.expert_size + 1)

    def flops(self, tokens: int) -> float:
        """Multiplications and additions of one forward pass: router and experts; T tokens."""
        router = 2 * tokens * self.model_size * self.experts
        experts = 2 * tokens * self.top_k * self.matrices * self.model_size * self.expert_size
        return float(router + experts)

    def least_bytes(self, tokens: int, distinct_experts: int, element_bytes: int) -> float:
        """Least traffic of a fused pass: each touched expert's weights once, input and output once."""
        experts = self.matrices * self.model_size * self.expert_size * distinct_experts
        weights = experts + self.model_size * self.experts
        return float(element_bytes * (weights + 2 * tokens * self.model_size))


def grouped_mm_runs(dtype: torch.dtype, shape: Shape) -> bool:
    """Whether `torch.nn.functional.grouped_mm` is there and takes this dtype and these strides (16-byte rows)."""
    if not hasattr(functional, "grouped_mm") or dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return False
    element = torch.empty((), dtype=dtype).element_size()
    return shape.model_size * element % 16 == 0 and shape.expert_size * element % 16 == 0


class ReferenceMoE(nn.Module):
    """One MoE layer over inputs (..., D).

    Args:
        shape: its sizes.
        mask: (positions, E) bool, the experts a position may use; position = token index modulo positions.
            A position without any expert yields zeros.
        skew: how unevenly the router spreads tokens: a bias on its logits.
        path: how experts are computed; None chooses by dtype, device and number of tokens.
    """

    bias: Tensor  # (E,)
    closed: Tensor | None  # (positions, E), 0 where open and −∞ where closed
    up_bias: Tensor | None  # (E, H), only of experts that are not gated

    def __init__(
        self,
        shape: Shape,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        mask: Tensor | None = None,
        skew: Skew = "uniform",
        seed: int = 0,
        path: Path | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.path: Path | None = path
        d, h, e = shape.model_size, shape.expert_size, shape.experts
        generator = torch.Generator().manual_seed(seed)

        def weights(*size: int, fan_in: int) -> nn.Parameter:
            values = torch.randn(*size, generator=generator) / fan_in**0.5
            return nn.Parameter(values.to(device=device, dtype=dtype), requires_grad=False)

        # Row-major (out, in) per expert, handed over transposed: the layout matrix products like best.
        self.gate_up = weights(e, 2 * h if shape.gated else h, d, fan_in=d)
        self.down = weights(e, d, h, fan_in=h)
        router = torch.randn(e, d, generator=generator) / d**0.5
        self.router = nn.Parameter(router.to(device=device), requires_grad=False)  # float32, always
        self.register_buffer("bias", _skew_bias(skew, shape).to(device))
        closed = (
            None if mask is None else torch.zeros(mask.shape).masked_fill(~mask.cpu(), -torch.inf).to(device)
        )
        self.register_buffer("closed", closed)
        self.register_buffer("up_bias", None)
        self._grouped = grouped_mm_runs(dtype, shape)

    def route(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Experts (T, k) int64 and their weights (T, k) float32 for tokens (T, D); weights sum to 1, or to 0 where closed."""
        logits = tokens.float() @ self.router.t() + self.bias
        if self.closed is not None:
            positions = torch.arange(tokens.shape[0], device=tokens.device) % self.closed.shape[0]
            logits = logits + self.closed[positions]
        best, experts = logits.topk(self.shape.top_k, dim=-1)
        return experts, torch.softmax(best, dim=-1).nan_to_num(0.0)  # all closed: softmax of −∞ only

    def choose(self, tokens: int) -> Path:
        """The path for this many tokens."""
        if self.path is not None:
            return self.path
        if tokens * self.shape.top_k <= 2 * self.shape.experts and self.gate_up.is_cuda:
            return "gather"  # decode: fewer rows than a grouped kernel can fill
        return "grouped" if self._grouped else "loop"

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (..., D) → outputs of the same shape."""
        tokens = inputs.reshape(-1, self.shape.model_size)
        experts, weights = self.route(tokens)
        path = self.choose(tokens.shape[0])
        if path == "dense":
            rows = self._dense(tokens, experts)
        elif path == "gather":
            rows = self._gather(tokens, experts)
        else:
            rows = self._sorted(tokens, experts, grouped=path == "grouped")
        weighted = rows.view(-1, self.shape.top_k, self.shape.model_size) * weights.unsqueeze(-1).to(
            rows.dtype
        )
        return weighted.sum(dim=1).view(inputs.shape)

    def _sorted(self, tokens: Tensor, experts: Tensor, *, grouped: bool) -> Tensor:
        chosen = experts.reshape(-1)
        order = chosen.argsort(stable=True)
        # scatter_add_, not bincount: bincount waits for the device and breaks the graph under compile
        counts = torch.zeros(self.shape.experts, dtype=torch.int64, device=tokens.device)
        counts = counts.scatter_add_(0, chosen, torch.ones_like(chosen))
        rows = tokens[order // self.shape.top_k]
        if grouped:
            ends = counts.cumsum(0).to(torch.int32)
            inner = functional.grouped_mm(rows, self.gate_up.transpose(-2, -1), offs=ends)
            bias = None if self.up_bias is None else self.up_bias[chosen[order]]
            done = functional.grouped_mm(self._activate(inner, bias), self.down.transpose(-2, -1), offs=ends)
        else:
            done = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
            begin = 0
            for expert, count in enumerate(counts.tolist()):  # one wait for the device per call
                part = slice(begin, begin + count)
                if count:
                    bias = None if self.up_bias is None else self.up_bias[expert]
                    inner = self._activate(rows[part] @ self.gate_up[expert].t(), bias)
                    done[part] = inner @ self.down[expert].t()
                begin += count
        back = torch.empty_like(done)
        back[order] = done
        return back

    def _gather(self, tokens: Tensor, experts: Tensor) -> Tensor:
        chosen = experts.reshape(-1)
        rows = tokens.repeat_interleave(self.shape.top_k, dim=0).unsqueeze(1)
        bias = None if self.up_bias is None else self.up_bias[chosen].unsqueeze(1)
        inner = self._activate(torch.bmm(rows, self.gate_up[chosen].transpose(-2, -1)), bias)
        return torch.bmm(inner, self.down[chosen].transpose(-2, -1)).squeeze(1)

    def _dense(self, tokens: Tensor, experts: Tensor) -> Tensor:
        inner = self._activate(torch.einsum("td,ehd->teh", tokens, self.gate_up), self.up_bias)
        everything = torch.einsum("teh,edh->ted", inner, self.down)
        index = experts.unsqueeze(-1).expand(-1, -1, self.shape.model_size)
        return everything.gather(1, index).reshape(-1, self.shape.model_size)

    def _activate(self, inner: Tensor, bias: Tensor | None) -> Tensor:
        """(…, 2H) or (…, H) → (…, H)."""
        if bias is not None:
            inner = inner + bias
        if not self.shape.gated:
            return functional.gelu(inner)
        gate, up = inner.chunk(2, dim=-1)
        return functional.silu(gate) * up


def _skew_bias(skew: Skew, shape: Shape) -> Tensor:
    """Bias on the logits, whose own spread is 1: none, Zipf's law over the experts, or the first k always."""
    ranks = torch.arange(1, shape.experts + 1, dtype=torch.float32)
    if skew == "uniform":
        return torch.zeros(shape.experts)
    if skew == "zipf":
        return -2 * torch.log(ranks)
    return torch.where(ranks <= shape.top_k, 100.0, 0.0)


def per_token_reference(layer: ReferenceMoE, tokens: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
    """The same in float64, one token and one expert after the other: slow, and nothing to get wrong.

    Takes the routing (T, k) as given: a tie may fall either way in another precision. `routing_error` checks it.
    """
    outputs = torch.zeros(tokens.shape, dtype=torch.float64, device=tokens.device)
    for position, token in enumerate(tokens.double()):
        for expert, weight in zip(experts[position].tolist(), weights[position].double(), strict=True):
            inner = layer.gate_up[expert].double() @ token
            if layer.up_bias is not None:
                inner = inner + layer.up_bias[expert].double()
            if layer.shape.gated:
                gate, up = inner.chunk(2)
                inner = gate * torch.sigmoid(gate) * up
            else:
                inner = 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
            outputs[position] += weight * (layer.down[expert].double() @ inner)
    return outputs


def routing_error(layer: ReferenceMoE, tokens: Tensor, experts: Tensor, positions: Tensor) -> float:
    """How far the worst chosen expert lies below the true k-th best in float64, in units of the logits; 0 is right.

    Args:
        positions: (T,) the index each token had in the call, which the mask depends on.
    """
    logits = tokens.double() @ layer.router.double().t() + layer.bias.double()
    if layer.closed is not None:
        logits = logits + layer.closed[positions % layer.closed.shape[0]].double()
    floor = logits.topk(layer.shape.top_k, dim=-1).values[:, -1:]
    short = (floor - logits.gather(1, experts)).clamp(min=0).nan_to_num(0.0)  # −∞ − −∞: both closed
    return float(short.max()) if short.numel() else 0.0
