"""Curves on the evolution axis: generation, elapsed or clock time; restarts are breaks, holes stay holes."""

from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.catalogue import evolution as metrics
from dashboard.catalogue.spec import Curve, Curves
from dashboard.figures import look

Axis = Literal["generation", "elapsed", "time"]
AXES: dict[Axis, str] = {"generation": "Generation", "elapsed": "Elapsed time", "time": "Clock time"}


def draw(curves: Curves, frame: pd.DataFrame, *, axis: Axis = "generation", zone: str = "UTC", revision: str = "") -> go.Figure:
    """Draw one run.

    Args:
        curves: what to draw.
        frame: one row a point, columns time (unix s), generation, elapsed_seconds, segment, source and one per metric.
        axis: what stands on the x axis.
        zone: the viewer's time zone, for axis="time".
        revision: changes when zoom should be forgotten.
    """
    frame = _broken_at_restarts(frame)
    across = x_of(frame, axis, zone)
    traces: list[go.Scatter] = []
    if curves.band is not None:
        traces += _band(curves, frame, across)
    for i, curve in enumerate(curve for curve in curves.curves if curve.metric.name in frame):
        traces.append(_line(curve, frame, across, look.COLOURS[i % len(look.COLOURS)]))
    figure = look.figure(traces, revision=f"{curves.key}|{axis}|{revision}")
    figure.update_layout(showlegend=True)
    figure.update_yaxes(**look.axis_of(curves.unit))
    figure.update_xaxes(**x_axis(axis))
    for start in restarts(frame, across):
        figure.add_vline(x=start, line={"color": look.FAINT, "dash": "dash", "width": 1})
    return figure


def x_of(frame: pd.DataFrame, axis: Axis, zone: str = "UTC") -> pd.Series:
    """The frame's x values on this axis; clock time as naive times of the viewer's zone, which plotly draws as they are."""
    if axis == "time":
        return pd.to_datetime(frame["time"], unit="s", utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    return frame["generation" if axis == "generation" else "elapsed_seconds"]


def x_axis(axis: Axis) -> dict[str, object]:
    """Title and ticks of the x axis."""
    if axis == "elapsed":
        return {"title": {"text": "Elapsed time"}, "tickformat": "~s", "ticksuffix": "s"}
    return {"title": {"text": AXES[axis]}} | ({"tickformat": ",d"} if axis == "generation" else {})


def restarts(frame: pd.DataFrame, across: pd.Series) -> list[object]:
    """Where a later segment begins on this axis."""
    first = frame.drop_duplicates("segment", keep="first").index[1:]
    return [across.loc[i] for i in first if not pd.isna(across.loc[i])]


def _broken_at_restarts(frame: pd.DataFrame) -> pd.DataFrame:
    """An empty row between segments, so that no line joins a run to the one before it."""
    if frame.empty or frame["segment"].nunique() < 2:
        return frame
    gap = pd.DataFrame({name: [np.nan] for name in frame.columns if name != "source"})
    pieces: list[pd.DataFrame] = []
    for _, piece in frame.groupby("segment", sort=True):
        pieces += [piece, gap.assign(segment=piece["segment"].iloc[0])]
    return pd.concat(pieces[:-1], ignore_index=True)


def _line(curve: Curve, frame: pd.DataFrame, across: pd.Series, colour: str) -> go.Scatter:
    values = frame[curve.metric.name]
    if curve.style == "best-so-far":
        values = values.groupby(frame["segment"]).cummax()
    if curve.style == "dots":
        symbols = np.where(frame["source"].eq("prometheus"), "circle-open", "circle")
        return go.Scatter(
            x=across, y=values.to_numpy(np.float32), name=curve.legend, mode="markers",
            marker={"size": 5, "color": colour, "symbol": symbols, "opacity": 0.75}, connectgaps=False,
        )  # fmt: skip
    few = values.notna().sum() < 40
    return go.Scatter(
        x=across, y=values.to_numpy(np.float32), name=curve.legend, mode="lines+markers" if few else "lines",
        line={"color": look.FAINT if curve.style == "faint" else colour, "width": 1.2 if curve.style == "faint" else 2,
              "shape": "hv" if curve.style == "best-so-far" else "linear"},
        marker={"size": 4}, connectgaps=False,
    )  # fmt: skip


def _band(curves: Curves, frame: pd.DataFrame, across: pd.Series) -> list[go.Scatter]:
    """Least to best of the population where known, else mean ± one standard deviation."""
    assert curves.band is not None
    low, high = (metric.name for metric in curves.band)
    if low in frame and high in frame and frame[low].notna().any():
        edges, name = (frame[low], frame[high]), "worst to best"
    elif metrics.STD.name in frame and metrics.AVERAGE.name in frame:
        mean, std = frame[metrics.AVERAGE.name], frame[metrics.STD.name]
        edges, name = (mean - std, mean + std), "mean ± std"
    else:
        return []
    hidden = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "connectgaps": False, "legendgroup": name}
    return [
        go.Scatter(x=across, y=edges[0].to_numpy(np.float32), showlegend=False, **hidden),
        go.Scatter(x=across, y=edges[1].to_numpy(np.float32), name=name, fill="tonexty", fillcolor="rgba(0,114,178,0.14)", **hidden),
    ]  # fmt: skip
