"""Lines over clock time."""

import numpy as np
import pandas as pd

from dashboard.catalogue import hardware
from dashboard.figures import lines, look

INDEX = pd.date_range("2026-11-23T12:00:00Z", periods=3, freq="5s")


def test_a_hole_stays_a_hole_and_a_lonely_value_is_a_point():
    frame = pd.DataFrame({"a": [1.0, np.nan, 2.0]}, index=INDEX)
    trace = lines.draw(hardware.CPU_PANEL, frame).data[0]
    assert np.isnan(trace.y[1])
    assert trace.mode == "lines+markers"


def test_times_stand_in_the_viewers_zone():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=INDEX)
    first = {
        zone: lines.draw(hardware.CPU_PANEL, frame, zone=zone).data[0].x[0]
        for zone in ("UTC", "America/New_York")
    }
    assert first["UTC"] - first["America/New_York"] == 5 * 3600 * 1000


def test_beyond_what_a_chart_can_show_the_highest_lines_stay_and_the_figure_says_so():
    frame = pd.DataFrame({f"line {i}": [float(i)] * 3 for i in range(look.MAX_LINES + 6)}, index=INDEX)
    figure = lines.draw(hardware.CPU_PANEL, frame)
    assert next(trace.name for trace in figure.data) == "line 6"
    assert f"{look.MAX_LINES} of {look.MAX_LINES + 6} lines shown" in figure.layout.annotations[-1].text


def test_a_legend_from_outside_is_escaped():
    frame = pd.DataFrame({"<a href='javascript:x'>": [1.0] * 3}, index=INDEX)
    assert "<" not in lines.draw(hardware.CPU_PANEL, frame).data[0].name
