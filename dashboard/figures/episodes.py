"""When alerts were pending and firing, as bars over clock time, one row an alert."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import plotly.graph_objects as go

from dashboard.figures import look

FIRING, PENDING = "#d55e00", "#e69f00"
MOST_ROWS = 20


class Bar(Protocol):
    """One episode, as far as it is drawn; `dashboard.alerts.episodes.Episode` is one. Unix seconds."""

    @property
    def name(self) -> str:
        """The alert."""

    @property
    def since(self) -> float:
        """The condition became true."""

    @property
    def fired_at(self) -> float | None:
        """It began to fire; None where it never did."""

    @property
    def ended_at(self) -> float | None:
        """It ended; None where it has not."""


def draw(
    episodes: Sequence[Bar], start: float, end: float, *, zone: str = "UTC", revision: str = ""
) -> go.Figure:
    """Draw episodes between two unix times; the alerts with the most episodes stay where there are too many."""
    names = sorted(
        {episode.name for episode in episodes},
        key=lambda name: -sum(episode.name == name for episode in episodes),
    )[:MOST_ROWS]
    traces = []
    for word, colour in (("pending", PENDING), ("firing", FIRING)):
        xs: list[float] = []
        ys: list[str | None] = []
        for episode in episodes:
            stretch = _stretch(episode, word, end)
            if stretch is None or episode.name not in names:
                continue
            xs += [max(stretch[0], start), min(stretch[1], end), np.nan]
            ys += [look.escape(episode.name), look.escape(episode.name), None]
        traces.append(
            go.Scatter(
                x=look.local(np.array(xs, dtype=np.float64), zone),
                y=ys,
                name=word,
                mode="lines",
                connectgaps=False,
                line={"color": colour, "width": 12},
            )
        )
    figure = look.figure(traces, revision=f"episodes|{revision}", height=90 + 26 * max(2, len(names)))
    figure.update_layout(showlegend=True, hovermode="closest", margin={"t": 30})
    edges = look.local(np.array([start, end]), zone)
    figure.update_xaxes(type="date", range=[float(edges[0]), float(edges[1])], hoverformat="%d %b %H:%M:%S")
    figure.update_yaxes(
        type="category",
        range=[-0.5, max(1, len(names)) - 0.5],
        categoryorder="array",
        categoryarray=[look.escape(name) for name in reversed(names)],
    )
    return figure


def _stretch(episode: Bar, word: str, end: float) -> tuple[float, float] | None:
    over = end if episode.ended_at is None else episode.ended_at
    if word == "pending":
        return episode.since, over if episode.fired_at is None else episode.fired_at
    return None if episode.fired_at is None else (episode.fired_at, over)
