"""Several runs in one figure: best so far of each, aligned at generation 0, at their start, by clock or by evaluations.

Between two of them the area is filled in the colour of the one that is ahead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures import look
from dashboard.figures import marks as signs
from dashboard.figures.evolution import Floats, restarts, x_axis
from dashboard.figures.marks import Mark
from dashboard.verdict import progress
from dashboard.verdict.progress import Alignment

DASHES = ("solid", "dash", "dot", "dashdot")  # after eight colours the next eight are dashed
ALIGNMENTS: dict[Alignment, str] = {
    "generation": "Generation 0",
    "elapsed": "Start",
    "time": "Clock",
    "evaluations": "Evaluations",
}
POINTS = 600  # of a curve, beside every gain
SYMBOLS = {
    "critical": "triangle-up",
    "warning": "triangle-up",
    "restart": "circle-open",
    "benchmark": "diamond",
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """How runs are laid over each other."""

    alignment: Alignment = "generation"
    zone: str = "UTC"
    log: bool = False
    area: tuple[str, str] | None = None  # legends of the two runs with the area between them
    goal: float | None = None  # a fitness, as a line across
    baseline: str = ""  # legend of the run that others are measured against


def draw(
    frames: Mapping[str, pd.DataFrame], drawing: Drawing = Drawing(), *, noted: Mapping[str, Sequence[Mark]] | None = None,
    revision: str = "",
) -> go.Figure:  # fmt: skip
    """Draw best-so-far of every run.

    Args:
        frames: legend → points as for `evolution.draw`.
        drawing: alignment, area, goal.
        noted: legend → what happened while that run lived; marked on its own curve, with its restarts.
        revision: changes when zoom should be forgotten.
    """
    figure = look.figure([], revision=f"{revision}|{drawing.alignment}", height=400)
    colours = {legend: look.COLOURS[i % len(look.COLOURS)] for i, legend in enumerate(frames)}
    if drawing.area is not None and all(legend in frames for legend in drawing.area):
        figure.add_traces(_area(frames, drawing, colours))
    lowest = np.inf
    for i, (legend, frame) in enumerate(frames.items()):
        best, where = progress.best_so_far(frame), progress.along(frame, drawing.alignment)
        if np.isfinite(best).any():
            lowest = min(lowest, float(np.nanmin(best)))
        shown = _shown(best, where)
        pinned = legend == drawing.baseline
        figure.add_scatter(
            x=_x(where[shown], drawing), y=best[shown].astype(np.float32), mode="lines", hovertemplate="%{y:.4~g}",
            name=f"{look.escape(legend)}{' ★' if pinned else ''}",
            line={"color": colours[legend], "width": 3.2 if pinned else 2, "shape": "hv", "dash": DASHES[i // len(look.COLOURS) % len(DASHES)]},
        )  # fmt: skip
        happened = [*restarts(frame), *(noted or {}).get(legend, ())]
        figure.add_traces(_marked(frame, happened, drawing, colours[legend]))
    if drawing.goal is not None and frames:
        figure.add_hline(
            y=drawing.goal, line={"color": look.FAINT, "dash": "dot", "width": 1.2}, annotation_text="fitness to reach",
            annotation_position="top right", annotation_font_size=11,
        )  # fmt: skip
        lowest = min(lowest, drawing.goal)
    figure.update_layout(showlegend=True, margin={"t": 34}, meta={"axis": drawing.alignment})
    figure.update_xaxes(**_axis(drawing.alignment))
    log = drawing.log and np.isfinite(lowest) and lowest > 0
    figure.update_yaxes(type="log" if log else "linear", tickformat="~g")
    return figure


def _axis(alignment: Alignment) -> dict[str, object]:
    if alignment == "evaluations":
        return {"title": {"text": "Fitness evaluations"}, "tickformat": "~s"}
    return x_axis(alignment)


def _x(where: Floats, drawing: Drawing) -> Floats:
    return look.local(where, drawing.zone) if drawing.alignment == "time" else where


def _shown(best: Floats, where: Floats) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """Every gain, both ends, and enough in between for a cursor."""
    known = np.flatnonzero(np.isfinite(best) & np.isfinite(where))
    if not known.size:
        return known
    gains = known[np.append(True, np.diff(best[known]) != 0)]
    spread = known[np.unique(np.linspace(0, known.size - 1, min(POINTS, known.size)).astype(int))]
    return np.union1d(gains, spread)


def _area(
    frames: Mapping[str, pd.DataFrame], drawing: Drawing, colours: Mapping[str, str]
) -> list[go.Scatter]:
    """Rectangles from one edge to the next, in the colour of who is ahead there."""
    assert drawing.area is not None  # noqa: S101  # draw() has seen to it
    first, second = drawing.area
    found = progress.between(frames[first], frames[second], drawing.alignment)
    if found is None:
        return []
    traces = []
    edges = _x(found.edges, drawing)
    for legend, ahead in ((first, found.one > found.other), (second, found.one < found.other)):
        at = np.flatnonzero(ahead)
        if not at.size:
            continue
        left, right, hole = edges[at], edges[at + 1], np.full(at.size, np.nan)
        x = np.column_stack([left, right, right, left, left, hole]).ravel()
        y = np.column_stack(
            [found.one[at], found.one[at], found.other[at], found.other[at], found.one[at], hole]
        ).ravel()
        traces.append(
            go.Scatter(x=x, y=y.astype(np.float32), mode="lines", line={"width": 0}, fill="toself", fillcolor=colours[legend], opacity=0.22,
                       hoverinfo="skip", name=f"{look.escape(legend)} ahead")
        )  # fmt: skip
    return traces


def _marked(frame: pd.DataFrame, noted: Sequence[Mark], drawing: Drawing, colour: str) -> list[go.Scatter]:
    """Signs on the run's own curve where something began, or at its first point if that was before."""
    times = frame["time"].to_numpy(np.float64)
    best, where = progress.best_so_far(frame), progress.along(frame, drawing.alignment)
    known = np.isfinite(times) & np.isfinite(best) & np.isfinite(where)
    if not known.any():
        return []
    times, best, where = times[known], best[known], where[known]
    alive = [mark for mark in noted if (mark.end or mark.start) >= times[0] and mark.start <= times[-1]]
    if not alive:
        return []
    at = [max(0, int(np.searchsorted(times, mark.start, side="right")) - 1) for mark in alive]
    return [
        go.Scatter(
            x=_x(where[at], drawing), y=best[at].astype(np.float32), mode="markers", showlegend=False,
            marker={"size": 9, "color": [signs.COLOURS[mark.kind] for mark in alive], "symbol": [SYMBOLS[mark.kind] for mark in alive],
                    "line": {"width": 1, "color": colour}},
            text=[look.escape(mark.text) for mark in alive], hovertemplate="%{text}<extra></extra>",
        )
    ]  # fmt: skip
