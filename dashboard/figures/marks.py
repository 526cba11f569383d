"""What happened while a curve was drawn: alert episodes, restarts, benchmark runs. Marks on any figure, on any x axis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import plotly.graph_objects as go

from dashboard.figures import look

Kind = Literal["critical", "warning", "restart", "benchmark"]
COLOURS: dict[Kind, str] = {
    "critical": "#b3261e",
    "warning": "#d99000",
    "restart": look.FAINT,
    "benchmark": "#7f6fb5",
}
SIGNS: dict[Kind, str] = {"critical": "▲", "warning": "▲", "restart": "↻", "benchmark": "◆"}
MOST = 60  # more marks than this hide the curve; the newest stay


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened."""

    start: float  # unix seconds
    end: float | None  # None: a moment
    text: str  # from outside; escaped here
    kind: Kind


def since(marks: Sequence[Mark], first: float) -> list[Mark]:
    """Marks from a time on: what was over by then is left out, what went on begins there and says so."""
    return [
        mark if mark.start >= first else replace(mark, start=first, text=f"{mark.text}, begun before")
        for mark in marks
        if (mark.end if mark.end is not None else mark.start) >= first
    ]


def add(figure: go.Figure, marks: Sequence[Mark], position: Callable[[float], float | None]) -> None:
    """Draw marks into a figure. `position` turns unix seconds into an x value, None where the axis has no such point."""
    shapes: list[dict[str, object]] = []
    notes: list[dict[str, object]] = []
    for mark in sorted(marks, key=lambda mark: mark.start)[-MOST:]:
        first = position(mark.start)
        last = position(mark.end) if mark.end is not None else first
        if first is None or last is None:
            continue
        colour = COLOURS[mark.kind]
        if last > first:
            shapes.append({"type": "rect", "xref": "x", "yref": "paper", "x0": first, "x1": last, "y0": 0, "y1": 1, "layer": "below",
                           "fillcolor": colour, "opacity": 0.10, "line": {"width": 0}})  # fmt: skip
        shapes.append({"type": "line", "xref": "x", "yref": "paper", "x0": first, "x1": first, "y0": 0, "y1": 1,
                       "line": {"color": colour, "width": 1, "dash": "dash" if mark.kind == "restart" else "dot"}})  # fmt: skip
        notes.append({"x": first, "xref": "x", "y": 0, "yref": "paper", "yanchor": "bottom", "text": SIGNS[mark.kind], "showarrow": False,
                      "font": {"size": 11, "color": colour}, "hovertext": look.escape(mark.text), "captureevents": True})  # fmt: skip
    if notes:
        figure.layout.shapes = (*figure.layout.shapes, *shapes)
        figure.layout.annotations = (*figure.layout.annotations, *notes)
