"""Curves on the evolution axis: generation, elapsed or clock time; one cursor across all of them.

Restarts are breaks, holes stay holes, raw points stay visible under smoothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.catalogue import evolution as metrics
from dashboard.catalogue.spec import Curve, Curves, Metric
from dashboard.figures import look, marks
from dashboard.figures.marks import Mark

Floats = NDArray[np.float64]
Axis = Literal["generation", "elapsed", "time"]
AXES: dict[Axis, str] = {"generation": "Generation", "elapsed": "Elapsed time", "time": "Clock time"}

TITLE = 34  # pixels of a row for its title and legend
FOOT = 44  # pixels under the last row for the x axis
FEW = 40  # fewer points than this are drawn as points too
MANY = 300  # more points than this are drawn small
SILENCE = 8  # a step so many times the usual one is a hole in the line
CIRCLE, OPEN_CIRCLE = 0, 100  # plotly's numbers of the two symbols
BAND = "rgba(42,134,196,0.16)"
PARTS = look.COLOURS[1:]  # of the layers below a curve, which has the first colour itself


@dataclass(frozen=True, slots=True)
class Options:
    """How the viewer wants curves drawn."""

    axis: Axis = "generation"
    zone: str = "UTC"  # the viewer's time zone, for axis="time"
    log: bool = False  # logarithmic values, on rows whose values are all above zero
    half_life: float | None = None  # of the smoothing, in generations; None: no smoothing


def draw(
    rows: Sequence[Curves], frame: pd.DataFrame, options: Options = Options(), *, noted: Sequence[Mark] = (), revision: str = ""
) -> go.Figure:  # fmt: skip
    """Draw one run, one row for each of `rows`, on one x axis.

    Args:
        rows: what to draw, top down; the first is drawn twice as high where there are several.
        frame: one row a point, columns time (unix s), generation, elapsed_seconds, segment, source and one per metric.
        options: axis, zone, smoothing, log.
        noted: what happened meanwhile.
        revision: changes when zoom should be forgotten.
    """
    frame = _broken(frame)
    across = x_of(frame, options.axis, options.zone)
    heights = [260 if i == 0 else 120 for i in range(len(rows))]
    height = sum(heights) + TITLE * len(rows) + FOOT
    plot = height - FOOT
    traces: list[go.Scatter] = []
    layout: dict[str, Any] = {}
    titles: list[dict[str, Any]] = []
    top = 0.0
    for i, (row, pixels) in enumerate(zip(rows, heights, strict=True), start=1):
        top += TITLE
        domain = (1 - (top + pixels) / plot, 1 - top / plot)
        drawn, axis = _row(row, frame, across, options, number=i, domain=domain)
        traces += drawn
        layout |= axis
        titles.append(_title(row, domain[1]))
        top += pixels
    last = "y" if len(rows) == 1 else f"y{len(rows)}"
    figure = look.figure(
        traces, revision=revision, height=height, **layout, annotations=titles,
        margin={"l": 8, "r": 8, "t": 0, "b": FOOT}, hoversubplots="axis", showlegend=True,
        meta={"axis": options.axis, "knots": knots(frame, across)},
        xaxis={"anchor": last, "uirevision": f"{revision}|{options.axis}", **x_axis(options.axis)},
    )  # fmt: skip
    marked(figure, frame, across, options, noted)
    return figure


def marked(
    figure: go.Figure, frame: pd.DataFrame, across: Floats, options: Options, noted: Sequence[Mark]
) -> None:
    """Mark the run's restarts in a figure on this axis, and of what happened meanwhile all since its first point."""
    known = frame["time"].dropna()
    lived = marks.since(noted, float(known.iloc[0])) if len(known) else []
    marks.add(figure, [*restarts(frame), *lived], place(frame, across, options))


def x_of(frame: pd.DataFrame, axis: Axis, zone: str = "UTC") -> Floats:
    """The frame's x values on this axis; clock time as milliseconds of the viewer's wall clock."""
    if axis == "time":
        return look.local(frame["time"].to_numpy(np.float64), zone)
    return frame["generation" if axis == "generation" else "elapsed_seconds"].to_numpy(np.float64)


def _sent(across: Floats) -> Floats | NDArray[np.float32]:
    """x values as they go to the browser: single precision, but for clock time, whose milliseconds need double."""
    return across if np.nanmax(np.abs(across), initial=0.0) > 1e9 else across.astype(np.float32)


