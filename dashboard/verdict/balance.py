"""How evenly the experts of a layer share the load, and which of them do not: every threshold and formula is here.

Pure arithmetic on shares; all numbers are per layer, because an average over layers hides the layer that collapsed.
Load means load ÷ fair load: the expert's share times the number of experts. 1 is fair, 0 is dead, N is everything.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dashboard.catalogue.experts import (
    COLLAPSED_BELOW,
    COLLAPSED_FROM,
    DEAD_BELOW,
    LAYER_UNEVEN_ABOVE,
    OVERLOADED_ABOVE,
    STARVED_BELOW,
    UNEVEN_ABOVE,
)

Floats = NDArray[np.float64]
Condition = Literal["dead", "starved", "overloaded"]

FORMULAS = {
    "effective": "exp(−Σ pᵢ ln pᵢ) ÷ N, the exponential of Shannon's entropy of the shares pᵢ (Hill 1973, “Diversity and evenness”): "
    "100 % is even, 1/N is everything on one expert.",
    "dead": f"Share of the layer's experts with load ÷ fair load below {DEAD_BELOW:g}.",
    "cv": "Standard deviation ÷ mean of the load (Shazeer et al. 2017, “Outrageously large neural networks”): 0 is even, √(N−1) is everything on one expert.",
    "violation": "Largest load ÷ fair load, minus 1: MaxVio of Wang et al. 2024, “Auxiliary-loss-free load balancing”. 0 is even, N−1 is everything on one expert.",
    "variance": "Variance of the shares pᵢ, the guide's measure. Its largest value is (N−1)/N², so it shrinks as experts are added.",
}


@dataclass(frozen=True, slots=True)
class Balance:
    """One layer against time: arrays of one value a point, NaN where nothing was routed."""

    experts: int
    effective: Floats  # ratio of N
    dead: Floats  # ratio of N
    cv: Floats
    violation: Floats
    variance: Floats

    @property
    def last(self) -> int | None:
        """The newest point that has a value."""
        known = np.flatnonzero(np.isfinite(self.effective))
        return int(known[-1]) if known.size else None

    @property
    def collapsed(self) -> bool:
        """Whether the layer uses so few of its experts that the alert RouterCollapse would say so."""
        return (
            self.last is not None
            and self.experts >= COLLAPSED_FROM
            and bool(self.effective[self.last] < COLLAPSED_BELOW)
        )


@dataclass(frozen=True, slots=True)
class Scale:
    """What a measure can say of a layer of N experts: between `even` and `worst`; from `line` on it is named. None: no line."""

    even: float
    line: float | None
    worst: float


def scales(experts: int, *, layered: bool) -> dict[str, Scale]:
    """Each measure's scale for a layer of so many experts. `layered`: one of several layers, which may be less even.

    All follow from N: the worst case is everything on one expert, p = (1, 0, …, 0); the variance of shares is CV² / N².
    """
    n = max(experts, 1)
    cv = LAYER_UNEVEN_ABOVE if layered else UNEVEN_ABOVE
    return {
        "effective": Scale(1.0, COLLAPSED_BELOW if n >= COLLAPSED_FROM else None, 1 / n),
        "dead": Scale(0.0, 1 / n, (n - 1) / n),
        "cv": Scale(0.0, cv if cv < (n - 1) ** 0.5 else None, (n - 1) ** 0.5),
        "violation": Scale(0.0, most_load(n) - 1 if n > 1 else None, n - 1.0),
        "variance": Scale(0.0, cv**2 / n**2 if cv < (n - 1) ** 0.5 else None, (n - 1) / n**2),
    }


def most_load(experts: int) -> float:
    """Load ÷ fair load above which an expert is overloaded. Of two experts none can carry three fair loads; one alone cannot help it."""
    return min(OVERLOADED_ABOVE, 0.9 * experts) if experts > 1 else np.inf


@dataclass(frozen=True, slots=True)
class Named:
    """An expert that does not carry its share now."""

    layer: str
    expert: str
    condition: Condition
    load: float  # load ÷ fair load, newest
    since: int  # index of the first point of the unbroken stretch
    from_start: bool  # it was so at the first point known, so it may have begun before


def balance(share: Floats) -> Balance:
    """Measures of one layer. `share` is (experts, points), summing to 1 over the experts; NaN where nothing was routed."""
    there = np.isfinite(share)
    count = there.sum(axis=0)  # experts that said something: what is not said is not a zero
    n = np.maximum(count, 1)
    p = np.where(there, share, 0.0)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    apart = np.where(there, p * n - p.sum(axis=0), 0.0)  # load ÷ fair load, less its mean
    cv = np.sqrt((apart**2).sum(axis=0) / n)
    values = {
        "effective": np.exp(-(p * logs).sum(axis=0)) / n,
        "dead": (there & (p * n < DEAD_BELOW)).sum(axis=0) / n,
        "cv": cv,
        "violation": (p * n).max(axis=0, initial=0.0) - 1,
        "variance": (cv / n) ** 2,
    }
    return Balance(
        experts=share.shape[0], **{name: np.where(count > 0, value, np.nan) for name, value in values.items()}
    )


def named(layer: str, experts: tuple[str, ...], load: Floats) -> list[Named]:
    """The experts of a layer that are dead, starved or overloaded at the newest point, the worst first.

    `load` is (experts, points) load ÷ fair load.
    """
    known = np.flatnonzero(np.isfinite(load).any(axis=0))
    if known.size == 0:
        return []
    found = []
    most = most_load(len(experts))
    for i, expert in enumerate(experts):
        values = load[i, known]
        newest = values[-1]
        if newest < DEAD_BELOW:
            condition: Condition = "dead"
            holds = values < DEAD_BELOW
        elif newest < STARVED_BELOW:
            condition, holds = "starved", values < STARVED_BELOW
        elif newest > most:
            condition, holds = "overloaded", values > most
        else:
            continue
        broken = np.flatnonzero(~holds)
        first = known[broken[-1] + 1] if broken.size else known[0]
        found.append(Named(layer, expert, condition, float(newest), int(first), not broken.size))
    rank = {"dead": 0, "starved": 1, "overloaded": 2}
    return sorted(
        found, key=lambda one: (rank[one.condition], one.load if one.condition != "overloaded" else -one.load)
    )
