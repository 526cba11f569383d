"""When a run reached a fitness, and how far two runs are apart: counted by hand."""

import numpy as np
import pandas as pd
import pytest

from dashboard.catalogue import evolution as metrics
from dashboard.verdict import progress


def run(best, *, generations=None, seconds=2.0, start=0.0, evaluations=None) -> pd.DataFrame:
    count = len(best)
    frame = pd.DataFrame({
        "time": start + seconds * np.arange(count),
        "generation": np.arange(1.0, count + 1) if generations is None else np.array(generations, float),
        "elapsed_seconds": seconds * np.arange(count),
        str(metrics.BEST): np.array(best, float),
    })  # fmt: skip
    return frame if evaluations is None else frame.assign(**{str(metrics.EVALUATIONS): evaluations})


def test_a_fitness_is_reached_at_a_generation_after_a_time_and_after_so_many_evaluations():
    there = progress.reached(run([0.1, 0.5, 0.9], evaluations=[24.0, 48.0, 72.0]), 0.5)
    assert (there.generation, there.seconds, there.evaluations, there.at_first) == (2.0, 2.0, 48.0, False)


def test_a_run_that_does_not_tell_its_evaluations_is_not_given_any():
    assert progress.reached(run([0.1, 0.5]), 0.5).evaluations is None


def test_a_fitness_that_was_never_reached_is_none_and_negative_fitness_is_a_fitness():
    assert progress.reached(run([0.1, 0.5]), 2.0) is None
    assert progress.reached(run([-90.0, -20.0, -30.0]), -25.0).generation == 2.0


def test_what_stood_at_the_first_point_of_a_cut_window_may_have_stood_before():
    assert progress.reached(run([0.8, 0.9], generations=[40, 41]), 0.5).at_first
    assert not progress.reached(run([0.8, 0.9]), 0.5).at_first


def test_evaluations_count_on_when_the_counter_begins_anew():
    frame = run([0.1] * 5, evaluations=[10.0, 20.0, np.nan, 5.0, 15.0])
    np.testing.assert_array_equal(progress.evaluations(frame), [10, 20, np.nan, 25, 35])


def test_the_mean_difference_is_over_the_generations_both_have():
    a, b = run([0.0, 0.4, 0.4]), run([0.0, 0.1, 0.2, 0.9, 0.9])
    found = progress.between(a, b, "generation")
    assert (found.edges[0], found.edges[-1]) == (1.0, 4.0)  # generations 1 to 3
    assert found.mean == pytest.approx(np.mean([0.0, 0.3, 0.2]))
    assert found.final == pytest.approx(0.2)
    assert progress.between(b, a, "generation").mean == pytest.approx(-found.mean)


def test_generations_that_one_of_them_missed_hold_what_was_best_before():
    a, b = run([0.2, 0.6], generations=[1, 5]), run([0.1] * 5)
    assert progress.between(a, b, "generation").mean == pytest.approx(np.mean([0.1, 0.1, 0.1, 0.1, 0.5]))


def test_on_another_axis_the_same_runs_lie_otherwise():
    slow, quick = run([0.0, 0.5, 0.5], seconds=10), run([0.0, 0.5, 0.5], seconds=1)
    assert progress.between(slow, quick, "generation").mean == 0.0
    assert progress.between(slow, quick, "elapsed").mean == pytest.approx(
        -0.25
    )  # over two seconds, one without


def test_evaluations_are_an_axis_where_both_tell_them():
    small, large = run([0.1, 0.2], evaluations=[10.0, 20.0]), run([0.1, 0.2], evaluations=[100.0, 200.0])
    assert progress.between(small, large, "evaluations") is None  # 10 to 20 and 100 to 200
    assert progress.between(small, run([0.1, 0.2]), "evaluations") is None


def test_runs_of_different_days_share_no_clock_time():
    assert progress.between(run([0.1, 0.2]), run([0.1, 0.2], start=86_400), "time") is None


def test_a_run_that_began_again_counts_on_from_where_it_was_best():
    again = run([0.5, 0.9, 0.1, 0.2], generations=[1, 2, 1, 2])
    assert progress.along(again, "generation").tolist() == [1, 2, 2, 2]
    assert progress.between(again, run([0.0, 0.0]), "generation").mean == pytest.approx(np.mean([0.5, 0.9]))


def test_a_run_without_fitness_is_far_from_nobody():
    nothing = run([np.nan, np.nan])
    assert progress.between(nothing, run([0.1]), "generation") is None
    assert progress.reached(nothing, 0.1) is None
    assert np.isnan(progress.best_so_far(nothing.drop(columns=str(metrics.BEST)))).all()


def test_the_pace_is_what_the_run_says_else_what_its_times_tell():
    frame = run([0.1] * 4, seconds=3.0)
    assert progress.seconds_a_generation(frame) == 3.0
    assert progress.seconds_a_generation(frame.assign(generation=[1.0, 3.0, 5.0, 7.0])) == 1.5
    assert (
        progress.seconds_a_generation(
            frame.assign(**{str(metrics.GENERATION_DURATION): [np.nan, 2.0, 2.0, 8.0]})
        )
        == 2.0
    )
    assert progress.seconds_a_generation(frame.iloc[:1]) is None