def x_axis(axis: Axis) -> dict[str, object]:
    """Title and ticks of the x axis."""
    if axis == "elapsed":
        return {"title": {"text": "Elapsed time"}, "tickformat": "~s", "ticksuffix": "s"}
    if axis == "time":
        return {"title": {"text": "Clock time"}, "type": "date", "hoverformat": "%d %b %H:%M:%S"}
    return {"title": {"text": AXES[axis]}, "tickformat": ",d"}


def place(frame: pd.DataFrame, across: Floats, options: Options) -> Callable[[float], float | None]:
    """From unix seconds to this axis: exact on clock time, between the neighbouring points on the others."""
    if options.axis == "time":
        return lambda moment: float(look.local(np.array([moment]), options.zone)[0])
    times = frame["time"].to_numpy(np.float64)
    known = np.isfinite(times) & np.isfinite(across)
    order = np.argsort(times[known], kind="stable")
    when, where = times[known][order], across[known][order]

    def position(moment: float) -> float | None:
        if when.size == 0 or moment < when[0]:
            return None
        return float(np.interp(moment, when, where))

    return position


def knots(frame: pd.DataFrame, across: Floats, most: int = 100) -> dict[str, list[float]] | None:
    """How this axis lies in time, for a viewer who changes the axis: matching unix times and x values, both rising."""
    times = frame["time"].to_numpy(np.float64)
    known = np.flatnonzero(np.isfinite(times) & np.isfinite(across))
    rising = known[np.maximum.accumulate(across[known]) == across[known]] if known.size else known
    if rising.size < 2:
        return None
    chosen = rising[np.unique(np.linspace(0, rising.size - 1, min(most, rising.size)).astype(int))]
    return {"time": times[chosen].tolist(), "x": across[chosen].tolist()}


def restarts(frame: pd.DataFrame) -> list[Mark]:
    """Where a later segment begins."""
    first = frame.dropna(subset=["time"]).drop_duplicates("segment", keep="first").iloc[1:]
    return [
        Mark(time, None, f"Segment {segment + 1} begins at generation {generation:g}", "restart")
        for time, segment, generation in zip(
            *(first[name].tolist() for name in ("time", "segment", "generation")), strict=True
        )
    ]


def smoothed(values: Floats, at: Floats, half_life: float) -> Floats:
    """Exponential moving average over unevenly spaced points: a point's weight halves every `half_life` of the axis.

    Started without bias: the first value is the first point's own, not half of it. A hole stays a hole and is skipped.
    """
    smooth = np.full(values.size, np.nan)
    total = weight = 0.0
    before: float | None = None
    for i in range(values.size):
        if not (np.isfinite(values[i]) and np.isfinite(at[i])):
            continue
        keep = 0.5 ** (max(0.0, at[i] - before) / half_life) if before is not None else 0.0
        total, weight, before = keep * total + values[i], keep * weight + 1.0, at[i]
        smooth[i] = total / weight
    return smooth


def drawable(curves: Curves, frame: pd.DataFrame) -> bool:
    """Whether the frame has a value of any of these curves, or of their parts."""
    return any(_known(frame, name) for name in columns([curves], frame))


def columns(rows: Sequence[Curves], frame: pd.DataFrame) -> list[str]:
    """The columns of the frame that these rows draw, each once."""
    found = [
        metric.name for row in rows for metric in (*(curve.metric for curve in row.curves), *(row.band or ()))
    ]
    parts = [
        name for row in rows if row.parts is not None for name in row.parts.parts(frame.columns).values()
    ]
    return [name for name in dict.fromkeys((*found, *parts)) if name in frame]


def _known(frame: pd.DataFrame, name: str) -> bool:
    return name in frame and bool(frame[name].notna().any())


