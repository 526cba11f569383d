"""A benchmark cell from run to run: medians with their intervals, verdicts as signs, changes of the environment as lines."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.benchmark.history import Point
from dashboard.catalogue.units import SECONDS
from dashboard.figures import look

# Word -> (symbol, colour); the word itself is in the hover text and in the table below the figure.
SIGNS = {
    "regressed": ("triangle-up", "#b3261e"),
    "suspect": ("diamond", "#d99000"),
    "improved": ("triangle-down", "#2e7d32"),
    "same": ("circle", "#2e7d32"),
    "inconclusive": ("circle-open", look.FAINT),
    "incomparable": ("x", look.FAINT),
    "": ("circle", look.COLOURS[0]),
}
CHANGED = "#7f6fb5"


def draw(points: Sequence[Point], *, zone: str = "UTC", revision: str = "") -> go.Figure:
    """Draw one cell's points, oldest first; runs in which it failed have no point."""
    shown = [point for point in points if point.p50 is not None]
    when = look.local(pd.to_datetime([point.ended_at for point in shown], utc=True), zone)
    middle = np.array([point.p50 for point in shown], dtype=np.float64)
    low = np.array([np.nan if point.low is None else point.low for point in shown], dtype=np.float64)
    high = np.array([np.nan if point.high is None else point.high for point in shown], dtype=np.float64)
    line = go.Scatter(
        x=when,
        y=middle,
        mode="lines",
        line={"color": look.FAINT, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    figure_traces: list[go.Scatter] = [line]
    for word in SIGNS:
        mine = [i for i, point in enumerate(shown) if point.verdict == word]
        if not mine:
            continue
        symbol, colour = SIGNS[word]
        figure_traces.append(
            go.Scatter(
                x=when[mine],
                y=middle[mine],
                name=word or "not judged",
                mode="markers",
                marker={
                    "symbol": symbol,
                    "color": colour,
                    "size": 10,
                    "line": {"width": 1.5, "color": colour},
                },
                error_y={
                    "type": "data",
                    "array": np.nan_to_num(high[mine] - middle[mine]),
                    "arrayminus": np.nan_to_num(middle[mine] - low[mine]),
                    "color": colour,
                    "thickness": 1,
                },
                text=[_said(shown[i]) for i in mine],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    figure = look.figure(figure_traces, revision=revision)
    figure.update_layout(showlegend=True, margin={"t": 30}, hovermode="closest")
    figure.update_xaxes(type="date", hoverformat="%d %b %H:%M:%S")
    figure.update_yaxes(**look.axis_of(SECONDS))
    for point in points:
        if point.changed:
            at = float(look.local(pd.DatetimeIndex([point.ended_at]), zone)[0])
            figure.add_vline(
                x=at, line={"color": CHANGED, "dash": "dash", "width": 1.5},
                annotation_text="changed", annotation_hovertext=look.escape("; ".join(point.changed)),
                annotation_font_size=11,
            )  # fmt: skip
    return figure


def _said(point: Point) -> str:
    interval = (
        f" ({SECONDS.format(point.low)} to {SECONDS.format(point.high)})"
        if point.low is not None and point.high is not None
        else ""
    )
    parts = [
        f"{SECONDS.format(point.p50)}{interval}", point.verdict or "not judged", point.why, point.revision, point.host,
        f"changed: {'; '.join(point.changed)}" if point.changed else "",
    ]  # fmt: skip
    return "<br>".join(look.escape(part) for part in parts if part)
