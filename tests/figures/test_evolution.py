"""Curves on the evolution axis: what is drawn where, what is not joined, and what stays visible."""

import numpy as np
import pandas as pd
import pytest

from dashboard.catalogue import evolution as metrics
from dashboard.figures import evolution
from dashboard.figures.evolution import Options
from dashboard.figures.marks import Mark

BEST, AVERAGE, MINIMUM, DIVERSITY = map(
    str, (metrics.BEST, metrics.AVERAGE, metrics.MINIMUM, metrics.DIVERSITY)
)


def points(best: list[float], **columns: list[float]) -> pd.DataFrame:
    """A run of one generation a second from generation 1, all from the log."""
    count = len(best)
    table = {
        "time": 1_800_000_000.0 + np.arange(count),
        "generation": np.arange(1.0, count + 1),
        "elapsed_seconds": np.arange(count) * 1.0,
        "segment": np.zeros(count, int),
        "source": ["log"] * count,
        "hole_before": [False] * count,
        BEST: best,
    }
    return pd.DataFrame(table | columns)


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def test_raw_points_and_best_so_far_stand_beside_each_other():
    figure = evolution.draw([metrics.FITNESS], points([0.1, 0.3, 0.2]))
    assert trace(figure, "best of the generation").y.tolist() == pytest.approx([0.1, 0.3, 0.2])
    assert trace(figure, "best so far").y.tolist() == pytest.approx([0.1, 0.3, 0.3])


def test_a_restart_breaks_every_line_and_begins_a_new_best():
    frame = points([0.5, 0.9, 0.1, 0.2], generation=[1.0, 2.0, 1.0, 2.0], segment=[0, 0, 1, 1])
    best = trace(evolution.draw([metrics.FITNESS], frame), "best so far").y.astype(float)
    assert np.isnan(best[2])
    assert best[[0, 1, 3, 4]].tolist() == pytest.approx([0.5, 0.9, 0.1, 0.2])


def test_generations_that_prometheus_missed_are_joined_but_a_silence_is_not():
    frame = points(
        [1.0, 2.0, 3.0, 4.0], generation=[1.0, 3.0, 5.0, 500.0], hole_before=[False, True, True, True]
    )
    drawn = trace(evolution.draw([metrics.FITNESS], frame), "best of the generation").y.astype(float)
    assert np.isnan(drawn).tolist() == [False, False, False, True, False]


def test_a_value_that_is_not_a_number_is_a_gap():
    line = trace(
        evolution.draw([metrics.DIVERSITY_CURVES], points([1.0] * 3, **{DIVERSITY: [0.5, np.nan, 0.4]})),
        "diversity score",
    )
    assert np.isnan(line.y[1])
    assert line.connectgaps is False


def test_numbers_go_to_the_browser_in_single_precision():
    assert {str(one.y.dtype) for one in evolution.draw([metrics.FITNESS], points([0.1, 0.2])).data} == {
        "float32"
    }


def test_rows_share_one_x_axis_and_one_cursor():
    figure = evolution.draw(
        [metrics.FITNESS, metrics.DIVERSITY_CURVES], points([1.0, 2.0], **{DIVERSITY: [0.5, 0.4]})
    )
    assert {one.xaxis for one in figure.data} == {"x"}
    assert {one.yaxis for one in figure.data} == {"y", "y2"}
    assert figure.layout.hoversubplots == "axis"
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]


@pytest.mark.parametrize(("axis", "expected"), [("generation", [1, 2]), ("elapsed", [0, 1])])
def test_the_axis_is_the_viewers_choice(axis, expected):
    assert (
        evolution.draw([metrics.FITNESS], points([1.0, 2.0]), Options(axis=axis)).data[0].x.tolist()
        == expected
    )


def test_clock_time_stands_in_the_viewers_zone():
    frame = points([1.0])
    utc = evolution.x_of(frame, "time", "UTC")[0]
    assert evolution.x_of(frame, "time", "Asia/Kolkata")[0] - utc == 5.5 * 3600 * 1000


def test_the_band_is_worst_to_best_and_stops_at_a_hole():
    frame = points([3.0, 3.0, 3.0, 3.0], **{MINIMUM: [1.0, 1.0, np.nan, 2.0]})
    band = trace(evolution.draw([metrics.FITNESS], frame), "worst to best")
    assert band.fill == "toself"
    assert np.isnan(band.y).sum() == 2  # two shapes
    assert band.y[:4].tolist() == [3.0, 3.0, 1.0, 1.0]


def test_smoothing_is_off_unless_asked_and_leaves_the_raw_points():
    frame = points([0.0, 1.0, 0.0, 1.0], **{AVERAGE: [0.0, 1.0, 0.0, 1.0]})
    assert not any("smoothed" in (one.name or "") for one in evolution.draw([metrics.FITNESS], frame).data)
    figure = evolution.draw([metrics.FITNESS], frame, Options(half_life=3))
    assert trace(figure, "mean").y.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert trace(figure, "mean, smoothed").y[-1] == pytest.approx(0.55, abs=0.1)


