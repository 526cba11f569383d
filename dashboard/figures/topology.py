"""A routing topology: which token may go to which expert, what was added and what was cut since an earlier one."""

from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures import look

Matrix = NDArray[np.uint8]
OFF, KEPT, ADDED, CUT = range(4)
WORDS: Final = ("off", "connected", "added", "cut")
COLOURS: Final = ("rgba(128,128,128,0.10)", "#2a86c4", "#009e73", "#d55e00")
SIGNS: Final = ("", "", "+", "−")  # told apart without colour too


def changes(now: Matrix, before: Matrix | None) -> Matrix:
    """(tokens, experts) of OFF, KEPT, ADDED, CUT; without a matrix of the same shape before, nothing was added or cut."""
    if before is None or before.shape != now.shape:
        return np.where(now > 0, KEPT, OFF).astype(np.uint8)
    kinds = np.select([(now > 0) & (before > 0), now > 0, before > 0], [KEPT, ADDED, CUT], OFF)
    return kinds.astype(np.uint8)


def degrees(now: Matrix) -> NDArray[np.int64]:
    """How many tokens may go to each expert."""
    return np.asarray((now > 0).sum(axis=0), dtype=np.int64)


def path_length(now: Matrix, top_k: int) -> float:
    """Experts that a token passes on average: `top_k` of those it may go to, all of them where they are fewer."""
    return float(np.minimum((now > 0).sum(axis=1), top_k).mean())


def draw(kinds: Matrix, *, revision: str = "") -> go.Figure:
    """The matrix, tokens down and experts across, and above it how many tokens each expert may serve."""
    tokens, experts = kinds.shape
    names = [f"expert {i}" for i in range(experts)]
    there = (kinds == KEPT) | (kinds == ADDED)
    scale = [[edge / 4, COLOURS[i]] for i in range(4) for edge in (i, i + 1)]
    height = min(900, 170 + 16 * max(8, tokens))
    bars = 70 / height
    traces = [
        go.Heatmap(
            z=kinds, x=names, y=[f"token {i}" for i in range(tokens)], zmin=-0.5, zmax=3.5, colorscale=scale, showscale=False,
            xgap=1, ygap=1, text=np.array(SIGNS, dtype=object)[kinds].tolist(), texttemplate="%{text}", textfont={"color": "#ffffff"},
            customdata=np.array(WORDS, dtype=object)[kinds].tolist(), hovertemplate="%{y} → %{x}: %{customdata}<extra></extra>",
        ),
        go.Bar(x=names, y=there.sum(axis=0), yaxis="y2", marker={"color": look.FAINT}, hovertemplate="%{x}: %{y} tokens<extra></extra>", showlegend=False),
    ]  # fmt: skip
    figure = look.figure(traces, revision=revision, height=height)
    figure.update_layout(
        hovermode="closest",
        yaxis={"domain": [0, 1 - bars - 0.03], "autorange": "reversed", "showgrid": False},
        yaxis2={"domain": [1 - bars, 1], "anchor": "x", "title": {"text": "tokens"}, "nticks": 3},
        xaxis={"showspikes": False},
    )
    return figure


def graph(kinds: Matrix, *, revision: str = "") -> go.Figure:
    """The same as a graph: tokens on the left, experts on the right, a line for each connection."""
    tokens, experts = kinds.shape
    left, right = np.linspace(1, 0, tokens), np.linspace(1, 0, experts)
    traces = []
    for kind in (KEPT, ADDED, CUT):
        pairs = np.argwhere(kinds == kind)
        if not len(pairs):
            continue
        x = np.tile([0.0, 1.0, np.nan], len(pairs))
        y = np.column_stack([left[pairs[:, 0]], right[pairs[:, 1]], np.full(len(pairs), np.nan)]).ravel()
        traces.append(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                name=WORDS[kind],
                hoverinfo="skip",
                opacity=0.7,
                line={"color": COLOURS[kind], "width": 1.2, "dash": "dot" if kind == CUT else "solid"},
            )
        )
    there = (kinds == KEPT) | (kinds == ADDED)
    for x_at, places, word, degree in (
        (0.0, left, "token", there.sum(axis=1)),
        (1.0, right, "expert", there.sum(axis=0)),
    ):
        traces.append(
            go.Scatter(
                x=np.full(len(places), x_at),
                y=places,
                mode="markers",
                showlegend=False,
                marker={"size": 5 + 9 * np.sqrt(degree / max(1, degree.max())), "color": look.FAINT},
                text=[f"{word} {i}: {n} connections" for i, n in enumerate(degree)],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    figure = look.figure(traces, revision=revision, height=min(900, 170 + 16 * max(8, tokens)))
    figure.update_layout(hovermode="closest", margin={"t": 30}, showlegend=True)
    figure.update_xaxes(
        tickvals=[0, 1], ticktext=["tokens", "experts"], range=[-0.08, 1.08], showspikes=False
    )
    figure.update_yaxes(visible=False)
    return figure
