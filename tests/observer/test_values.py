"""What may be said as a value."""

import math

import numpy as np
import pytest
import torch

from dashboard.catalogue import evolution, experts, hardware
from dashboard.observer.values import family, number, numbers


@pytest.mark.parametrize(
    "said",
    [
        0.5,
        np.float32(0.5),
        np.array(0.5),
        np.array([0.5]),
        torch.tensor(0.5, requires_grad=True),
        torch.tensor([0.5]),
    ],
)
def test_a_number_of_any_library_is_a_float(said):
    assert number(said) == 0.5


@pytest.mark.parametrize("said", ["0.5", b"1", [0.1, 0.2], np.array([1.0, 2.0]), object()])
def test_what_is_not_one_number_is_refused(said):
    with pytest.raises((TypeError, ValueError)):
        number(said)


def test_zero_and_false_are_measurements():
    assert number(0) == 0.0
    assert number(np.False_) == 0.0


@pytest.mark.parametrize(
    "said",
    [
        {(0, 0): 0.25, (0, 1): 0.75},
        {0: {0: 0.25, 1: 0.75}},
        {0: [0.25, 0.75]},
        np.array([[0.25, 0.75]]),
        torch.tensor([[0.25, 0.75]]),
    ],
)
def test_layers_and_experts_are_tuples_nested_or_a_matrix(said):
    assert family(experts.UTILIZATION, said) == {("0", "0"): 0.25, ("0", "1"): 0.75}


@pytest.mark.parametrize(
    "said", [{0: 0.25, 1: 0.75}, {"0": 0.25, "1": 0.75}, [0.25, 0.75], np.array([0.25, 0.75])]
)
def test_experts_without_layers_leave_the_layer_empty(said):
    assert family(experts.UTILIZATION, said) == {("", "0"): 0.25, ("", "1"): 0.75}


def test_only_the_layer_may_be_left_out():
    with pytest.raises(ValueError, match="gpu_id and clock"):
        family(hardware.GPU_CLOCK, {"0": 1.0})


def test_a_labelled_metric_needs_its_labels_and_an_unlabelled_one_takes_none():
    with pytest.raises(TypeError):
        family(experts.UTILIZATION, 0.5)
    with pytest.raises((TypeError, ValueError)):
        family(evolution.BEST, {0: 0.5})


def test_nan_passes_and_none_stays_none():
    assert math.isnan(family(evolution.BEST, float("nan"))[()])
    assert family(experts.UTILIZATION, {0: None}) == {("", "0"): None}


def test_observations_without_a_number_are_left_out():
    assert numbers(np.array([0.1, np.nan, np.inf])) == [0.1]
    assert numbers(0.2) == [0.2]
    assert numbers([None, 0.3]) == [0.3]
