"""What Prometheus answered: frozen, labels apart from numbers, times in unix seconds. Knows no HTTP and no JSON."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = dict[str, str]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A range answer as one aligned block.

    `times` is the whole grid that was asked for, (T,) unix seconds; `values` is (S, T), row i belongs to
    `labels[i]`; NaN where the series has no sample, or where the sample is NaN.
    """

    labels: tuple[Labels, ...]
    times: Floats
    values: Floats
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one time (unix seconds)."""

    labels: Labels
    time: float
    value: float


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant answer."""

    samples: tuple[Sample, ...]
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawSeries:
    """One series as it was scraped: (n,) unix seconds and (n,) values, in time order, nothing interpolated."""

    labels: Labels
    times: Floats
    values: Floats
