"""Choosing runs by words and comparisons."""

import pytest

from dashboard.feed import Run
from dashboard.feed.choosing import matches, read, unknown

ONE = Run("digits-1-aaaa", "digits", state="finished", best_fitness=0.91, generations=150, started_at=1000.0,
          ended_at=1300.0, config={"seed": "1", "Experts": "8", "lr": "1e-3"})  # fmt: skip
TWO = Run("digits-2-bbbb", "digits", state="running", config={"seed": "10", "Experts": "8", "nan": "True"})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("", True), ("digits", True), ("DIGITS seed=1", True), ("seed=10", False), ("seed=1.0", True), ("seed!=1", False),
     ("seed!=2", True), ("state:finished", True), ("state=finished", True), ("state:running", False), ("aaaa", True),
     ("digits bbbb", False), ("best>0.9", True), ("best>=0.91", True), ("best<0.9", False), ("generations>=150", True),
     ("seconds<=300", True), ("seconds>300", False), ("experts>4", True), ("lr<0.01", True), ("lr=0.001", True),
     ("nan=true", False), ("nan!=true", False), ("best>much", False), ("name=digits", True), (">", False), ("a=b=c", False)],
)  # fmt: skip
def test_every_term_must_hold(expression, expected):
    assert matches(ONE, read(expression)) is expected


def test_a_run_that_has_no_fitness_yet_is_neither_above_nor_below():
    assert not matches(TWO, read("best>0"))
    assert not matches(TWO, read("best<=0"))
    assert matches(TWO, read("nan=true"))


def test_a_name_that_no_run_knows_is_told():
    assert unknown(read("sead=1 digits best>0"), [ONE, TWO]) == ["sead"]
    assert unknown(read("nan=true"), [ONE, TWO]) == []
