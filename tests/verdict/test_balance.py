"""Balance measured on loads whose answer is known, and experts named with the point since which it is so."""

import math

import numpy as np
import pytest

from dashboard.verdict.balance import FORMULAS, balance, named, scales

EVEN = np.full((8, 3), 1 / 8)
ONE = np.vstack([np.ones((1, 3)), np.zeros((7, 3))])


def test_an_even_load_uses_all_experts():
    found = balance(EVEN)
    assert found.effective == pytest.approx([1, 1, 1])
    assert found.cv == pytest.approx([0, 0, 0])
    assert found.violation == pytest.approx([0, 0, 0])
    assert not found.collapsed


def test_everything_on_one_expert_is_the_worst_each_measure_can_say():
    found = balance(ONE)
    assert found.effective == pytest.approx([1 / 8] * 3)
    assert found.cv == pytest.approx([math.sqrt(7)] * 3)
    assert found.violation == pytest.approx([7] * 3)
    assert found.variance == pytest.approx([7 / 64] * 3)
    assert found.dead == pytest.approx([7 / 8] * 3)
    assert found.collapsed


def test_a_point_without_traffic_is_a_hole_and_not_an_even_load():
    share = EVEN.copy()
    share[:, 1] = np.nan
    assert np.isnan(balance(share).effective).tolist() == [False, True, False]


def test_two_of_three_experts_may_not_be_called_a_collapse():
    assert not balance(np.array([[1.0], [0.0], [0.0]])).collapsed


def test_dead_starved_and_overloaded_experts_are_named_with_the_point_since_which_they_are():
    load = np.array([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.2, 0.2], [1.0, 2.0, 2.8, 3.8], [1.0, 1.0, 1.0, 1.0]])
    found = {
        one.expert: (one.condition, one.since, one.from_start)
        for one in named("", ("a", "b", "c", "d"), load)
    }
    assert found == {"a": ("dead", 1, False), "b": ("starved", 2, False), "c": ("overloaded", 3, False)}


def test_an_expert_dead_from_the_first_point_known_may_have_died_before():
    [one] = named("0", ("3",), np.array([[np.nan, 0.0, 0.0]]))
    assert (one.since, one.from_start) == (1, True)


def test_an_expert_that_came_back_is_not_named():
    assert named("", ("a",), np.array([[0.0, 0.0, 1.0]])) == []


def test_a_hole_does_not_interrupt_a_death():
    [one] = named("", ("a",), np.array([[1.0, 0.0, np.nan, 0.0]]))
    assert one.since == 1


@pytest.mark.parametrize("experts", [2, 8, 64, 4096])
def test_the_worst_of_each_scale_is_what_everything_on_one_expert_measures(experts):
    one = balance(np.vstack([np.ones((1, 1)), np.zeros((experts - 1, 1))]))
    for name, scale in scales(experts, layered=False).items():
        assert getattr(one, name)[0] == pytest.approx(scale.worst), name
        assert name in FORMULAS


def test_lines_move_with_the_number_of_experts():
    small, large = scales(8, layered=False), scales(512, layered=False)
    assert small["variance"].line == pytest.approx(1 / 64)
    assert large["variance"].line == pytest.approx(1 / 512**2)
    assert (small["effective"].line, large["effective"].line) == (0.25, 0.25)
    assert scales(3, layered=False)["effective"].line is None, (
        "of three experts one that rests is no collapse"
    )
    assert scales(2, layered=False)["cv"].line is None, "two experts cannot vary by more than their mean"
    assert scales(64, layered=True)["cv"].line > scales(64, layered=False)["cv"].line


def test_an_expert_that_says_nothing_is_not_dead():
    share = np.full((8, 2), 1 / 8)
    share[6:, 1] = np.nan
    share[:6, 1] = 1 / 6
    found = balance(share)
    assert found.dead == pytest.approx([0, 0])
    assert found.effective == pytest.approx([1, 1])
    assert found.cv == pytest.approx([0, 0])
