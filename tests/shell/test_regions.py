"""A benchmark under way is a region on every chart over clock time, so that nobody reads what it did as an incident."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from dashboard.catalogue import PANELS
from dashboard.figures.marks import Mark
from dashboard.shell.charts import _lines

BEGAN = 1_790_000_000.0


def regions(*measured: Mark):
    panel = next(panel for panel in PANELS if panel.chart == "lines")
    index = pd.to_datetime(BEGAN + np.arange(0, 600, 15), unit="s", utc=True)
    answer = SimpleNamespace(frame=pd.DataFrame({"p95": np.ones(len(index))}, index=index))
    figure = _lines(panel, answer, None, measured, "Europe/Berlin", "")  # type: ignore[arg-type]
    rectangles = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    notes = [note.hovertext for note in figure.layout.annotations if note.hovertext]
    return rectangles, notes, figure


def test_a_run_in_the_window_is_a_region_with_its_name():
    [region], [note], figure = regions(Mark(BEGAN + 60, BEGAN + 120, "Benchmark of <b>x</b>", "benchmark"))
    assert (region.x1 - region.x0) == 60_000
    first = pd.Timestamp(figure.data[0].x[0], unit="ms") if not isinstance(figure.data[0].x[0], str) else None
    assert first is None or region.x0 - figure.data[0].x[0] == 60_000  # the same wall clock as the curve
    assert "<b>" not in note


def test_a_run_that_began_before_the_curve_does_not_stretch_its_axis():
    [region], [note], figure = regions(Mark(BEGAN - 3600, BEGAN + 60, "Benchmark", "benchmark"))
    assert region.x0 == figure.data[0].x[0]
    assert "begun before" in note


def test_a_run_that_was_over_before_is_not_shown():
    rectangles, notes, _ = regions(Mark(BEGAN - 3600, BEGAN - 60, "Benchmark", "benchmark"))
    assert rectangles == notes == []
