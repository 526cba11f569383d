"""The value an alert is about, over time: the rule's expression without its comparison, so that it is seen before and after.

Where a rule is no single comparison with a number, nothing can be left out without changing its meaning: then the
expression is read as it stands, which has a value only while the condition holds, and `whole` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import promql_parser as p
from numpy.typing import NDArray

from collectors.prometheus import Prometheus
from dashboard.alerts import promql
from dashboard.alerts.promql import PromQLError, Tree

POINTS = 240
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}  # what is equal to a number has no wrong side
_NARROWING = {"and", "unless"}  # their left side's values pass, or do not


@dataclass(frozen=True, slots=True)
class Measured:
    """What a rule compares, as PromQL, and what with."""

    promql: str
    comparison: str = ""  # "" where the expression is whole
    threshold: float | None = None

    @property
    def whole(self) -> bool:
        """Whether this is the rule's expression as it stands."""
        return not self.comparison

    def worst(self, values: NDArray[np.float64]) -> float | None:
        """The finite value furthest on the wrong side; furthest from zero where no side is wrong. None without values."""
        known = values[np.isfinite(values)]
        if not known.size:
            return None
        if self.comparison.startswith(">"):
            return float(known.max())
        return float(known.min() if self.comparison.startswith("<") else known[np.argmax(np.abs(known))])


@dataclass(frozen=True, slots=True)
class Trace:
    """Values of one alert at steps: unix seconds, NaN a hole."""

    measured: Measured
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def last(self) -> float | None:
        """The newest value; None where the newest is a hole."""
        return float(self.values[-1]) if self.values.size and np.isfinite(self.values[-1]) else None


def measured(query: str) -> Measured:
    """What a rule's expression compares: the left side of its `and` and `unless`, if that is `vector < number` or the like."""
    try:
        tree = promql.bare(promql.parse(query))
    except PromQLError:
        return Measured(query)  # a newer PromQL than our parser's
    while isinstance(tree, p.BinaryExpr) and promql.operator(tree) in _NARROWING:
        tree = promql.bare(tree.lhs)
    if not isinstance(tree, p.BinaryExpr) or promql.operator(tree) not in _TURNED:
        return Measured(query)
    if tree.modifier is not None and tree.modifier.return_bool:
        return Measured(query)
    left, right, operator = promql.bare(tree.lhs), promql.bare(tree.rhs), promql.operator(tree)
    if isinstance(left, p.NumberLiteral):
        left, right, operator = right, left, _TURNED[operator]
    number = _number(right)
    return Measured(query) if number is None else Measured(str(left), operator, number)


def read(prometheus: Prometheus, query: str, labels: Mapping[str, str], start: float, end: float) -> Trace:
    """The values of the alert with these labels between two unix times.

    Raises:
        Unavailable: Prometheus cannot be asked, or refuses the expression.
    """
    asked = measured(query)
    step = max(1.0, float(round((end - start) / POINTS)))
    matrix = prometheus.range(asked.promql, start, end, step)
    fitting = [
        i
        for i, own in enumerate(matrix.labels)
        if all(labels.get(name) == value for name, value in own.items() if name != "__name__")
    ]
    if not fitting:
        return Trace(asked, matrix.times, np.full(matrix.times.shape, np.nan))
    # A rule's own labels may hide that two series stand behind one alert name: the one that says most is this alert's.
    best = max(fitting, key=lambda i: len(matrix.labels[i]))
    return Trace(asked, matrix.times, matrix.values[best])


def _number(tree: Tree) -> float | None:
    """The value of arithmetic on numbers alone; None where a series takes part."""
    if isinstance(tree, p.NumberLiteral):
        return float(tree.val)
    if isinstance(tree, p.UnaryExpr):
        inner = _number(promql.bare(tree.expr))
        return None if inner is None else -inner
    if isinstance(tree, p.BinaryExpr) and promql.operator(tree) in {"*", "/", "+", "-"}:
        left, right = _number(promql.bare(tree.lhs)), _number(promql.bare(tree.rhs))
        if left is None or right is None:
            return None
        match promql.operator(tree):
            case "*":
                return left * right
            case "+":
                return left + right
            case "-":
                return left - right
            case _:
                return left / right if right else None
    return None
