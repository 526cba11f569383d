"""The heatmap of the experts' load, painted on a canvas by the browser, and some experts as lines below it."""

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.catalogue.experts import TOKENS
from dashboard.feed import ExpertLoads
from dashboard.figures import cells
from dashboard.figures import evolution as evolution_figure
from dashboard.figures import heatmap as figures
from dashboard.figures import look as figure_look
from dashboard.shell import assets, charts, later, order, states, take
from dashboard.shell.figure import drawn, show
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import plain

Floats = NDArray[np.float64]

MOST_LINES = 8
MOST_LISTED = 256  # experts; of more, one types the number
LAYER, LINES = "layer", "lines"  # widgets, and what they are called in the address
ROW, LOW, HIGH, AROUND = (
    22,
    176,
    560,
    84,
)  # pixels: of an expert, of all of them at least and at most, of axes and buttons

_mount = st.components.v2.component(
    "moe-router-dashboard.heatmap", js=assets.loader("heatmap.js"), isolate_styles=False
)


def load_map(look: Look) -> None:
    """Load ÷ fair load of one layer's experts against the axis, and some of them as lines."""
    loads = look.experts
    if loads is None or not loads.load:
        _nothing(loads, look)
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            charts.heading(
                "Load ÷ fair load", "1 is an even share of the layer's load, 0 is dead. Blue is below fair, orange above; hatched is no value, which is not zero."
            )  # fmt: skip
            layer = _layer(loads)
            by = order.picker()
        loads = of_layer(loads, layer, look)
        if layer not in loads.load:
            states.empty(f"Layer {layer} has no value in this window.")
            return
        st.caption(plain(f"{loads.scale_said} {_source(loads)}"))
        _painted(loads, layer, by, look)
        _lines(loads, layer, look)
        take.away(f"experts-heatmap{_suffix(layer)}", lambda: _table(loads, layer, look), loads.asked, look)


def chosen_layer(loads: ExpertLoads) -> str:
    """The layer the viewer chose, else the first."""
    chosen = st.session_state.get(LAYER)
    return chosen if chosen in loads.layers else loads.layers[0]


def of_layer(loads: ExpertLoads, layer: str, look: Look) -> ExpertLoads:
    """Loads that hold this layer: where there are too many experts for one look, a layer is looked at by itself."""
    if layer in loads.load or layer not in loads.layers:
        return loads
    return look.sources.feed.experts(loads.run_id, look.view.window, layer=layer)


def _nothing(loads: ExpertLoads | None, look: Look) -> None:
    if loads is not None and loads.unavailable is not None:
        states.unavailable(loads.unavailable)
    elif look.run is not None:
        states.empty(
            "This run does not report what its experts carry: expert_utilization_ratio is missing in this window."
        )


def _layer(loads: ExpertLoads) -> str:
    layers = list(loads.layers)
    if len(layers) == 1:
        return layers[0]
    if st.session_state.get(LAYER) not in (None, *layers):
        del st.session_state[LAYER]  # of another run
    return st.selectbox("Layer", layers, key=LAYER, bind="query-params", width=120)


def _painted(loads: ExpertLoads, layer: str, by: str, look: Look) -> None:
    options, feed, window = look.view.options, look.sources.feed, look.view.window
    name = look.run.name if look.run else loads.run_id
    rows = _rows(loads, layer, by)
    count = len(rows)
    height = AROUND + min(HIGH, max(LOW, ROW * count))

    def paint() -> bytes:
        frame = _frame(loads, look)
        across = evolution_figure.x_of(frame, options.axis, options.zone)
        there = figures.columns(loads.load[layer], across)

        def tokens() -> bytes | None:
            total = feed.beside(loads, layer, TOKENS, window)
            if total is None:
                return None
            counted = np.diff(total[rows][:, there], axis=1, prepend=np.nan)
            return counted.astype("<f8").tobytes()

        return cells.document(
            loads.load[layer][rows][:, there],
            [loads.experts[layer][i] for i in rows],
            across[there],
            loads.generations[there],
            figure_look.local(loads.times[there], options.zone),
            cells.Words(
                title=evolution_figure.AXES[options.axis], kind=options.axis, layer=layer, alt=_told(loads, layer),
                heading=f"Load ÷ fair load{f' of layer {layer}' if layer else ''}, run {name}",
                name=f"experts-{loads.run_id}{_suffix(layer)}",
            ),
            height=height,
            revision=f"{loads.run_id}|{layer}|{by}|{options.axis}",
            tokens=later.promise(tokens),
        )  # fmt: skip

    document = kept(("painted", layer, by, tuple(rows) if by == "similarity" else (), options.axis, options.zone, name), (loads,), paint)  # fmt: skip
    _mount(key="experts-heatmap", data=document, height=height, on_pinned_change=lambda: _pin(loads, layer))


