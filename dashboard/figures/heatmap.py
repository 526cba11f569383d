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
HOLE = "#c3c8ce"


def draw(
    load: NDArray[np.float64], experts: Sequence[str], across: Sequence[Any], *, across_title: str, share: NDArray[np.float64],
    revision: str = "",
) -> go.Figure:  # fmt: skip
    """Draw load ÷ fair load.

    Args:
        load: (experts × points), 1.0 is fair, NaN a hole.
        experts: one name a row.
        across: one x value a column: generations or naive local times.
        across_title: what stands on the x axis.
        share: (experts × points), the share of the routed load, for the hover.
        revision: changes when zoom should be forgotten.
    """
    trace = go.Heatmap(
        z=load.astype(np.float32), x=list(across), y=[f"expert {look.escape(name)}" for name in experts],
        customdata=share.astype(np.float32), zmin=0.0, zmid=1.0, zmax=TOP, colorscale=[list(stop) for stop in SCALE],
        colorbar={"title": {"text": "load ÷ fair"}, "tickvals": [0, 0.5, 1, 1.5, 2], "ticktext": ["0 dead", "0.5", "1 fair", "1.5", "≥ 2"]},
        hovertemplate="%{y}<br>" + across_title.lower() + " %{x}<br>load ÷ fair %{z:.2f}<br>share %{customdata:.1%}<extra></extra>",
        hoverongaps=False,
    )  # fmt: skip
    figure = look.figure([trace], revision=f"experts|{revision}", height=min(900, 120 + 22 * max(4, len(experts))))
    figure.update_layout(hovermode="closest", plot_bgcolor=HOLE)
    figure.update_xaxes(title={"text": across_title})
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
