"""In which order experts stand."""

import itertools

import numpy as np
import pytest
from scipy.cluster import hierarchy

from dashboard.figures.order import ORDERS, alike, of

LOAD = np.array([[1.0, 0.5, 1.5], [1.0, 1.0, 1.0], [np.nan] * 3, [1.0, 3.0, 0.2]])


def families(seed: int, counts: tuple[int, ...], points: int = 80) -> tuple[np.ndarray, list[int]]:
    """Loads of families whose members follow one wave each, shuffled; and the family of each row."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(len(counts), points)).cumsum(axis=1)
    family = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    scale = rng.uniform(0.5, 3.0, (len(family), 1))
    load = 40 + scale * waves[family] + rng.normal(0, 0.3, (len(family), points))
    return load, family.tolist()


def stretches(family: list[int], order: list[int]) -> int:
    """How many unbroken stretches of one family stand in this order."""
    seen = [family[row] for row in order]
    return 1 + sum(one != other for one, other in itertools.pairwise(seen))


def test_by_number_they_stand_as_they_are():
    assert of("id", LOAD) == [0, 1, 2, 3]


def test_by_load_the_busiest_now_comes_first_and_the_unknown_last():
    assert of("load", LOAD) == [0, 1, 3, 2]


def test_by_variance_the_restless_comes_first_and_the_unknown_last():
    assert of("variance", LOAD) == [3, 0, 1, 2]


@pytest.mark.parametrize("counts", [(5, 9, 3), (40, 40, 40, 40), (200, 300, 150)])
def test_by_similarity_each_family_stands_together(counts):
    load, family = families(1, counts)
    order = of("similarity", load)
    assert sorted(order) == list(range(len(load)))
    assert stretches(family, order) == len(counts)


def test_similarity_is_the_tree_of_scipy_with_its_leaves_turned():
    load, _ = families(2, (6, 6))
    tree = hierarchy.linkage(load, "average", metric="correlation", optimal_ordering=True)
    leaves = hierarchy.leaves_list(tree).tolist()
    assert alike(load) in (leaves, leaves[::-1])


def test_holes_do_not_part_a_family():
    load, family = families(3, (10, 10, 10))
    load[np.random.default_rng(4).random(load.shape) < 0.2] = np.nan
    load[:, 7] = np.nan
    assert stretches(family, alike(load)) == 3


def test_loads_that_never_move_follow_the_tree_the_dead_last_and_the_unknown_after_them():
    load, _ = families(5, (4, 4))
    dead, fair, unknown = np.zeros(80), np.ones(80), np.full(80, np.nan)
    assert alike(np.vstack([dead, unknown, load, fair]))[-3:] == [10, 0, 1]


@pytest.mark.parametrize(
    "load", [LOAD, LOAD[:1], np.empty((0, 3)), np.zeros((5, 4)), np.full((5, 4), np.nan)]
)
def test_every_order_is_a_permutation(load):
    for by in ORDERS:
        assert sorted(of(by, load)) == list(range(len(load)))