def test_smoothing_starts_at_the_first_value_and_halves_by_distance_and_not_by_count():
    assert evolution.smoothed(np.array([4.0, 4.0]), np.array([0.0, 9.0]), 3.0).tolist() == [4.0, 4.0]
    near = evolution.smoothed(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 1.0)[1]
    far = evolution.smoothed(np.array([0.0, 1.0]), np.array([0.0, 10.0]), 1.0)[1]
    assert near == pytest.approx(1 / 1.5)
    assert far == pytest.approx(1.0, abs=1e-3)


def test_smoothing_keeps_holes():
    smooth = evolution.smoothed(np.array([1.0, np.nan, 3.0]), np.arange(3.0), 2.0)
    assert np.isnan(smooth).tolist() == [False, True, False]


def test_a_logarithmic_axis_is_only_for_values_above_zero():
    positive = evolution.draw([metrics.FITNESS], points([0.1, 10.0]), Options(log=True))
    mixed = evolution.draw([metrics.FITNESS], points([-1.0, 10.0]), Options(log=True))
    assert (positive.layout.yaxis.type, mixed.layout.yaxis.type) == ("log", "linear")


def test_where_log_and_prometheus_meet_each_point_shows_which_it_is():
    frame = points([1.0, 2.0], source=["log", "prometheus"])
    assert list(trace(evolution.draw([metrics.FITNESS], frame), "best of the generation").marker.symbol) == [
        0,
        100,
    ]


def test_marks_stand_at_their_generation_and_their_text_is_escaped():
    mark = Mark(1_800_000_001.0, 1_800_000_002.0, "<b>ExpertDead</b>", "critical")
    figure = evolution.draw([metrics.FITNESS], points([1.0, 2.0, 3.0]), noted=[mark])
    area = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (area.x0, area.x1) == (2.0, 3.0)
    assert any("&lt;b&gt;ExpertDead" in (note.hovertext or "") for note in figure.layout.annotations)


def test_a_mark_before_the_first_generation_is_not_drawn_on_the_generation_axis():
    figure = evolution.draw(
        [metrics.FITNESS], points([1.0, 2.0]), noted=[Mark(1.0, None, "old", "benchmark")]
    )
    assert not figure.layout.shapes


def test_matching_points_of_two_axes_let_a_viewer_keep_the_zoomed_part():
    frame = points([1.0] * 400)
    knots = evolution.knots(frame, evolution.x_of(frame, "generation"))
    assert knots is not None
    assert len(knots["x"]) == len(knots["time"]) == 100
    assert (knots["x"][0], knots["x"][-1]) == (1.0, 400.0)


def test_zoom_is_kept_while_the_run_stays_and_the_x_range_while_the_axis_stays():
    one = evolution.draw([metrics.FITNESS], points([1.0, 2.0]), Options("generation"), revision="r")
    more = evolution.draw([metrics.FITNESS], points([1.0, 2.0, 3.0]), Options("generation"), revision="r")
    other = evolution.draw([metrics.FITNESS], points([1.0, 2.0]), Options("elapsed"), revision="r")
    assert one.layout.uirevision == more.layout.uirevision == other.layout.uirevision
    assert one.layout.xaxis.uirevision == more.layout.xaxis.uirevision != other.layout.xaxis.uirevision


def test_the_parts_of_a_generation_lie_on_each_other_below_its_time_and_say_their_own_value():
    duration, phase = str(metrics.GENERATION_DURATION), metrics.PHASE_DURATION.part
    frame = points(
        [0.1] * 4,
        **{
            duration: [3.0, 3.0, np.nan, 3.0],
            phase("evaluate <b>"): [1.0, 1.0, np.nan, 1.0],
            phase("select"): [0.5, np.nan, np.nan, 0.5],
        },
    )
    figure = evolution.draw([metrics.PACE], frame)
    edges = [one for one in figure.data if one.customdata is not None]
    assert [one.name for one in edges] == ["evaluate &lt;b&gt;", "select"]
    np.testing.assert_allclose(edges[1].y, [1.5, 1.0, np.nan, 1.5])
    np.testing.assert_allclose(edges[1].customdata, [0.5, np.nan, np.nan, 0.5])
    filled = next(one for one in figure.data if one.fill == "toself" and one.name == "select")
    assert np.nanmin(filled.y) == 1.0  # it stands on the part below
    assert np.isnan(filled.y).sum() == 2  # a hole parts the shape
    assert trace(figure, "wall time of a generation").y.tolist()[0] == 3.0


def test_parts_without_their_whole_are_drawn_and_stay_linear():
    frame = points([0.1] * 3, **{metrics.PHASE_DURATION.part("evaluate"): [1.0, 2.0, 1.0]})
    assert evolution.drawable(metrics.PACE, frame)
    assert evolution.columns([metrics.PACE], frame) == [metrics.PHASE_DURATION.part("evaluate")]
    assert evolution.draw([metrics.PACE], frame, Options(log=True)).layout.yaxis.type == "linear"
