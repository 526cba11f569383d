"""Failures by error type: what a counter rose by, and what the log says of steps."""

import numpy as np
import pandas as pd

from collectors.run_events import RunEvent
from dashboard.catalogue import evolution
from dashboard.feed import failures


def points(generation, segment=None, **counters) -> pd.DataFrame:
    count = len(generation)
    columns = {evolution.FAILURES.part(kind): np.array(total, float) for kind, total in counters.items()}
    return pd.DataFrame({
        "time": 100.0 + np.arange(count), "generation": np.array(generation, float), "segment": segment or [0] * count,
    } | columns)  # fmt: skip


def test_what_a_counter_rose_by_is_what_failed_at_each_point():
    frame = points([1, 2, 3, 4, 5], ValueError=[np.nan, 2, 2, np.nan, 3], TypeError=[1, 1, 1, 1, 1])
    counted = failures.new(frame)
    assert counted["ValueError"].tolist() == [0, 2, 0, 0, 1]
    assert counted["TypeError"].tolist() == [1, 0, 0, 0, 0]


def test_first_and_last_generation_of_each_type_the_most_frequent_first():
    frame = points([1, 2, 3, 4, 5], ValueError=[np.nan, 2, 2, 2, 3], TypeError=[1, 1, 1, 1, 1])
    value, kind = failures.of(frame, ())
    assert (value.error_type, value.count, value.first_generation, value.last_generation) == (
        "ValueError",
        3,
        2.0,
        5.0,
    )
    assert (value.first_time, value.last_time) == (101.0, 104.0)
    assert (kind.error_type, kind.count, kind.where) == ("TypeError", 1, "evaluation")


def test_a_counter_that_began_anew_counts_from_zero():
    frame = points([1, 2, 1, 2], [0, 0, 1, 1], OSError=[4, 5, np.nan, 2])
    assert failures.new(frame)["OSError"].tolist() == [4, 1, 0, 2]


def test_what_failed_before_the_window_is_not_put_to_its_first_point():
    frame = points([40, 41, 42], OSError=[7, 7, 9])
    assert failures.new(frame)["OSError"].tolist() == [0, 0, 2]
    [before] = failures.of(points([40, 41], OSError=[7, 7]), ())
    assert (before.count, before.first_generation, before.last_time) == (7, None, None)


def test_failed_steps_are_grouped_by_type_and_one_without_a_type_is_told():
    events = [
        RunEvent(10.0, {"error_type": "RuntimeError", "generation": 3}),
        RunEvent(20.0, {"error_type": "RuntimeError", "generation": 9, "error_message": "again"}),
        RunEvent(None, {"generation": None}),
    ]
    first, second = failures.of(points([1]), events)
    assert (first.where, first.count, first.first_generation, first.last_generation, first.last_time) == (
        "step",
        2,
        3.0,
        9.0,
        20.0,
    )
    assert (second.error_type, second.first_generation, second.first_time) == ("untold", None, None)


def test_the_table_has_a_row_for_each_point_with_failures_and_each_step():
    frame = points([1, 2, 3], ValueError=[0, 2, 2])
    told = failures.table(
        frame, [RunEvent(101.5, {"error_type": "RuntimeError", "generation": 2, "error_message": "no"})]
    )
    assert told[["generation", "where", "error_type", "failures", "message"]].to_numpy().tolist() == [
        [2.0, "evaluation", "ValueError", 2.0, ""],
        [2.0, "step", "RuntimeError", 1.0, "no"],
    ]
    assert str(told["time_utc"].dtype).endswith("UTC]")
    assert failures.table(points([1]), ()).empty


def test_nothing_failed_where_nothing_is_known():
    assert failures.of(points([1, 2]), ()) == ()
    assert failures.of(points([1, 2], ValueError=[0, 0]), ()) == ()
