"""Where requests lie between the bounds of a histogram, over clock time: what no percentile shows, such as two kinds of request."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.catalogue.units import Unit
from dashboard.figures import look

# From nothing to all of them; dark is many, so that an empty bucket disappears.
SCALE = (
    (0.0, "#f7fbff"),
    (0.02, "#deebf7"),
    (0.1, "#9ecae1"),
    (0.3, "#4292c6"),
    (0.6, "#08519c"),
    (1.0, "#08306b"),
)
HOLE = "#9aa1a9"


def shares(cumulative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each bucket's share of all requests, 0 to 1; NaN where there was none.

    `cumulative` is (bounds, points), the rates of Prometheus's buckets from the lowest bound to +Inf.
    """
    own = np.diff(cumulative, axis=0, prepend=0.0)
    every = cumulative[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        # two scrapes of two replicas may cross, which makes a bucket slightly smaller than the one below it
        return np.where(every > 0, np.clip(own, 0.0, None) / every, np.nan)


def draw(frame: pd.DataFrame, unit: Unit, *, zone: str = "UTC", revision: str = "") -> go.Figure:
    """Draw a wide frame (UTC DatetimeIndex × one column a bound, named as `le` is written), each column of points 100 %."""
    ordered = sorted(frame.columns, key=float)
    share = shares(frame[ordered].to_numpy(dtype=np.float64).T)
    trace = go.Heatmap(
        z=100 * share.astype(np.float32), x=look.local(pd.DatetimeIndex(frame.index), zone), y=names(ordered, unit),
        zmin=0.0, zmax=100.0, colorscale=[list(stop) for stop in SCALE], hoverongaps=False,
        colorbar={"title": {"text": "% of requests", "side": "right"}, "thickness": 12},
        hovertemplate="%{y}<br>%{x|%d %b %H:%M:%S}<br>%{z:.2f} % of requests<extra></extra>",
    )  # fmt: skip
    figure = look.figure([trace], revision=revision, height=90 + 20 * max(6, len(ordered)))
    figure.update_layout(hovermode="closest", plot_bgcolor=HOLE)
    figure.update_xaxes(type="date", hoverformat="%d %b %H:%M:%S", showspikes=False)
    figure.update_yaxes(type="category", showgrid=False)
    return figure


def names(bounds: Sequence[str], unit: Unit) -> list[str]:
    """Each bucket in words, from the lowest: "to 50 ms", "to 100 ms", "above 5 s"."""
    said = []
    for i, bound in enumerate(bounds):
        if not math.isinf(float(bound)):
            said.append(f"to {unit.format(float(bound))}")
        else:
            said.append(f"above {unit.format(float(bounds[i - 1]))}" if i else "all")
    return said
