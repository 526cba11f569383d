"""Failures of a run against its axis: evaluations that raised as bars by error type, failed steps as crosses at the foot."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures import look, marks
from dashboard.figures.evolution import Options, knots, marked, place, x_axis, x_of
from dashboard.figures.marks import Mark

MOST_KINDS = 8  # error types with a colour of their own, the most frequent; the others are one


def draw(
    frame: pd.DataFrame, counted: pd.DataFrame, steps: Sequence[tuple[float, str]], options: Options, *,
    noted: Sequence[Mark] = (), revision: str = "",
) -> go.Figure:  # fmt: skip
    """Draw what failed.

    Args:
        frame: the run's points, as for `evolution.draw`.
        counted: evaluations that failed at each of these points, a column an error type.
        steps: (unix seconds, what it was) of each step that failed.
        options: axis and zone.
        noted: what happened meanwhile.
        revision: changes when zoom should be forgotten.
    """
    across = x_of(frame, options.axis, options.zone)
    figure = look.figure([], revision=f"{revision}|{options.axis}", height=240)
    known = across[np.isfinite(across)]
    if known.size:  # the whole run, not only the part with failures
        figure.add_scatter(
            x=[known.min(), known.max()],
            y=[0, 0],
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
    for i, (kind, values) in enumerate(_kinds(counted).items()):
        there = np.flatnonzero((values > 0) & np.isfinite(across))
        if there.size:
            colour = look.COLOURS[(i + 1) % len(look.COLOURS)]
            figure.add_bar(
                x=across[there], y=values[there].astype(np.float32), name=look.escape(kind), hovertemplate="%{y:,.0f} failed",
                marker={"color": colour, "line": {"color": colour, "width": 1.5}},  # a bar of a long run is thinner than a pixel
            )  # fmt: skip
    position = place(frame, across, options)
    at = [(position(moment), text) for moment, text in steps]
    crosses = [(x, text) for x, text in at if x is not None]
    if crosses:
        figure.add_scatter(
            x=np.array([x for x, _ in crosses]), y=np.zeros(len(crosses), np.float32), mode="markers", name="failed step",
            marker={"symbol": "x", "size": 9, "color": marks.COLOURS["critical"]},
            text=[look.escape(text) for _, text in crosses], hovertemplate="%{text}",
        )  # fmt: skip
    figure.update_layout(
        barmode="stack",
        showlegend=True,
        margin={"t": 34},
        meta={"axis": options.axis, "knots": knots(frame, across)},
    )
    figure.update_xaxes(**x_axis(options.axis))
    figure.update_yaxes(
        rangemode="tozero", tickformat=",~r", title={"text": "failed evaluations"}, domain=[0, 1]
    )
    marked(figure, frame, across, options, noted)
    return figure


def _kinds(counted: pd.DataFrame) -> dict[str, "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    """The most frequent error types, and the others together."""
    ordered = sorted(map(str, counted.columns), key=lambda kind: (-counted[kind].sum(), kind))
    found = {kind: counted[kind].to_numpy(np.float64) for kind in ordered[:MOST_KINDS]}
    if len(ordered) > MOST_KINDS:
        found["other error types"] = counted[ordered[MOST_KINDS:]].sum(axis=1).to_numpy(np.float64)
    return found
