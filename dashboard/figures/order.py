"""In which order the rows of a heatmap stand: by number, by newest load, by how much they vary, or like beside like. Pure."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ORDERS = ("id", "load", "variance", "similarity")
BLOCK = 256  # rows multiplied at once
POLISHED = 512  # rows up to which the leaves are turned; it takes time with the cube of their number


def of(by: str, load: Floats) -> list[int]:
    """Row numbers of `load` (experts, points) in this order; rows that cannot be judged stand last."""
    if by == "load":
        known = np.flatnonzero(np.isfinite(load).any(axis=0))
        newest = load[:, known[-1]] if known.size else np.zeros(len(load))
        return _ranked(np.where(np.isnan(newest), np.inf, -newest))
    if by == "variance":
        known_in_row = np.isfinite(load).any(axis=1)
        spread = np.full(len(load), -1.0)
        spread[known_in_row] = np.nanvar(load[known_in_row], axis=1)
        return _ranked(-spread)
    if by == "similarity":
        return alike(load)
    return list(range(len(load)))


def alike(load: Floats) -> list[int]:
    """Hierarchical order: experts whose load moves together stand together.

    Agglomerative clustering with average linkage on the distance 1 − r, where r is Pearson's correlation of two
    experts' loads over the points both have: Eisen et al. 1998, "Cluster analysis and display of genome-wide expression
    patterns". Up to `POLISHED` rows the tree's branches are turned so that neighbours are as alike as the tree allows: Bar-Joseph
    et al. 2001, "Fast optimal leaf ordering for hierarchical clustering". Both from scipy.cluster.hierarchy.

    A point without a value says nothing about its expert: it takes the expert's mean, so that it adds nothing to r. A
    load that never moves has no correlation; those experts follow the tree, the least loaded last, the unknown after them.
    """
    known = np.isfinite(load)
    count = known.sum(axis=1)
    mean = np.where(known, load, 0.0).sum(axis=1) / np.maximum(count, 1)
    moved = np.where(known, load - mean[:, None], 0.0)
    length = np.linalg.norm(moved, axis=1)
    moving = length > 1e-9 * np.maximum(np.abs(mean), 1e-3) * np.sqrt(np.maximum(count, 1))
    in_tree, still = np.flatnonzero(moving), np.flatnonzero(~moving)
    still = still[np.lexsort((still, np.where(count[still] > 0, -mean[still], np.inf)))]
    return [*_leaves(moved[in_tree] / length[in_tree, None], in_tree), *still.tolist()]


def _leaves(directions: Floats, rows: NDArray[np.intp]) -> list[int]:
    """The leaves of the tree over rows of length 1, left to right."""
    if len(rows) < 3:
        return list(rows.tolist())
    from scipy.cluster import hierarchy  # takes a second to load; only this order needs it

    short = directions.astype(np.float32)
    distances = np.empty(len(rows) * (len(rows) - 1) // 2)  # the upper triangle, row by row
    at = 0
    for first in range(0, len(rows), BLOCK):  # many products at once, few in memory
        correlation = short[first : first + BLOCK] @ short[first:].T
        for i, row in enumerate(correlation):
            beside = row[i + 1 :]
            distances[at : at + len(beside)] = 1.0 - beside
            at += len(beside)
    np.clip(distances, 0.0, 2.0, out=distances)
    tree = hierarchy.linkage(distances, "average")
    if len(rows) <= POLISHED:
        tree = hierarchy.optimal_leaf_ordering(tree, distances)
    return list(rows[hierarchy.leaves_list(tree)].tolist())


def _ranked(values: Floats) -> list[int]:
    return list(np.argsort(values, kind="stable").tolist())