def _row(
    curves: Curves, frame: pd.DataFrame, across: Floats, options: Options, *, number: int, domain: tuple[float, float]
) -> tuple[list[go.Scatter], dict[str, Any]]:  # fmt: skip
    """The lines of one row, and its axis and legend."""
    suffix = "" if number == 1 else str(number)
    traces = _band(curves.band, frame, across) if curves.band is not None else []
    layers = _layers(curves.parts, frame, across) if curves.parts is not None else []
    traces += layers
    known = [curve for curve in curves.curves if _known(frame, curve.metric.name)]
    for i, curve in enumerate(known):
        second = i > 0 and known[i - 1].style == "faint"
        traces += _lines(
            curve, frame, across, look.COLOURS[i % len(look.COLOURS)], options.half_life, second=second
        )
    for trace in traces:
        trace.xaxis, trace.yaxis, trace.legend = "x", f"y{suffix}", f"legend{suffix}"
        if len(known) == 1 and not layers and options.half_life is None:
            trace.showlegend = False  # the title says it
    ticks = {
        name: value for name, value in look.axis_of(curves.unit).items() if name != "title"
    }  # the row has a title
    log = options.log and not layers and all(_positive(frame[curve.metric.name]) for curve in known)
    return traces, {
        f"yaxis{suffix}": {"domain": domain, "anchor": "x", "automargin": True, "zeroline": False, "nticks": 5, **ticks,
                           "type": "log" if log else "linear"},
        f"legend{suffix}": look.legend(domain[1]),
    }  # fmt: skip


def _title(curves: Curves, top: float) -> dict[str, Any]:
    """The row's title, at its upper edge."""
    return {
        "text": f"<b>{look.escape(curves.title)}</b>", "hovertext": look.escape(curves.why), "xref": "paper", "yref": "paper",
        "x": 0, "y": top, "xanchor": "left", "yanchor": "bottom", "yshift": 4, "showarrow": False, "font": {"size": 13},
        "captureevents": True,
    }  # fmt: skip


def _positive(values: pd.Series) -> bool:
    known = values.dropna()
    return bool(len(known)) and bool((known > 0).all())


def _broken(frame: pd.DataFrame) -> pd.DataFrame:
    """An empty row at each restart and in each long silence, so that no line joins what is not neighbours.

    Prometheus sees only some generations of a fast run; a line joins those points, and they are drawn as points too. A
    silence is a step several times longer than the run's usual one.
    """
    if len(frame) < 2:
        return frame
    step = np.abs(np.diff(frame["generation"].to_numpy(np.float64)))
    usual = np.nanmedian(step) if np.isfinite(step).any() else np.nan
    silent = np.append(False, step > SILENCE * max(usual, 1.0)) & frame["hole_before"].to_numpy(bool)
    restarted = np.append(False, np.diff(frame["segment"].to_numpy()) != 0)
    cut = np.flatnonzero(silent | restarted)
    if cut.size == 0:
        return frame
    place = np.insert(np.arange(len(frame)), cut, -1)  # -1: the empty row
    broken = frame.iloc[place].reset_index(drop=True)
    empty = place < 0
    broken.loc[empty, [name for name in frame.columns if frame[name].dtype.kind == "f"]] = np.nan
    broken["segment"] = frame["segment"].to_numpy()[np.maximum.accumulate(np.where(empty, 0, place))]
    return broken


def _lines(
    curve: Curve,
    frame: pd.DataFrame,
    across: Floats,
    colour: str,
    half_life: float | None,
    *,
    second: bool,
) -> list[go.Scatter]:
    values = frame[curve.metric.name]
    if curve.style == "best-so-far":
        best = values.groupby(frame["segment"]).cummax()
        best = best.groupby(frame["segment"]).ffill().where(frame["time"].notna())
        return [_line(across, best, curve.legend, colour, width=2.2, shape="hv")]
    if curve.style == "faint":
        return [_line(across, values, curve.legend, look.FAINT, width=1.3, dash="dot" if second else "solid")]
    fade = 1.0 if half_life is None else 0.4
    if curve.style == "dots":
        raw = go.Scatter(
            x=_sent(across), y=values.to_numpy(np.float32), name=curve.legend, mode="markers", opacity=fade, hovertemplate="%{y:.4~g}",
            marker={"size": 5 if len(values) < MANY else 3, "color": colour, "symbol": _symbols(frame["source"])},
        )  # fmt: skip
    else:
        raw = _line(
            across, values, curve.legend, colour, width=1.8 if half_life is None else 1.0, opacity=fade
        )
    if half_life is None:
        return [raw]
    smooth = pd.concat(
        pd.Series(smoothed(piece.to_numpy(np.float64), frame.loc[piece.index, "generation"].to_numpy(np.float64), half_life), piece.index)
        for _, piece in values.groupby(frame["segment"])
    ).reindex(frame.index)  # fmt: skip
    return [raw, _line(across, smooth, f"{curve.legend}, smoothed", colour, width=2.4)]


