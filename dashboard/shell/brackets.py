"""What a histogram really knows of latency: counts up to its bounds, so a percentile lies between two of them. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dashboard.catalogue.units import SECONDS
from dashboard.feed import Reading

Buckets = list[tuple[float, float]]
"""(upper bound `le`, cumulative requests per second), in any order; the last bound is +Inf."""


def of(reading: Reading) -> dict[str, Buckets]:
    """Buckets by instance, of a reading by instance and `le`; bounds are numbers ("1" and "1.0" are one)."""
    found: dict[str, Buckets] = defaultdict(list)
    for sample in reading.samples:
        if "le" in sample.labels:
            found[sample.labels.get("instance", "")].append((float(sample.labels["le"]), sample.value))
    return dict(found)


def together(instances: Mapping[str, Buckets]) -> Buckets:
    """The requests of all instances in one histogram, at the bounds that every one of them has."""
    counted: dict[float, list[float]] = defaultdict(list)
    for buckets in instances.values():
        for le, count in buckets:
            counted[le].append(0.0 if math.isnan(count) else count)
    return sorted((le, sum(counts)) for le, counts in counted.items() if len(counts) == len(instances))


def bounds(buckets: Iterable[tuple[float, float]]) -> list[float]:
    """The finite bounds, lowest first."""
    return sorted(le for le, _ in buckets if math.isfinite(le))


def every(buckets: Iterable[tuple[float, float]]) -> float:
    """All requests per second, however long they took."""
    return max((count for _, count in buckets if not math.isnan(count)), default=0.0)


def bracket(q: float, buckets: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    """The bounds of the bucket in which the q-quantile (0 to 1) lies.

    Returns:
        (lower, upper) in the unit of the bounds; upper is inf above the last finite bucket; None without observations.
    """
    known = sorted((le, count) for le, count in buckets if not math.isnan(count))
    if not known or known[-1][1] <= 0:
        return None
    rank = q * known[-1][1]
    lower = 0.0
    for le, count in known:
        if count >= rank and count > 0:
            return lower, le
        lower = le
    return lower, math.inf


def share(bound: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The share of requests up to a bound of the histogram, exact; None without requests or where it is no bound."""
    total = every(buckets)
    return next((count / total for le, count in buckets if le == bound and total > 0), None)


def said(bounds: tuple[float, float] | None) -> str:
    """The bracket in words: "between 50 ms and 100 ms"."""
    if bounds is None:
        return "no requests"
    lower, upper = bounds
    if math.isinf(upper):
        return f"above the last bucket, {SECONDS.format(lower)}"
    if lower <= 0:
        return f"at most {SECONDS.format(upper)}"
    return f"between {SECONDS.format(lower)} and {SECONDS.format(upper)}"


def valued(value: float | None, bounds: tuple[float, float] | None) -> str:
    """A percentile for a person: what lies above the last bound is not interpolated but said so."""
    if bounds is not None and math.isinf(bounds[1]):
        return "above " + SECONDS.format(bounds[0])
    return SECONDS.format(value)
