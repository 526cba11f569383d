"""When each generation ran and what it spent its time on: a bar a generation, over clock or elapsed time.

What lies between two bars was a pause, or belongs to a generation nobody saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.catalogue import evolution as metrics
from dashboard.catalogue.units import SECONDS
from dashboard.figures import look
from dashboard.figures.evolution import PARTS, Floats, Options, marked, x_axis
from dashboard.figures.marks import Mark

REST = "no phase"
HALF = 0.42  # of a bar's height, in rows


@dataclass(frozen=True, slots=True)
class Spans:
    """Generations whose duration is known, oldest first. Times are unix seconds."""

    generations: Floats
    starts: Floats
    ends: Floats
    parts: dict[str, Floats]  # seconds by phase, 0 where a generation had none of it

    def __len__(self) -> int:
        return len(self.generations)


def spans(frame: pd.DataFrame, most: int) -> Spans:
    """The newest `most` generations. The end is the run's own stamp where there is one, else the time of the point."""
    ends = frame["time"].to_numpy(np.float64)
    if metrics.LAST_GENERATION.name in frame:
        stamped = frame[metrics.LAST_GENERATION.name].to_numpy(np.float64)
        ends = np.where(np.isfinite(stamped), stamped, ends)
    generation, segment = frame["generation"].to_numpy(np.float64), frame["segment"].to_numpy()
    follows = np.append(False, (np.diff(generation) == 1) & (np.diff(segment) == 0))
    duration = np.where(follows, np.append(np.nan, np.diff(ends)), np.nan)
    if metrics.GENERATION_DURATION.name in frame:
        said = frame[metrics.GENERATION_DURATION.name].to_numpy(np.float64)
        duration = np.where(np.isfinite(said), said, duration)
    known = np.flatnonzero(
        np.isfinite(duration) & np.isfinite(ends) & np.isfinite(generation) & (duration >= 0)
    )[-most:]
    phases = metrics.PHASE_DURATION.parts(frame.columns)
    parts = {
        phase: np.nan_to_num(frame[column].to_numpy(np.float64)[known]) for phase, column in phases.items()
    }
    return Spans(
        generation[known],
        ends[known] - duration[known],
        ends[known],
        {phase: part for phase, part in parts.items() if part.any()},
    )


def table(shown: Spans) -> pd.DataFrame:
    """The same as a table."""
    times = {
        name: pd.to_datetime(moments, unit="s", utc=True)
        for name, moments in (("start_utc", shown.starts), ("end_utc", shown.ends))
    }
    parts = {metrics.PHASE_DURATION.part(phase): seconds for phase, seconds in shown.parts.items()}
    return pd.DataFrame(
        {"generation": shown.generations, **times, "duration_seconds": shown.ends - shown.starts, **parts}
    )


def draw(
    shown: Spans,
    frame: pd.DataFrame,
    options: Options,
    *,
    noted: Sequence[Mark] = (),
    revision: str = "",
) -> go.Figure:
    """Draw generations top down, each from its start to its end; its phases follow each other in the order in which they
    are told, because only how long they took is known."""
    elapsed = options.axis == "elapsed"
    began = float(frame["time"].iloc[0] - frame["elapsed_seconds"].iloc[0])
    kind = Options("elapsed" if elapsed else "time", options.zone)

    def x(moments: Floats) -> Floats:
        return moments - began if elapsed else look.local(moments, options.zone)

    rows = np.arange(len(shown), dtype=np.float64)
    traces, left = [], shown.starts
    for i, (phase, seconds) in enumerate(shown.parts.items()):
        right = np.minimum(left + seconds, shown.ends)
        traces.append(_bars(x(left), x(right), rows, look.escape(phase), PARTS[i % len(PARTS)]))
        left = right
    rest = REST if shown.parts else "generation"
    traces.append(_bars(x(left), x(shown.ends), rows, rest, look.FAINT if shown.parts else look.COLOURS[0]))
    traces.append(
        go.Scatter(x=x(shown.starts), y=rows, mode="markers", marker={"size": 12, "opacity": 0}, showlegend=False,
                   text=[_told(shown, i) for i in range(len(shown))], hovertemplate="%{text}<extra></extra>")
    )  # fmt: skip
    figure = look.figure(
        traces, revision=f"{revision}|{kind.axis}", height=int(90 + min(420, 12 * max(6, len(shown))))
    )
    ticks = np.unique(np.linspace(0, max(0, len(shown) - 1), min(8, max(1, len(shown)))).astype(int))
    figure.update_layout(hovermode="closest", showlegend=True, margin={"t": 34})
    figure.update_xaxes(**x_axis(kind.axis))
    figure.update_yaxes(
        autorange="reversed", showgrid=False, title={"text": "generation"}, tickvals=ticks, ticktext=[f"{shown.generations[i]:.0f}" for i in ticks]
    )  # fmt: skip
    seen = frame[frame["time"] >= shown.starts[0]] if len(shown) else frame
    marked(figure, seen, x(seen["time"].to_numpy(np.float64)), kind, noted)
    return figure


def _bars(left: Floats, right: Floats, rows: Floats, name: str, colour: str) -> go.Scatter:
    """Rectangles, parted by empty points."""
    wide = right > left
    left, right, rows = left[wide], right[wide], rows[wide]
    hole: NDArray[np.float64] = np.full(len(rows), np.nan)
    x = np.column_stack([left, right, right, left, left, hole]).ravel()
    y = np.column_stack([rows - HALF, rows - HALF, rows + HALF, rows + HALF, rows - HALF, hole]).ravel()
    return go.Scatter(
        x=x, y=y.astype(np.float32), mode="lines", line={"width": 0}, fill="toself", fillcolor=colour, name=name, hoverinfo="skip"
    )  # fmt: skip


def _told(shown: Spans, at: int) -> str:
    parts = [
        f"{look.escape(phase)} {SECONDS.format(float(seconds[at]))}"
        for phase, seconds in shown.parts.items()
        if seconds[at]
    ]
    whole = SECONDS.format(float(shown.ends[at] - shown.starts[at]))
    return "<br>".join([f"generation {shown.generations[at]:.0f}: {whole}", *parts])
