"""What begins like a formula is text in every CSV we write; what is a number stays one."""

import pytest

from dashboard.spreadsheet import tame


@pytest.mark.parametrize(
    "text", ["=1+1", "@SUM(A1)", "+1+cmd|' /C calc'!A0", "-1+2", "-", "\t=1", "\r=1", "-2023-11-24", "=0.5"]
)
def test_a_formula_becomes_text(text: str):
    assert tame(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1.5", "+3", "-1e-9", "-inf", "plain", "", "a=b", -1.5, None, 7, True])
def test_numbers_and_plain_text_stay_as_they_are(value: object):
    assert tame(value) == value
