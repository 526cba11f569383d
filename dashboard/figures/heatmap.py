"""Expert load as a heatmap: 1.0 is fair and sits in the middle of the scale, 0 is dead, a hole is grey and not blue."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures import look

# Blue below fair, orange above, nearly white at fair: told apart by all common kinds of colour blindness.
SCALE = (
    (0.0, "#08306b"), (0.12, "#2171b5"), (0.3, "#6baed6"), (0.5, "#f7f7f7"), (0.7, "#fdae6b"), (0.88, "#e6550d"), (1.0, "#7f2704"),
)  # fmt: skip
TOP = 2.0  # load ÷ fair load at which the colour saturates; the hover says the exact value
HOLE = "#9aa1a9"


def draw(
    load: NDArray[np.float64], experts: Sequence[str], across: NDArray[np.float64], x_axis: dict[str, Any], share: NDArray[np.float64],
    *, revision: str = "",
) -> go.Figure:  # fmt: skip
    """Draw load ÷ fair load.

    Args:
        load: (experts, points), 1.0 is fair, NaN a hole.
        experts: one name a row.
        across: (points,) x values: generations, elapsed seconds, or milliseconds of the viewer's wall clock.
        x_axis: plotly's description of that axis.
        share: (experts, points), the share of the routed load, for the hover.
        revision: changes when zoom should be forgotten.
    """
    there = columns(load, across)
    load, share, across = load[:, there], share[:, there], across[there]
    title = x_axis["title"]["text"].lower()
    x_format = f"|{x_axis['hoverformat']}" if "hoverformat" in x_axis else ":,.6~g"
    trace = go.Heatmap(
        z=load.astype(np.float32), x=across, y=[f"expert {look.escape(name)}" for name in experts],
        customdata=share.astype(np.float32), zmin=0.0, zmid=1.0, zmax=TOP, colorscale=[list(stop) for stop in SCALE],
        colorbar={"title": {"text": "load ÷ fair", "side": "right"}, "thickness": 12, "tickvals": [0, 0.5, 1, 1.5, 2],
                  "ticktext": ["0 dead", "0.5", "1 fair", "1.5", "≥ 2"]},
        hovertemplate=f"%{{y}}<br>{title} %{{x{x_format}}}<br>load ÷ fair %{{z:.2f}}<br>share %{{customdata:.1%}}<extra></extra>",
        hoverongaps=False,
    )  # fmt: skip
    figure = look.figure([trace], revision=revision, height=min(900, 90 + 22 * max(6, len(experts))))
    figure.update_layout(hovermode="closest", plot_bgcolor=HOLE)
    figure.update_xaxes(**x_axis, showspikes=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    return figure


def columns(load: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which points are worth a column: none before the first and after the last value, one for each x value."""
    there = np.flatnonzero(np.isfinite(load).any(axis=0) & np.isfinite(across))
    if not there.size:
        return there
    there = np.arange(there[0], there[-1] + 1)  # a hole between two values stays
    there = there[np.isfinite(across[there])]
    return np.asarray(
        there[np.append(np.diff(across[there]) != 0, True)]
    )  # one generation sampled twice: the newest


def lines(
    load: NDArray[np.float64], experts: Sequence[str], across: NDArray[np.float64], x_axis: dict[str, Any], *, revision: str = ""
) -> go.Figure:  # fmt: skip
    """The load ÷ fair load of a few experts as lines; arguments as for `draw`."""
    there = columns(load, across)
    traces = [
        go.Scatter(
            x=across[there], y=values[there].astype(np.float32), name=f"expert {look.escape(name)}", mode="lines", connectgaps=False,
            line={"color": look.COLOURS[i % len(look.COLOURS)], "width": 1.8}, hovertemplate="%{y:.3~g}",
        )
        for i, (name, values) in enumerate(zip(experts, load, strict=True))
    ]  # fmt: skip
    figure = look.figure(traces, revision=revision, height=240)
    figure.update_layout(showlegend=True, margin={"t": 30})
    figure.update_xaxes(**x_axis)
    figure.update_yaxes(rangemode="tozero")
    figure.add_hline(
        y=1.0,
        line={"color": look.FAINT, "dash": "dot", "width": 1},
        annotation_text="fair",
        annotation_font_size=11,
    )
    return figure
