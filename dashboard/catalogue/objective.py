"""The latency objective: which share of requests keeps which time, and where a histogram can tell that exactly.

A histogram knows the count below each of its bounds and nothing between two of them. So an objective is measured at
the nearest bound at or above it, which never calls a request slow that kept it, and what is measured is said in words.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dashboard.catalogue.units import SECONDS


@dataclass(frozen=True, slots=True)
class Objective:
    """`ratio` of the requests within `seconds`, over 30 days; `bound` is the histogram's bound that stands for it."""

    seconds: float
    ratio: float
    bound: float

    @classmethod
    def among(cls, seconds: float, ratio: float, bounds: Iterable[float]) -> "Objective":
        """The objective as a histogram with these bounds can tell it: +Inf and disorder do not matter.

        Above the last finite bound there is no bound to take but that one.

        Raises:
            ValueError: there is no finite bound.
        """
        finite = sorted(bound for bound in bounds if math.isfinite(bound))
        if not finite:
            raise ValueError("A histogram without a finite bound says nothing about an objective.")
        return cls(seconds, ratio, next((bound for bound in finite if bound >= seconds), finite[-1]))

    @property
    def budget(self) -> float:
        """The share of requests that may be slow."""
        return round(1 - self.ratio, 9)

    @property
    def le(self) -> str:
        """The value of the label `le` at the bound, as a regular expression: "1" and "1.0" are one bound."""
        return f"{self.bound:g}|{self.bound:g}.0" if self.bound.is_integer() else f"{self.bound:g}"

    @property
    def words(self) -> str:
        """ "99 % within 100 ms" """
        return f"{100 * self.ratio:.6g} % within {SECONDS.format(self.bound)}"

    @property
    def moved(self) -> str:
        """What a reader must know where the bound is not the time that was asked for; empty where it is."""
        asked, measured = SECONDS.format(self.seconds), SECONDS.format(self.bound)
        if self.bound > self.seconds:
            return f"The objective of {asked} is no bound of the histogram: it is measured at the next one, {measured}."
        if self.bound < self.seconds:
            return f"The objective of {asked} lies above the histogram's last bound: it is measured at {measured}."
        return ""

    def threshold(self, factor: float) -> float:
        """The share of slow requests at which the budget is spent `factor` times too fast."""
        return round(factor * self.budget, 9)