def _line(
    across: Floats, values: pd.Series, name: str, colour: str, *, width: float, shape: str = "linear", opacity: float = 1.0,
    dash: str = "solid",
) -> go.Scatter:  # fmt: skip
    few = shape == "linear" and (values.notna().sum() < FEW or alone(values))
    return go.Scatter(
        x=_sent(across), y=values.to_numpy(np.float32), name=name, mode="lines+markers" if few else "lines", opacity=opacity,
        line={"color": colour, "width": width, "shape": shape, "dash": dash}, marker={"size": 4}, connectgaps=False, hovertemplate="%{y:.4~g}",
    )  # fmt: skip


def alone(values: pd.Series) -> bool:
    """Whether a known value stands between two holes, where a line alone would not show it."""
    known = np.concatenate([[False], values.notna().to_numpy(), [False]])
    return bool((known[1:-1] & ~known[:-2] & ~known[2:]).any())


def _symbols(sources: pd.Series) -> str | NDArray[np.uint8]:
    """Filled points came from the log, open ones were sampled by Prometheus; all filled where there is one source."""
    if len(sources.unique()) < 2:
        return "circle"
    return np.where(sources.eq("prometheus"), OPEN_CIRCLE, CIRCLE).astype(np.uint8)


def _band(band: tuple[Metric, Metric], frame: pd.DataFrame, across: Floats) -> list[Any]:
    """Least to best of the population where known, else mean ± one standard deviation."""
    low, high = (metric.name for metric in band)
    if low in frame and high in frame and frame[low].notna().any():
        edges, name = (frame[low], frame[high]), "worst to best"
    elif metrics.STD.name in frame and metrics.AVERAGE.name in frame:
        mean, std = frame[metrics.AVERAGE.name], frame[metrics.STD.name]
        edges, name = (mean - std, mean + std), "mean ± std"
    else:
        return []
    x, y = _outline(across, edges[0].to_numpy(np.float64), edges[1].to_numpy(np.float64))
    return [
        go.Scatter(
            x=x,
            y=y,
            name=name,
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=BAND,
            hoverinfo="skip",
        )
    ]


def _layers(metric: Metric, frame: pd.DataFrame, across: Floats) -> list[Any]:
    """The parts of a whole on top of each other, the first at the bottom; a part that a point lacks took nothing there.

    Shapes for the eye, and for the cursor a line without width along each upper edge that says the part's own value.
    """
    parts = {
        value: frame[name].to_numpy(np.float64)
        for value, name in metric.parts(frame.columns).items()
        if _known(frame, name)
    }
    if not parts:
        return []
    told = np.any([np.isfinite(part) for part in parts.values()], axis=0)
    low = np.where(told, 0.0, np.nan)
    traces: list[Any] = []
    for i, (value, part) in enumerate(parts.items()):
        high = low + np.where(np.isfinite(part), part, 0.0)
        x, y = _outline(across, low, high)
        name, colour = look.escape(value), PARTS[i % len(PARTS)]
        traces += [
            go.Scatter(x=x, y=y, name=name, mode="lines", line={"width": 0}, fill="toself", fillcolor=colour, opacity=0.55,
                       hoverinfo="skip", legendgroup=name),
            go.Scatter(x=_sent(across), y=high.astype(np.float32), name=name, mode="lines", line={"width": 0, "color": colour},
                       customdata=part.astype(np.float32), hovertemplate="%{customdata:.4~g}", legendgroup=name, showlegend=False),
        ]  # fmt: skip
        low = high
    return traces


def _outline(across: Floats, low: Floats, high: Floats) -> tuple[Floats, NDArray[np.float32]]:
    """The band as closed shapes, one for each stretch without a hole, parted by an empty point."""
    known = np.isfinite(across) & np.isfinite(low) & np.isfinite(high)
    turns = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    xs: list[Floats] = []
    ys: list[Floats] = []
    for first, last in zip(turns[::2], turns[1::2], strict=True):
        part = slice(first, last)
        xs += [across[part], across[part][::-1], np.array([np.nan])]
        ys += [high[part], low[part][::-1], np.array([np.nan])]
    if not xs:
        return np.empty(0), np.empty(0, np.float32)
    return np.concatenate(xs), np.concatenate(ys).astype(np.float32)
