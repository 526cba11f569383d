"""Several runs in one figure: best so far of each, aligned at generation 0, at their start, or by clock."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.catalogue import evolution as metrics
from dashboard.figures import look
from dashboard.figures.evolution import Floats, Options, x_axis, x_of

DASHES = ("solid", "dash", "dot", "dashdot")  # after eight colours the next eight are dashed


def draw(frames: Mapping[str, pd.DataFrame], options: Options, *, revision: str = "") -> go.Figure:
    """Draw best-so-far of every run; `frames` is legend → points as for `evolution.draw`."""
    figure = look.figure([], revision=revision, height=380)
    for i, (legend, frame) in enumerate(frames.items()):
        best = best_so_far(frame)
        colour, dash = look.COLOURS[i % len(look.COLOURS)], DASHES[i // len(look.COLOURS) % len(DASHES)]
        figure.add_scatter(
            x=x_of(frame, options.axis, options.zone), y=best.astype(np.float32), name=look.escape(legend), mode="lines",
            line={"color": colour, "width": 2, "shape": "hv", "dash": dash}, hovertemplate="%{y:.4~g}",
        )  # fmt: skip
    everything = np.concatenate([best_so_far(frame) for frame in frames.values()]) if frames else np.empty(0)
    log = options.log and bool(np.isfinite(everything).any()) and bool(np.nanmin(everything) > 0)
    figure.update_layout(showlegend=True, margin={"t": 34}, meta={"axis": options.axis})
    figure.update_xaxes(**x_axis(options.axis))
    figure.update_yaxes(type="log" if log else "linear", tickformat="~g")
    return figure


def best_so_far(frame: pd.DataFrame) -> Floats:
    """The best fitness up to each point, through restarts; NaN before the first."""
    if metrics.BEST.name not in frame:
        return np.full(len(frame), np.nan)
    return frame[metrics.BEST.name].cummax().ffill().to_numpy(np.float64)


def reached(frame: pd.DataFrame, fitness: float) -> tuple[float, float] | None:
    """(generation, elapsed seconds) at which best-so-far first stood at `fitness` or above."""
    there = np.flatnonzero(best_so_far(frame) >= fitness)
    if not there.size:
        return None
    row = frame.iloc[there[0]]
    return float(row["generation"]), float(row["elapsed_seconds"])
