"""What an alert measures: its expression without the comparison, and never something that means another thing."""

import numpy as np
import pytest

from dashboard import catalogue
from dashboard.alerts import promql
from dashboard.alerts.trace import Measured, measured


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("x < 0.1", Measured("x{}", "<", 0.1)),
        ("(x > 2 * -3) and on (a) y > 1 unless z", Measured("x{}", ">", -6.0)),
        ("0.5 >= x", Measured("x{}", "<=", 0.5)),
        ("sum by (a) (x) > 1", Measured("sum by (a)(x{})", ">", 1.0)),
        ("up == 1 unless y", Measured("up == 1 unless y")),
        ("x > 1 or y > 2", Measured("x > 1 or y > 2")),
        ("x > y", Measured("x > y")),
        ("x > bool 1", Measured("x > bool 1")),
        ("no promql (", Measured("no promql (")),
    ],
)
def test_the_comparison_is_left_out_only_where_that_changes_no_meaning(query, expected):
    found = measured(query)
    if not expected.whole:
        assert promql.parse(found.promql).prettify() == promql.parse(expected.promql).prettify()
        expected = Measured(found.promql, expected.comparison, expected.threshold)
    assert found == expected


@pytest.mark.parametrize("alert", catalogue.ALERTS, ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_what_a_rule_measures_is_promql_over_its_own_metrics(alert):
    when = alert.when.replace("$job", "moe-router")
    assert promql.names(measured(when).promql) <= promql.names(when)


def test_the_worst_value_lies_on_the_wrong_side():
    values = np.array([np.nan, 0.2, -3.0, 1.0, np.inf])
    assert Measured("x", "<", 0.1).worst(values) == -3.0
    assert Measured("x", ">", 0.1).worst(values) == 1.0
    assert Measured("x").worst(values) == -3.0
    assert Measured("x").worst(np.array([np.nan])) is None
