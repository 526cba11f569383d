"""Dots over a curve: single requests that can be opened. `meta` and `customdata` tell the page's script which trace."""

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures import look

META = "trace"  # browser/figure.js opens a trace for dots that say this
COLOUR = "#8c6d31"


def add(
    figure: go.Figure,
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    trace_ids: tuple[str, ...],
    *,
    zone: str,
) -> None:
    """Draw requests with a trace.

    Args:
        figure: lines over clock time.
        times: (n,) unix seconds. values: (n,) in the figure's unit. trace_ids: (n,) hex digits.
        zone: the viewer's.
    """
    figure.add_trace(
        go.Scatter(
            x=look.local(times, zone), y=np.asarray(values, np.float32), mode="markers", name="traced requests",
            marker={"symbol": "diamond", "size": 7, "color": COLOUR, "line": {"width": 1, "color": "#ffffff"}},
            customdata=list(trace_ids), meta=META, hovertemplate="%{y:.3~s}s · click opens its trace<extra></extra>",
        )
    )  # fmt: skip
