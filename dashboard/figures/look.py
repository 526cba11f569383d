"""One look for every figure: colours that colour-blind people tell apart, axes in units, zoom that survives a refresh."""

import html
from typing import Any

import plotly.graph_objects as go

from dashboard.catalogue import units
from dashboard.catalogue.units import Unit

# Okabe and Ito (2008), "Color Universal Design", darkened where it must be read on white and on dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6fb5", "#8c6d31")
FAINT = "#8a97a5"
WARNING = "#d55e00"
MAX_LINES = 24  # more lines than this are a texture, not a chart

_TICKS: dict[Unit, dict[str, Any]] = {
    units.RATIO: {"tickformat": ".0%"},
    units.PERCENT: {"ticksuffix": " %"},
    units.SECONDS: {"tickformat": "~s", "ticksuffix": "s"},
    units.BYTES: {"tickformat": "~s", "ticksuffix": "B"},
    units.HERTZ: {"tickformat": "~s", "ticksuffix": "Hz"},
    units.WATTS: {"tickformat": "~s", "ticksuffix": " W"},
    units.CELSIUS: {"ticksuffix": " °C"},
    units.PER_SECOND: {"ticksuffix": " /s"},
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


def figure(traces: list[Any], *, revision: str, height: int = 300) -> go.Figure:
    """A figure with the common layout. `revision` keeps zoom and hidden lines while it stays the same."""
    return go.Figure(
        traces,
        layout={
            "height": height,
            "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
            "hovermode": "x unified",
            "uirevision": revision,
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": None},
            "xaxis": {"automargin": True, "showgrid": False, "zeroline": False},
            "yaxis": {"automargin": True, "zeroline": False},
            "separators": ". ",
        },
    )
