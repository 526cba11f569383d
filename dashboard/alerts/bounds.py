"""Which values an expression can take at most: enough to see that a comparison can never be true.

Interval arithmetic over the PromQL tree with what is known of each metric. What is not known is unbounded, so "cannot
fire" is never said wrongly of a metric whose bounds hold.
"""

import math

import promql_parser as p

from dashboard import catalogue
from dashboard.alerts.promql import Tree, bare, name, operator
from dashboard.catalogue import evolution, experts
from dashboard.catalogue.units import BYTES, COUNT, PERCENT, SECONDS, TIMESTAMP

Bounds = tuple[float, float]
ANY: Bounds = (-math.inf, math.inf)
_NOT_NEGATIVE: Bounds = (0.0, math.inf)

# The variance of any values between 0 and 1 is at most 1/4; of N shares that sum to 1, at most (N-1)/N².
_KNOWN: dict[str, tuple[Bounds, str]] = {
    experts.BALANCE_VARIANCE.name: (
        (0.0, 0.25),
        "the variance of N load shares is at most (N-1)/N², and of any fractions between 0 and 1 at most 0.25",
    ),
    experts.SPARSITY.name: ((0.0, 1.0), "a share lies between 0 and 1"),
    evolution.RUN_ACTIVE.name: ((0.0, 1.0), "it is 0 or 1"),
    "up": ((0.0, 1.0), "it is 0 or 1"),
}
_UNITS: dict[str, tuple[Bounds, str]] = {
    PERCENT.name: ((0.0, 100.0), "a percentage lies between 0 and 100"),
    **{unit.name: (_NOT_NEGATIVE, "it cannot be negative") for unit in (BYTES, COUNT, SECONDS, TIMESTAMP)},
}
_SAME = {"min_over_time", "max_over_time", "avg_over_time", "last_over_time", "quantile_over_time", "label_replace", "label_join", "sort", "sort_desc"}  # fmt: skip
_RATES = {"rate", "irate", "increase", "resets", "changes", "count_over_time", "stddev_over_time", "stdvar_over_time", "histogram_count"}  # fmt: skip
_SAME_OVER_SERIES = {"min", "max", "avg", "quantile", "topk", "bottomk"}
_COMPARISONS = {">", "<", ">=", "<=", "==", "!="}


def of_metric(metric: str) -> tuple[Bounds, str]:
    """The values a metric can have, and why in words."""
    if metric in _KNOWN:
        return _KNOWN[metric]
    declared = catalogue.BY_NAME.get(metric)
    if declared is None:
        return ANY, ""
    if declared.kind == "counter":
        return _NOT_NEGATIVE, "a counter cannot be negative"
    return _UNITS.get(declared.unit.name, (ANY, ""))


def of(tree: Tree) -> Bounds:
    """The values an expression can have; a filter keeps those of its left side."""
    tree = bare(tree)
    if isinstance(tree, p.NumberLiteral):
        return (tree.val, tree.val)
    if isinstance(tree, p.VectorSelector):
        return of_metric(name(tree) or "")[0]
    if isinstance(tree, p.MatrixSelector):
        return of(tree.vector_selector)
    if isinstance(tree, p.SubqueryExpr):
        return of(tree.expr)
    if isinstance(tree, p.Call):
        return _of_call(tree)
    if isinstance(tree, p.AggregateExpr):
        return of(tree.expr) if operator(tree) in _SAME_OVER_SERIES else ANY
    if isinstance(tree, p.UnaryExpr):
        low, high = of(tree.expr)
        return (-high, -low)
    if isinstance(tree, p.BinaryExpr):
        return _of_binary(tree)
    return ANY


def impossible(tree: Tree) -> p.BinaryExpr | None:
    """The comparison because of which an expression can never give a sample; None where it may.

    Both sides of an `or` must be impossible, either side of an `and`; `unless` can only take away.
    """
    tree = bare(tree)
    if not isinstance(tree, p.BinaryExpr):
        return None
    kind = operator(tree)
    if kind == "or":
        left = impossible(tree.lhs)
        return left if left is not None and impossible(tree.rhs) is not None else None
    if kind == "and":
        return impossible(tree.lhs) or impossible(tree.rhs)
    if kind == "unless":
        return impossible(tree.lhs)
    if kind in _COMPARISONS and not _is_bool(tree):
        return impossible(tree.lhs) or (None if _can_hold(kind, of(tree.lhs), of(tree.rhs)) else tree)
    return None


def _of_call(call: p.Call) -> Bounds:
    function = str(call.func.name)
    vectors = [
        argument for argument in call.args if not isinstance(argument, (p.StringLiteral, p.NumberLiteral))
    ]
    if function in _SAME and vectors:
        return of(vectors[0])
    if function in _RATES:
        return _NOT_NEGATIVE
    if function == "abs" and vectors:
        low, high = of(vectors[0])
        return (0.0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))
    return ANY


def _of_binary(tree: p.BinaryExpr) -> Bounds:
    kind = operator(tree)
    left, right = of(tree.lhs), of(tree.rhs)
    if kind in _COMPARISONS:
        return (0.0, 1.0) if _is_bool(tree) else left
    if kind in {"and", "unless"}:
        return left
    if kind == "or":
        return (min(left[0], right[0]), max(left[1], right[1]))
    if kind == "+":
        return (left[0] + right[0], left[1] + right[1])
    if kind == "-":
        return (left[0] - right[1], left[1] - right[0])
    if kind in {"*", "/"} and right[0] == right[1] and math.isfinite(right[0]) and right[0] != 0:
        return _scaled(left, right[0] if kind == "*" else 1 / right[0])
    if kind == "*" and left[0] == left[1] and math.isfinite(left[0]) and left[0] != 0:
        return _scaled(right, left[0])
    return ANY


def _scaled(bounds: Bounds, factor: float) -> Bounds:
    low, high = sorted((bounds[0] * factor, bounds[1] * factor))
    return (low, high)


def _is_bool(tree: p.BinaryExpr) -> bool:
    return bool(tree.modifier and tree.modifier.return_bool)


def _can_hold(kind: str, left: Bounds, right: Bounds) -> bool:
    return {
        ">": left[1] > right[0],
        ">=": left[1] >= right[0],
        "<": left[0] < right[1],
        "<=": left[0] <= right[1],
        "==": left[0] <= right[1] and right[0] <= left[1],
        "!=": not (left[0] == left[1] == right[0] == right[1]),
    }[kind]
