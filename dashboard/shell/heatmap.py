"""The heatmap of the experts' load: drawn by plotly where it is small, painted on a canvas where it is large."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.feed import ExpertLoads
from dashboard.figures import cells
from dashboard.figures import evolution as evolution_figure
from dashboard.figures import heatmap as figures
from dashboard.shell import assets, charts, order, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import plain

LARGE = 64  # experts; from here on plotly is slow and the canvas is not
MOST_LINES = 8

_mount = st.components.v2.component(
    "moe-router-dashboard.heatmap", js=assets.loader("heatmap.js"), isolate_styles=False
)


def load_map(look: Look) -> None:
    """Load ÷ fair load of one layer's experts against the axis, and some of them as lines."""
    loads = _loads(look)
    if loads is None:
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            charts.heading(
                "Load ÷ fair load", "1 is an even share of the layer's load, 0 is dead. Blue is below fair, orange above; grey is a hole, not a zero."
            )  # fmt: skip
            layer = _layer(loads)
            by = order.picker()
        if layer not in loads.load:
            loads = look.sources.feed.experts(loads.run_id, look.view.window, layer=layer)
            if layer not in loads.load:
                states.empty(f"Layer {layer} has no value in this window.")
                return
        st.caption(plain(f"{loads.scale_said} {_source(loads)}"))
        if len(loads.experts[layer]) < LARGE:
            _drawn(loads, layer, by, look)
        else:
            _painted(loads, layer, by, look)
        _lines(loads, layer, look)
        take.away("experts-heatmap", lambda: _table(loads), loads.asked, look)


def chosen_layer(loads: ExpertLoads) -> str:
    """The layer the viewer chose, else the first."""
    layers = list(loads.layers)
    chosen = st.session_state.get("layer-picker")
    return chosen if chosen in layers else layers[0]


def _drawn(loads: ExpertLoads, layer: str, by: str, look: Look) -> None:
    rows, options, revision = _rows(loads, layer, by), look.view.options, f"{loads.run_id}|{layer}|{by}"
    figure = drawn(
        ("experts", layer, by, options.axis, options.zone, revision),
        loads,
        lambda: figures.draw(
            loads.load[layer][rows],
            [loads.experts[layer][i] for i in rows],
            evolution_figure.x_of(_frame(loads, look), options.axis, options.zone),
            evolution_figure.x_axis(options.axis),
            loads.share[layer][rows],
            revision=revision,
        ),
    )
    show(figure, key="experts-heatmap", alt=_told(loads, layer), name=f"experts-{loads.run_id}")


def _painted(loads: ExpertLoads, layer: str, by: str, look: Look) -> None:
    options, height = look.view.options, min(640, 48 + 9 * len(loads.experts[layer]))

    def paint() -> bytes:
        rows = _rows(loads, layer, by)
        across = evolution_figure.x_of(_frame(loads, look), options.axis, options.zone)
        there = figures.columns(loads.load[layer], across)
        return cells.document(
            loads.load[layer][rows][:, there],
            [f"expert {loads.experts[layer][i]}" for i in rows],
            across[there],
            title=evolution_figure.AXES[options.axis],
            kind=options.axis,
            height=height,
            alt=_told(loads, layer),
            revision=f"{loads.run_id}|{layer}|{by}|{options.axis}",
        )

    document = kept(("painted", layer, by, options.axis, options.zone), (loads,), paint)
    _mount(key="experts-painted", data=document, height=height, on_pinned_change=lambda: _pin(loads, layer))


def _pin(loads: ExpertLoads, layer: str) -> None:
    """A row that was clicked joins the lines below, or leaves them."""
    clicked = st.session_state["experts-painted"].get("pinned")
    expert = str(clicked or "").removeprefix("expert ")
    lines = list(st.session_state.get("expert-lines", []))
    if expert in lines:
        lines.remove(expert)
    elif expert in loads.experts[layer]:
        lines = [*lines, expert][-MOST_LINES:]
    st.session_state["expert-lines"] = lines


