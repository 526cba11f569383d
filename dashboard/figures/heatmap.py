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
    there = np.flatnonzero(np.isfinite(load).any(axis=0) & np.isfinite(across))
    if there.size:  # what lies before the first and after the last value is not a hole
        there = np.arange(there[0], there[-1] + 1)
    there = there[np.isfinite(across[there])]
    there = (
        there[np.append(np.diff(across[there]) != 0, True)] if there.size else there
    )  # one generation sampled twice
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
