"""From samples to words: the first row that holds, the worst series on top, and "could not tell" where nobody can."""

import math
from dataclasses import dataclass, field

import pytest

from collectors.unavailable import Unavailable
from dashboard.runbooks import Row, Verdict, evaluate, summary

ROWS = (
    Row("< 0.05", "bad", "one genotype"),
    Row("< 0.1", "warn", "converging"),
    Row("0.1..0.3", "ok", "low but fine"),
    Row("else", "ok", "fine"),
    Row("none", "warn", "no sample"),
)


@dataclass
class S:
    value: float
    labels: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.04, "one genotype"),
        (0.05, "converging"),
        (0.1, "low but fine"),
        (0.3, "low but fine"),
        (0.31, "fine"),
        (math.inf, "fine"),
        (0.0, "one genotype"),
    ],
)
def test_the_first_row_that_holds_decides(value, words):
    assert evaluate(ROWS, [S(value)]).words == words


@pytest.mark.parametrize(
    ("when", "value", "holds"),
    [
        ("= 0", 0.0, True),
        ("= 0", 0.1, False),
        (">= 1e3", 1000, True),
        ("> -1", 0, True),
        ("= inf", math.inf, True),
        ("-2..-1", -1.5, True),
        ("<= 5", 5, True),
        ("nan", 1.0, False),
    ],
)
def test_every_form_of_condition(when, value, holds):
    assert Row(when, "ok", "").holds(value) is holds


@pytest.mark.parametrize("when", ["", "0.1", "=> 3", "a..b", "< x", "value < 3"])
def test_a_condition_nobody_can_evaluate_is_refused(when):
    with pytest.raises(ValueError, match="condition"):
        Row(when, "ok", "")


def test_the_worst_series_is_on_top_and_each_has_its_verdict():
    verdict = evaluate(ROWS, [S(0.5, {"gpu_id": "0"}), S(0.01, {"gpu_id": "1"}), S(0.07, {"gpu_id": "2"})])
    assert (verdict.level, verdict.value, verdict.labels) == ("bad", 0.01, {"gpu_id": "1"})
    assert [part.level for part in verdict.parts] == ["bad", "warn", "ok"]


def test_no_sample_is_not_a_zero():
    assert evaluate(ROWS, []) == Verdict("warn", "no sample")
    assert evaluate(ROWS[:1], []).level == "unknown"


def test_nan_is_neither_a_number_nor_no_sample():
    assert evaluate(ROWS, [S(math.nan)]).level == "unknown"
    assert evaluate((Row("nan", "bad", "lost"), Row("else", "ok", "")), [S(math.nan)]).words == "lost"


def test_a_source_that_cannot_be_read_is_said():
    verdict = evaluate(ROWS, Unavailable("Prometheus refused the connection."))
    assert verdict.level == "unknown"
    assert "refused the connection" in verdict.words


def test_a_value_no_row_speaks_of_is_unknown():
    assert evaluate(ROWS[:1], [S(7)]).level == "unknown"


def test_the_summary_names_what_the_evidence_supports_worst_first():
    said = summary(
        [
            Verdict("ok", "mutation is on", 0.2),
            Verdict("warn", "copies", 0.3),
            Verdict("bad", "one genome", 0.0),
            Verdict("unknown", "no sample"),
        ]
    )
    assert said.words == "The evidence supports: one genome; copies."
    assert said.supported == ("one genome", "copies")
    assert said.unknown == 1
    assert said.excluded == ("mutation is on",)


def test_the_summary_does_not_take_silence_for_health():
    assert "No check could tell" in summary([Verdict("unknown", "?")]).words
    assert "finds anything wrong" in summary([Verdict("ok", "fine", 1.0)]).words
    assert summary([]).words == "No check on this page."