def _lines(loads: ExpertLoads, layer: str, look: Look) -> None:
    known = loads.experts[layer]
    st.session_state["expert-lines"] = [
        name for name in st.session_state.get("expert-lines", []) if name in known
    ]
    chosen = st.multiselect(
        "Experts as lines", known, key="expert-lines", max_selections=MOST_LINES, format_func=lambda name: f"expert {name}",
        help="A click into a large heatmap chooses an expert too.",
    )  # fmt: skip
    if not chosen:
        return
    options, revision = look.view.options, f"lines|{loads.run_id}|{layer}"
    figure = drawn(
        ("expert-lines", layer, tuple(chosen), options.axis, options.zone),
        loads,
        lambda: figures.lines(
            loads.load[layer][[known.index(name) for name in chosen]],
            chosen,
            evolution_figure.x_of(_frame(loads, look), options.axis, options.zone),
            evolution_figure.x_axis(options.axis),
            revision=revision,
        ),
    )
    show(
        figure,
        key="expert-lines-figure",
        alt=f"Load divided by fair load of experts {', '.join(chosen)}",
        name="experts",
    )


def _rows(loads: ExpertLoads, layer: str, by: str) -> list[int]:
    return kept(("order", by, layer), (loads,), lambda: order.of(by, loads.load[layer], (loads.run_id, layer)))


def _loads(look: Look) -> ExpertLoads | None:
    loads = look.experts
    if loads is not None and loads.load:
        return loads
    if loads is not None and loads.unavailable is not None:
        states.unavailable(loads.unavailable)
    elif look.run is not None:
        states.empty(
            "This run does not report what its experts carry: expert_utilization_ratio is missing in this window."
        )
    return None


def _source(loads: ExpertLoads) -> str:
    return {"log": "Read from the run's own log.", "prometheus": "Sampled by Prometheus.", "": ""}[
        loads.source
    ]


def _layer(loads: ExpertLoads) -> str:
    layers = list(loads.layers)
    if len(layers) == 1:
        return layers[0]
    st.session_state["layer-picker"] = chosen_layer(loads)
    return st.selectbox("Layer", layers, key="layer-picker", width=120)


def _frame(loads: ExpertLoads, look: Look) -> pd.DataFrame:
    """The points of the loads as the evolution figures want them."""
    start = (
        look.run.started_at
        if look.run and look.run.started_at is not None
        else (loads.times[0] if loads.times.size else 0.0)
    )
    return pd.DataFrame(
        {"time": loads.times, "generation": loads.generations, "elapsed_seconds": loads.times - start}
    )


def _told(loads: ExpertLoads, layer: str) -> str:
    """The heatmap in words: the newest load of the extremes."""
    load, names = loads.load[layer], loads.experts[layer]
    known = np.flatnonzero(np.isfinite(load).any(axis=0))
    if known.size == 0:
        return f"Load of {len(names)} experts; no value yet."
    newest = load[:, known[-1]]
    ranked = [i for i in np.argsort(newest) if np.isfinite(newest[i])]
    least, most = ranked[0], ranked[-1]
    return (
        f"Load divided by fair load of {len(names)} experts over {known.size} points. At the newest point expert {names[least]} carries least, "
        f"{newest[least]:.2f}, and expert {names[most]} most, {newest[most]:.2f}."
    )


def _table(loads: ExpertLoads) -> pd.DataFrame:
    pieces = [
        pd.DataFrame({
            "time_utc": np.tile(pd.to_datetime(loads.times, unit="s", utc=True), len(loads.experts[layer])),
            "generation": np.tile(loads.generations, len(loads.experts[layer])),
            "layer": layer,
            "expert_id": np.repeat(loads.experts[layer], loads.times.size),
            "load_over_fair": load.ravel(),
            "share": loads.share[layer].ravel(),
        })
        for layer, load in loads.load.items()
    ]  # fmt: skip
    return pd.concat(pieces, ignore_index=True)
