"""When alerts were pending and firing, as bars over clock time, one row an alert."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import plotly.graph_objects as go

from dashboard.figures import look

FIRING, PENDING = "#d55e00", "#e69f00"
COLOURS = (("pending", PENDING), ("firing", FIRING))
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
    often = Counter(episode.name for episode in episodes)
    names = [name for name, _ in often.most_common(MOST_ROWS)]
    bars = [(word, colour, _bars(episodes, word, start, end)) for word, colour in COLOURS]
    traces = []
    for word, colour, of_alert in bars:
        xs: list[float] = []
        ys: list[str | None] = []
        for name in names:
            for began, over in of_alert.get(name, ()):
                xs += [began, over, np.nan]
                ys += [look.escape(name), look.escape(name), None]
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


def _bars(
    episodes: Iterable[Bar], word: str, start: float, end: float
) -> Mapping[str, Sequence[tuple[float, float]]]:
    """By alert, when at least one of its name was pending or firing: bars that overlap are one bar."""
    found: dict[str, list[tuple[float, float]]] = {}
    for episode in episodes:
        stretch = _stretch(episode, word, end)
        if stretch is not None and stretch[1] >= start and stretch[0] <= end:
            found.setdefault(episode.name, []).append((max(stretch[0], start), min(stretch[1], end)))
    return {name: _joined(sorted(bars)) for name, bars in found.items()}


def _joined(bars: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for began, over in bars:
        if joined and began <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], over))
        else:
            joined.append((began, over))
    return joined


def _stretch(episode: Bar, word: str, end: float) -> tuple[float, float] | None:
    over = end if episode.ended_at is None else episode.ended_at
    if word == "pending":
        return episode.since, over if episode.fired_at is None else episode.fired_at
    return None if episode.fired_at is None else (episode.fired_at, over)
