"""Choosing runs by words, and what their configurations differ in."""

import pytest

from dashboard.feed import Run
from dashboard.shell.compare import differences, legends, matches

ONE = Run("digits-1-aaaa", "digits", state="finished", config={"seed": "1", "experts": "8"})
TWO = Run("digits-2-bbbb", "digits", state="running", config={"seed": "10", "experts": "8", "nan": "True"})


@pytest.mark.parametrize(
    ("sought", "expected"),
    [("", True), ("digits", True), ("DIGITS seed=1", True), ("seed=10", False), ("state:finished", True),
     ("state:running", False), ("aaaa", True), ("digits bbbb", False)],
)  # fmt: skip
def test_every_word_of_a_filter_must_match(sought, expected):
    assert matches(ONE, sought) is expected


def test_only_what_differs_is_shown_and_what_is_not_said_is_a_dash():
    table = differences([ONE, TWO])
    assert sorted(table.index) == ["nan", "seed"]
    assert table.loc["nan"].tolist() == ["–", "True"]


def test_runs_of_one_name_are_told_apart_by_their_id():
    assert len(set(legends([ONE, TWO]))) == 2
