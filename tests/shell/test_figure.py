"""A figure on its way to the browser: numbers as bytes, common x values once, the same figure the same bytes."""

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.shell.figure import Drawn, drawn


def two_lines() -> go.Figure:
    across = np.arange(500, dtype=np.float32)
    return go.Figure(
        [go.Scatter(x=across, y=across), go.Scatter(x=across, y=across * 2)], layout={"height": 320}
    )


def test_x_values_that_lines_share_are_sent_once():
    first, second = json.loads(Drawn.of(two_lines()).body)["data"]
    assert "bdata" in first["x"]
    assert second["x"] == {"same": 0}


def test_numbers_are_sent_as_bytes_and_not_as_digits():
    first, second = json.loads(Drawn.of(two_lines()).body)["data"]
    assert len(first["y"]["bdata"]) == len(second["y"]["bdata"]) == 4 * -(-500 * 4 // 3)


def test_a_figure_that_did_not_change_is_the_same_bytes():
    assert Drawn.of(two_lines()) == Drawn.of(two_lines())


def test_the_height_is_reserved_before_the_browser_has_drawn():
    assert Drawn.of(two_lines()).height == 320


def test_one_frame_is_drawn_once_for_each_set_of_options():
    frame, calls = pd.DataFrame({"a": [1.0]}), []
    for option in ("generation", "generation", "elapsed"):
        drawn(("test-figure", option), frame, lambda: calls.append(1) or two_lines())
    assert len(calls) == 2
