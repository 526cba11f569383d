"""The order by likeness is worked out once for everybody, and anew where nobody waits for it."""

import threading

import numpy as np
import pytest

from dashboard.shell import order
from tests import services

LOAD = np.random.default_rng(0).random((6, 30))


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that worked an order out."""
    names: list[str] = []
    alike = order.order.alike

    def counted(load: np.ndarray) -> list[int]:
        names.append(threading.current_thread().name)
        return alike(load)

    monkeypatch.setattr(order.order, "alike", counted)
    monkeypatch.setattr(order, "_held", {})
    return names


def test_it_is_worked_out_only_when_chosen_and_once_for_all(worked_out):
    order.of("load", LOAD, ("a",))
    assert worked_out == []
    first = order.of("similarity", LOAD, ("a",))
    assert order.of("similarity", LOAD + 1, ("a",)) is first
    assert len(worked_out) == 1


def test_an_old_one_is_shown_while_the_new_one_is_worked_out_elsewhere(worked_out, monkeypatch):
    first = order.of("similarity", LOAD, ("a",))
    monkeypatch.setattr(order, "HELD_SECONDS", -1.0)
    assert order.of("similarity", LOAD[::-1], ("a",)) is first
    services.wait_until(lambda: order.of("similarity", LOAD, ("a",)) is not first, 20, "the new order")
    assert set(worked_out[1:]) == {"likeness"}


def test_another_number_of_experts_does_not_get_an_order_that_does_not_fit(worked_out):
    order.of("similarity", LOAD, ("a",))
    assert len(order.of("similarity", LOAD[:4], ("a",))) == 4
