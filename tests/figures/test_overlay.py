"""Several runs over each other."""

import numpy as np
import pandas as pd
import pytest

from dashboard.catalogue import evolution as metrics
from dashboard.figures import overlay
from dashboard.figures.marks import Mark
from dashboard.figures.overlay import Drawing


def run(best: list[float], start: float = 0.0, **columns: list[float]) -> pd.DataFrame:
    count = len(best)
    return pd.DataFrame({
        "time": start + 2.0 * np.arange(count), "generation": np.arange(count) * 1.0, "elapsed_seconds": 2.0 * np.arange(count),
        "segment": np.zeros(count, int), str(metrics.BEST): best,
    } | columns)  # fmt: skip


def line(figure, name):
    return next(one for one in figure.data if one.name == name and one.fill is None)


def test_runs_that_began_at_different_times_are_aligned_at_their_start():
    figure = overlay.draw({"a": run([0.1, 0.2]), "b": run([0.3, 0.1], start=1e9)}, Drawing("elapsed"))
    assert [trace.x.tolist() for trace in figure.data] == [[0.0, 2.0], [0.0, 2.0]]
    assert figure.data[1].y.tolist() == np.float32([0.3, 0.3]).tolist()


def test_by_clock_they_lie_where_they_were_in_the_viewers_zone():
    figure = overlay.draw({"a": run([0.1, 0.2], start=1_800_000_000.0)}, Drawing("time", "Asia/Tokyo"))
    assert figure.data[0].x[0] == (1_800_000_000 + 9 * 3600) * 1000
    assert figure.layout.xaxis.type == "date"


def test_evaluations_are_an_axis():
    counted = {str(metrics.EVALUATIONS): [100.0, 200.0]}
    figure = overlay.draw({"a": run([0.1, 0.2], **counted)}, Drawing("evaluations"))
    assert figure.data[0].x.tolist() == [100.0, 200.0]
    assert figure.layout.xaxis.title.text == "Fitness evaluations"


def test_the_area_between_two_runs_has_the_colour_of_the_one_ahead():
    frames = {"a": run([0.0, 0.5, 0.5]), "b": run([0.2, 0.2, 0.9]), "c": run([0.0, 0.0, 0.0])}
    figure = overlay.draw(frames, Drawing(area=("a", "b")))
    areas = {one.name: one for one in figure.data if one.fill == "toself"}
    assert set(areas) == {"a ahead", "b ahead"}
    assert areas["a ahead"].fillcolor == line(figure, "a").line.color
    filled = areas["a ahead"]
    assert (np.nanmin(filled.x), np.nanmax(filled.x)) == (1.0, 2.0)
    assert (np.nanmin(filled.y), np.nanmax(filled.y)) == pytest.approx((0.2, 0.5))
    assert not [one for one in overlay.draw(frames, Drawing()).data if one.fill]


def test_the_baseline_is_told_apart_and_a_goal_is_a_line():
    figure = overlay.draw({"a": run([0.1]), "b": run([0.2])}, Drawing(goal=0.15, baseline="b"))
    assert line(figure, "b ★").line.width > line(figure, "a").line.width
    assert [shape.y0 for shape in figure.layout.shapes] == [0.15]


def test_what_happened_to_a_run_is_marked_on_its_own_curve():
    noted = [
        Mark(2.5, 3.0, "ExpertDead <b>", "critical"),
        Mark(900.0, 901.0, "another day", "warning"),
        Mark(-5.0, 1.0, "before and into it", "warning"),
    ]
    figure = overlay.draw({"a": run([0.1, 0.4, 0.3])}, Drawing(), noted={"a": noted})
    signs = figure.data[-1]
    assert signs.text == ("ExpertDead &lt;b&gt;", "before and into it")
    assert signs.x.tolist() == [1.0, 0.0]
    assert signs.y.tolist() == pytest.approx([0.4, 0.1])


def test_a_restart_is_marked_and_the_curve_does_not_go_back():
    again = run([0.5, 0.9, 0.1, 0.2]).assign(generation=[1.0, 2.0, 1.0, 2.0], segment=[0, 0, 1, 1])
    figure = overlay.draw({"a": again}, Drawing())
    assert (np.diff(figure.data[0].x) >= 0).all()
    assert "begins at generation 1" in figure.data[1].text[0]


def test_a_long_run_is_thinned_and_no_gain_is_lost():
    best = np.repeat(np.arange(1000) / 1000, 100)
    drawn = overlay.draw({"a": run(best.tolist())}).data[0]
    assert len(drawn.x) < 2000
    assert len(np.unique(drawn.y)) == 1000


def test_a_legend_from_outside_is_escaped():
    assert overlay.draw({"<a href>": run([0.1])}).data[0].name == "&lt;a href&gt;"


def test_a_logarithmic_axis_is_refused_where_something_is_not_above_zero():
    assert overlay.draw({"a": run([0.1])}, Drawing(log=True)).layout.yaxis.type == "log"
    assert overlay.draw({"a": run([-0.1])}, Drawing(log=True)).layout.yaxis.type == "linear"
    assert overlay.draw({"a": run([0.1])}, Drawing(log=True, goal=-1.0)).layout.yaxis.type == "linear"
