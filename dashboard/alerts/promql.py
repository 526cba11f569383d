"""PromQL as a tree: which series a query selects, what is done to them. A real parser, never regular expressions.

Knows the language only: no metric, no source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import promql_parser as p

Tree = p.Expr


class PromQLError(ValueError):
    """The text is no PromQL; the message is the parser's."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node and the ones it stands in, outermost first."""

    tree: Tree
    inside: tuple[Tree, ...]

    @property
    def call(self) -> str:
        """Name of the function this node is an argument of, parentheses and range set aside; "" where none is."""
        for outer in reversed(self.inside):
            if isinstance(outer, p.Call):
                return str(outer.func.name)
            if not isinstance(outer, (p.ParenExpr, p.MatrixSelector, p.SubqueryExpr)):
                return ""
        return ""


def parse(promql: str) -> Tree:
    """The tree of a query.

    Raises:
        PromQLError: it does not parse.
    """
    try:
        return p.parse(promql)
    except ValueError as why:
        raise PromQLError(str(why)) from why


def walk(tree: Tree, inside: tuple[Tree, ...] = ()) -> Iterator[Node]:
    """Every node, parents before children."""
    yield Node(tree, inside)
    for child in children(tree):
        yield from walk(child, (*inside, tree))


def children(tree: Tree) -> tuple[Tree, ...]:
    """The operands of a node, in the order written."""
    if isinstance(tree, p.BinaryExpr):
        return (tree.lhs, tree.rhs)
    if isinstance(tree, p.Call):
        return tuple(tree.args)
    if isinstance(tree, p.AggregateExpr):
        return (tree.expr,) if tree.param is None else (tree.param, tree.expr)
    if isinstance(tree, p.MatrixSelector):
        return (tree.vector_selector,)
    if isinstance(tree, (p.ParenExpr, p.UnaryExpr, p.SubqueryExpr)):
        return (tree.expr,)
    return ()


def selectors(tree: Tree) -> list[Node]:
    """Every vector selector in the tree."""
    return [node for node in walk(tree) if isinstance(node.tree, p.VectorSelector)]


def name(selector: Tree) -> str | None:
    """The metric name a selector asks for, however it is written; None where it asks for a pattern or none."""
    chosen = cast("p.VectorSelector", selector)
    if chosen.name:
        return str(chosen.name)
    for matcher in chosen.matchers.matchers:
        if matcher.name == "__name__" and matcher.op == p.MatchOp.Equal:
            return str(matcher.value)
    return None


def names(promql: str) -> frozenset[str]:
    """Every metric name a query reads.

    Raises:
        PromQLError: it does not parse.
    """
    found = (name(node.tree) for node in selectors(parse(promql)))
    return frozenset(one for one in found if one is not None)


def operator(tree: Tree) -> str:
    """The operator of a binary expression or aggregation, as written: ">", "and", "sum"."""
    return str(cast("p.BinaryExpr | p.AggregateExpr", tree).op)


def bare(tree: Tree) -> Tree:
    """The tree without the parentheses around it."""
    while isinstance(tree, p.ParenExpr):
        tree = tree.expr
    return tree