def _pin(loads: ExpertLoads, layer: str) -> None:
    """An expert that was clicked joins the lines below, or leaves them."""
    expert = str(st.session_state["experts-heatmap"].get("pinned") or "")
    lines = list(st.session_state.get(LINES, []))
    if expert in lines:
        lines.remove(expert)
    elif expert in loads.experts[layer]:
        lines = [*lines, expert][-MOST_LINES:]
    st.session_state[LINES] = lines


def _lines(loads: ExpertLoads, layer: str, look: Look) -> None:
    known = loads.experts[layer]
    if any(name not in known for name in st.session_state.get(LINES, [])):
        st.session_state[LINES] = [name for name in st.session_state[LINES] if name in known]
    many = (
        len(known) > MOST_LISTED
    )  # a list of thousands is sent at every refresh, and nobody scrolls through it
    chosen = st.multiselect(
        "Experts as lines", st.session_state.get(LINES, []) if many else known, key=LINES, bind="query-params",
        max_selections=MOST_LINES, accept_new_options=many,
        placeholder="Type an expert's number, or click into the heatmap" if many else "Choose, or click into the heatmap",
    )  # fmt: skip
    chosen = [name for name in chosen if name in known]
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
    newest = [f"expert {name} {_newest(loads.load[layer][known.index(name)])}" for name in chosen]
    show(
        figure,
        key="expert-lines-figure",
        alt=f"Load divided by fair load. Now: {', '.join(newest)}.",
        name=f"experts-{loads.run_id}{_suffix(layer)}-lines",
    )


def _newest(load: Floats) -> str:
    known = load[np.isfinite(load)]
    return f"{known[-1]:.2f}" if known.size else "unknown"


def _rows(loads: ExpertLoads, layer: str, by: str) -> list[int]:
    if by == "similarity":
        return order.of(by, loads.load[layer], (loads.run_id, layer))
    return kept(("order", by, layer), (loads,), lambda: order.of(by, loads.load[layer], ()))


def _suffix(layer: str) -> str:
    return f"-layer-{layer}" if layer else ""


def _source(loads: ExpertLoads) -> str:
    return {"log": "Read from the run's own log.", "prometheus": "Sampled by Prometheus.", "": ""}[
        loads.source
    ]


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
    of_layer = f" of layer {layer}" if layer else ""
    if known.size == 0:
        return f"Load of {len(names)} experts{of_layer}; no value yet."
    newest = load[:, known[-1]]
    ranked = [i for i in np.argsort(newest) if np.isfinite(newest[i])]
    least, most = ranked[0], ranked[-1]
    return (
        f"Load divided by fair load of {len(names)} experts{of_layer} over {known.size} points. At the newest point expert {names[least]} carries least, "
        f"{newest[least]:.2f}, and expert {names[most]} most, {newest[most]:.2f}."
    )


def _table(loads: ExpertLoads, layer: str, look: Look) -> pd.DataFrame:
    """What a download holds: a line for each expert and point of the layer; tokens only where they are counted."""
    load, names = loads.load[layer], loads.experts[layer]
    total = look.sources.feed.beside(loads, layer, TOKENS, look.view.window)
    counted = {"tokens": np.diff(total, axis=1, prepend=np.nan).ravel()} if total is not None else {}
    return pd.DataFrame({
        "time_utc": np.tile(pd.to_datetime(loads.times, unit="s", utc=True), len(names)),
        "generation": np.tile(loads.generations, len(names)),
        "layer": layer,
        "expert_id": np.repeat(names, loads.times.size),
        "load_over_fair": load.ravel(),
        "share": loads.share[layer].ravel(),
        **counted,
    })  # fmt: skip
