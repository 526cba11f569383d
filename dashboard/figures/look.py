"""One look for every figure: colours that colour-blind people tell apart, axes in units, zoom that survives a refresh.

Text and background colours are left to the page, which knows whether it is light or dark.
"""

import html
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.catalogue import units
from dashboard.catalogue.units import Unit

# Okabe and Ito (2008), "Color Universal Design", darkened where it must be read on white and on dark.
COLOURS = ("#2a86c4", "#d55e00", "#009e73", "#cc79a7", "#d99000", "#56b4e9", "#7f6fb5", "#8c6d31")
FAINT = "#8a97a5"
WARNING = "#d55e00"
MAX_LINES = 24  # more lines than this are a texture, not a chart

_TICKS: dict[Unit, dict[str, Any]] = {
    units.RATIO: {"tickformat": ".2~%"},
    units.PERCENT: {"ticksuffix": " %"},
    units.SECONDS: {"tickformat": "~s", "ticksuffix": "s"},
    units.BYTES: {"tickformat": "~s", "ticksuffix": "B"},
    units.HERTZ: {"tickformat": "~s", "ticksuffix": "Hz"},
    units.WATTS: {"tickformat": "~s", "ticksuffix": " W"},
    units.CELSIUS: {"ticksuffix": " °C"},
    units.PER_SECOND: {"ticksuffix": " /s"},
    units.NUMBER: {"tickformat": "~g"},
    units.COUNT: {"tickformat": ",~r"},
}


def escape(text: str) -> str:
    """Text from outside for a title, a legend or a hover: plotly reads a small HTML there."""
    return html.escape(str(text), quote=False)


def axis_of(unit: Unit) -> dict[str, Any]:
    """Tick format and title of a value axis in this unit."""
    ticks = dict(_TICKS.get(unit, {}))
    if not ticks and unit.symbol:
        ticks["title"] = {"text": unit.symbol}
    return ticks


def local(times: pd.DatetimeIndex | NDArray[np.float64], zone: str) -> NDArray[np.float64]:
    """Times (aware index, or unix seconds) as milliseconds of the wall clock of `zone`.

    For date axes; the page writes them as dates without a zone (shell/browser/figure.js), because plotly would shift
    numbers by the browser's zone.
    """
    aware = times if isinstance(times, pd.DatetimeIndex) else pd.to_datetime(times, unit="s", utc=True)
    wall = pd.DatetimeIndex(aware).tz_convert(zone).tz_localize(None)
    milliseconds = wall.as_unit("ms").asi8.astype(np.float64)
    milliseconds[wall.isna()] = np.nan
    return np.asarray(milliseconds)


def figure(traces: list[Any], *, revision: str, height: int = 300, **layout: Any) -> go.Figure:
    """A figure with the common layout and, over it, `layout`. `revision` keeps zoom and hidden lines while it stays the same.

    plotly looks at every part of a layout each time it is updated, which takes longer than drawing: whoever knows the
    whole layout gives it here at once.
    """
    whole = {
        "template": go.layout.Template(),  # plotly's own is nine tenths of a small figure
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "hovermode": "x unified",
        "uirevision": revision,
        "legend": legend(),
        "yaxis": {"automargin": True, "zeroline": False},
        "separators": ". ",
        **layout,
    }
    whole["xaxis"] = {
        "automargin": True, "showgrid": False, "zeroline": False, "showspikes": True, "spikemode": "across", "spikesnap": "cursor",
        "spikethickness": 1, "spikedash": "solid", "spikecolor": FAINT, **layout.get("xaxis", {}),
    }  # fmt: skip
    return go.Figure(traces, whole)


def legend(top: float = 1.0) -> dict[str, Any]:
    """A legend in one row above the plot, at its right end; `top` is the plot's upper edge as a share of the figure."""
    return {
        "orientation": "h", "yanchor": "bottom", "y": top, "xanchor": "right", "x": 1, "title": {"text": ""}, "font": {"size": 11},
        "bgcolor": "rgba(0,0,0,0)",
    }  # fmt: skip
