"""What a loop said, as plain floats keyed by label values. Knows numbers and labels, no registry and no file.

Accepted: numbers, 0-d numpy arrays and torch tensors; for labelled metrics a dict keyed by the label, by a tuple of
labels or nested, or a sequence counted from 0. NaN and infinities pass through: the caller decides what they mean.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsFloat, cast

from dashboard.catalogue.spec import Metric

LabelValues = tuple[
    str, ...
]  # one per label of the metric, run_id left out; "" where an optional label is absent
Family = dict[LabelValues, float | None]  # None: said to be unknown

OPTIONAL_LABELS = frozenset({"layer"})


def own_labels(metric: Metric) -> tuple[str, ...]:
    """The metric's labels without `run_id`, which the observer fills in."""
    return tuple(label for label in metric.labels if label != "run_id")


def number(value: object) -> float | None:
    """One value as a float; None stays None.

    Raises:
        TypeError, ValueError: not one number.
    """
    if value is None:
        return None
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{value!r} is text, not a number")
    if type(value) is float or type(value) is int:
        return float(value)
    if hasattr(value, "item"):  # numpy and torch: one element or ValueError
        return float(value.item())
    return float(cast("SupportsFloat", value))


def family(metric: Metric, value: object) -> Family:
    """All samples of one metric as said in one `log()`.

    Raises:
        TypeError, ValueError: a shape that does not fit the metric's labels.
    """
    labels = own_labels(metric)
    if value is None:
        return {}
    if not labels:
        return {(): number(value)}
    return {_complete(metric, labels, key): number(item) for key, item in _flat(value, len(labels))}


def numbers(value: object) -> list[float]:
    """One or several observations of a histogram, in the order said; None and non-finite ones left out."""
    items = _plain(value)
    several = items if isinstance(items, (list, tuple)) else [items]
    found = [number(item) for item in several]
    return [item for item in found if item is not None and math.isfinite(item)]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy array, torch tensor
        return value.tolist()
    return value


def _flat(value: object, depth: int) -> Iterable[tuple[tuple[object, ...], object]]:
    value = _plain(value)
    if isinstance(value, Mapping):
        pairs: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        pairs = enumerate(value)
    else:
        raise TypeError("a labelled metric is said as a dict keyed by its label, or as a sequence")
    for key, item in pairs:
        head = key if isinstance(key, tuple) else (key,)
        if depth > len(head) and isinstance(item, (Mapping, list, tuple)):
            for tail, leaf in _flat(item, depth - len(head)):
                yield (*head, *tail), leaf
        else:
            yield head, item


def _complete(metric: Metric, labels: tuple[str, ...], key: tuple[object, ...]) -> LabelValues:
    texts = tuple(str(part) for part in key)
    if len(texts) == len(labels):
        return texts
    needed = tuple(label for label in labels if label not in OPTIONAL_LABELS)
    if len(texts) != len(needed):
        raise ValueError(f"{metric.name} is keyed by {' and '.join(labels)}, not by {key!r}")
    given = iter(texts)
    return tuple("" if label in OPTIONAL_LABELS else next(given) for label in labels)
