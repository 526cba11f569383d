"""How far a run has come, when it reached a fitness, and how far two runs are apart. Pure arithmetic on a run's points.

Best-so-far is a step function: it holds from one gain to the next, also through generations that nobody saw. On every
axis it is read along the furthest place reached, so that a run that began again counts on from where it was best.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.catalogue import evolution as metrics

Floats = NDArray[np.float64]
Alignment = Literal["generation", "elapsed", "time", "evaluations"]
COLUMNS: dict[Alignment, str] = {"generation": "generation", "elapsed": "elapsed_seconds", "time": "time"}


@dataclass(frozen=True, slots=True)
class Reached:
    """The first point at a fitness or above it; None is not told."""

    generation: float | None
    seconds: float | None  # since the run started
    evaluations: float | None
    at_first: bool  # it was so at the first point known: it may have been so before


@dataclass(frozen=True, slots=True)
class Between:
    """Two best-so-far curves over the stretch of an axis that both have. Differences are the first minus the second."""

    edges: Floats  # (n + 1,) where either changes, and the end of the stretch
    one: Floats  # (n,) from one edge to the next
    other: Floats  # (n,)

    @property
    def mean(self) -> float:
        """Mean difference: the area between the curves, by the length of the stretch."""
        width = np.diff(self.edges)
        return float(np.average(self.one - self.other, weights=width if width.any() else None))

    @property
    def final(self) -> float:
        """Difference at the end of the stretch."""
        return float(self.one[-1] - self.other[-1])


def best_so_far(frame: pd.DataFrame) -> Floats:
    """The best fitness up to each point, through restarts; NaN before the first."""
    if metrics.BEST.name not in frame:
        return np.full(len(frame), np.nan)
    return frame[metrics.BEST.name].cummax().ffill().to_numpy(np.float64)


def evaluations(frame: pd.DataFrame) -> Floats:
    """Fitness evaluations up to each point; a counter that began anew counts on. NaN where the run does not tell them."""
    total = np.full(len(frame), np.nan)
    if metrics.EVALUATIONS.name not in frame:
        return total
    counted = frame[metrics.EVALUATIONS.name].to_numpy(np.float64)
    known = np.flatnonzero(np.isfinite(counted))
    if known.size:
        step = np.diff(counted[known], prepend=0.0)
        total[known] = np.cumsum(np.where(step < 0, counted[known], step))
    return total


def seconds_a_generation(frame: pd.DataFrame, newest: int = 20) -> float | None:
    """Median wall time of the newest generations, as the run says it or as the points' times tell."""
    if len(frame) < 2:
        return None
    name = metrics.GENERATION_DURATION.name
    if name in frame and frame[name].notna().any():
        return float(frame[name].dropna().tail(newest).median())
    step = frame["generation"].diff()
    pace = (frame["time"].diff() / step.where(step > 0)).dropna().tail(newest)
    return float(pace.median()) if len(pace) else None


def along(frame: pd.DataFrame, alignment: Alignment) -> Floats:
    """How far the run had come at each point, on this axis; NaN where that is not told."""
    values = (
        evaluations(frame) if alignment == "evaluations" else frame[COLUMNS[alignment]].to_numpy(np.float64)
    )
    return np.asarray(pd.Series(values).cummax().to_numpy(np.float64))


def reached(frame: pd.DataFrame, fitness: float) -> Reached | None:
    """Where best-so-far first stood at `fitness` or above; None where it never did."""
    best = best_so_far(frame)
    there = np.flatnonzero(best >= fitness)
    if not there.size:
        return None
    at = int(there[0])
    known = np.flatnonzero(np.isfinite(best))
    return Reached(
        _number(frame["generation"].iloc[at]),
        _number(frame["elapsed_seconds"].iloc[at]),
        _number(evaluations(frame)[at]),
        at_first=at == known[0] and not frame["generation"].iloc[at] <= 1,
    )


def between(one: pd.DataFrame, other: pd.DataFrame, alignment: Alignment) -> Between | None:
    """How two runs' best-so-far lie over the stretch both have; None where they share none."""
    here, there = _steps(one, alignment), _steps(other, alignment)
    if here is None or there is None:
        return None
    last = 1.0 if alignment == "generation" else 0.0  # a generation lasts until the next
    start, end = max(here[0][0], there[0][0]), min(here[0][-1], there[0][-1]) + last
    if end < start:
        return None
    inner = np.union1d(here[0], there[0])
    edges = np.concatenate([[start], inner[(inner > start) & (inner < end)], [end]])
    return Between(edges, _at(here, edges[:-1]), _at(there, edges[:-1]))


def _steps(frame: pd.DataFrame, alignment: Alignment) -> tuple[Floats, Floats] | None:
    """Places on the axis, rising, and best-so-far from each on; first, changes and last alone."""
    where, best = along(frame, alignment), best_so_far(frame)
    known = np.isfinite(where) & np.isfinite(best)
    where, best = where[known], best[known]
    if not where.size:
        return None
    last_of_place = np.append(np.diff(where) > 0, True)
    where, best = where[last_of_place], best[last_of_place]
    kept = np.append(True, np.diff(best) != 0)
    kept[-1] = True
    return where[kept], best[kept]


def _at(steps: tuple[Floats, Floats], places: Floats) -> Floats:
    return np.asarray(steps[1][np.searchsorted(steps[0], places, side="right") - 1])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
