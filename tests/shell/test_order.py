"""In which order experts stand."""

import numpy as np

from dashboard.shell.order import of

LOAD = np.array([[1.0, 0.5, 1.5], [1.0, 1.0, 1.0], [np.nan] * 3, [1.0, 3.0, 0.2]])


def test_by_number_they_stand_as_they_are():
    assert of("id", LOAD) == [0, 1, 2, 3]


def test_by_load_the_busiest_now_comes_first_and_the_unknown_last():
    assert of("load", LOAD) == [0, 1, 3, 2]


def test_by_variance_the_restless_comes_first():
    assert of("variance", LOAD)[0] == 3


def test_by_similarity_those_that_move_together_stand_together():
    wave = np.sin(np.linspace(0, 12, 60))
    load = np.vstack([1 + wave, 1 - wave, 1 + 0.9 * wave, 1 - 0.8 * wave]) + np.random.default_rng(0).normal(
        0, 0.05, (4, 60)
    )
    order = of("similarity", load)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}


def test_every_order_is_a_permutation():
    for by in ("id", "load", "variance", "similarity"):
        assert sorted(of(by, LOAD)) == [0, 1, 2, 3]
