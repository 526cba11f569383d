"""Lines over clock time: a panel and its answer become one figure."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.catalogue.spec import Panel
from dashboard.figures import look


def draw(panel: Panel, frame: pd.DataFrame, *, zone: str = "UTC", revision: str = "") -> go.Figure:
    """Draw a wide frame (UTC DatetimeIndex × one column a line, NaN a hole) as lines in the viewer's zone.

    Lines beyond `look.MAX_LINES` are left out, the ones with the highest last values stay; the figure says so.
    """
    shown = busiest(frame)
    when = look.local(pd.DatetimeIndex(shown.index), zone)
    shape = "hv" if panel.chart == "steps" else "linear"
    traces = [
        go.Scatter(
            x=when,
            y=shown.iloc[:, i].to_numpy(dtype=np.float32),
            name=look.escape(str(name)),
            mode=_mode(shown.iloc[:, i].to_numpy()),
            line={"color": look.COLOURS[i % len(look.COLOURS)], "width": 1.8, "shape": shape},
            marker={"size": 5},
            connectgaps=False,
        )
        for i, name in enumerate(shown.columns)
    ]
    figure = look.figure(traces, revision=f"{panel.key}|{revision}")
    figure.update_layout(showlegend=True, margin={"t": 30})
    figure.update_xaxes(type="date", hoverformat="%d %b %H:%M:%S")
    figure.update_yaxes(**look.axis_of(panel.unit), rangemode="tozero" if panel.floor_zero else "normal")
    for value, meaning in panel.thresholds:
        figure.add_hline(
            y=value, line={"color": look.WARNING, "dash": "dot", "width": 1.2}, annotation_text=look.escape(meaning),
            annotation_position="top right", annotation_font_size=11,
        )  # fmt: skip
    if shown.shape[1] < frame.shape[1]:
        figure.add_annotation(
            text=f"{shown.shape[1]} of {frame.shape[1]} lines shown: the highest now", xref="paper", yref="paper", x=1, y=0,
            showarrow=False, font={"size": 11, "color": look.FAINT},
        )  # fmt: skip
    return figure


def busiest(frame: pd.DataFrame, most: int = look.MAX_LINES) -> pd.DataFrame:
    """The columns with the highest last known values, in their own order; all of them where there are few."""
    if frame.shape[1] <= most:
        return frame
    last = frame.ffill().iloc[-1].fillna(-np.inf)
    keep = set(last.nlargest(most).index)
    return frame[[name for name in frame.columns if name in keep]]


def _mode(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    """Points where a line would be invisible: a value whose neighbours are holes."""
    known = np.isfinite(values)
    alone = known & ~np.roll(known, 1) & ~np.roll(known, -1)
    return "lines+markers" if alone.any() or known.sum() < 3 else "lines"
