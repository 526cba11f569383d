"""The heatmap: 1.0 in the middle of the scale, holes unlike zero, no column for what was not looked at."""

import numpy as np

from dashboard.figures import heatmap

AXIS = {"title": {"text": "Generation"}}


def drawn(load: list[list[float]], across: list[float]):
    block = np.array(load)
    return heatmap.draw(block, ["a<b>", "b"][: len(load)], np.array(across), AXIS, block / 2).data[0]


def test_fair_is_the_middle_of_the_scale():
    trace = drawn([[1.0], [1.0]], [1.0])
    assert (trace.zmin, trace.zmid, trace.zmax) == (0.0, 1.0, 2.0)
    assert trace.colorscale[3] == (0.5, "#f7f7f7")


def test_a_hole_is_not_a_zero():
    trace = drawn([[0.0, np.nan, 0.0], [2.0, np.nan, 2.0]], [1.0, 2.0, 3.0])
    assert np.isnan(trace.z[0]).tolist() == [False, True, False]
    assert heatmap.HOLE.lower() not in {colour.lower() for _, colour in heatmap.SCALE}


def test_what_lies_before_the_first_and_after_the_last_value_is_left_out():
    trace = drawn([[np.nan, 1.0, 1.0, np.nan], [np.nan, 1.0, 1.0, np.nan]], [1.0, 2.0, 3.0, 4.0])
    assert trace.x.tolist() == [2.0, 3.0]


def test_a_generation_that_was_sampled_twice_is_one_column_with_its_newest_value():
    trace = drawn([[0.5, 1.5], [1.5, 0.5]], [7.0, 7.0])
    assert trace.x.tolist() == [7.0]
    assert trace.z[0].tolist() == [1.5]


def test_names_from_outside_are_escaped():
    assert drawn([[1.0], [1.0]], [1.0]).y[0] == "expert a&lt;b&gt;"
