"""Experts on screen: the heatmap, who is dead since when, and how even the load is. Never an average over layers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.catalogue import evolution, experts
from dashboard.catalogue.spec import Curve, Curves, Metric
from dashboard.catalogue.units import FAIR_LOAD, NUMBER, RATIO
from dashboard.feed import Evolution, ExpertLoads
from dashboard.shell import charts, heatmap, links
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain
from dashboard.verdict import balance as rules
from dashboard.verdict.balance import Balance, Named

_WORKED_OUT = "worked out here from the experts' shares; not exported"
EFFECTIVE = Metric(
    "expert_effective_ratio", "gauge", RATIO, "Effective share of the experts", reason=_WORKED_OUT
)
DEAD = Metric("expert_dead_ratio", "gauge", RATIO, "Share of the experts that are dead", reason=_WORKED_OUT)
CV = Metric("expert_load_cv", "gauge", NUMBER, "Coefficient of variation of the load", reason=_WORKED_OUT)
VIOLATION = Metric(
    "expert_load_violation", "gauge", NUMBER, "Largest load over fair load, minus 1", reason=_WORKED_OUT
)
BALANCE = charts.Stack(
    "balance",
    "Balance",
    (
        Curves("effective-experts", "Effective and dead experts", rules.FORMULAS["effective"], RATIO,
               (Curve(EFFECTIVE, "effective ÷ all"), Curve(DEAD, "dead ÷ all"))),
        Curves("load-cv", "Unevenness of the load", f"{rules.FORMULAS['cv']} {rules.FORMULAS['violation']}", FAIR_LOAD,
               (Curve(CV, "coefficient of variation"), Curve(VIOLATION, "maximal violation"))),
        *experts.CURVES,
        evolution.FITNESS,
    ),
)  # fmt: skip

WORDS = {"dead": "Dead", "starved": "Starved", "overloaded": "Overloaded"}
MOST_NAMED = 12


def named(look: Look) -> None:
    """The experts that do not carry their share, by name, since when, and what helps."""
    loads = look.experts
    if loads is None or not loads.load:
        return
    found = kept(("named",), (loads,), lambda: _named(loads))
    if not found:
        layers = f" of all {len(loads.load)} layers" if len(loads.load) > 1 else ""
        st.success(
            f"No expert{layers} is dead, starved or overloaded at the newest point.",
            icon=":material/check_circle:",
        )
        return
    with st.container(border=True):
        charts.heading(
            "Experts that do not carry their share",
            f"Dead: load ÷ fair load below {experts.DEAD_BELOW:g}. Starved: below {experts.STARVED_BELOW:g}. Overloaded: above {experts.OVERLOADED_ABOVE:g}.",
        )  # fmt: skip
        for condition, word in WORDS.items():
            those = [one for one in found if one.condition == condition]
            if those:
                _line(word, those, loads, look)
        with st.container(horizontal=True):
            if any(one.condition == "dead" for one in found):
                links.to(
                    "runbooks",
                    "What to do about a dead expert",
                    icon=":material/menu_book:",
                    alert=experts.DEAD.name,
                )
            if any(one.condition == "overloaded" for one in found):
                links.to(
                    "runbooks",
                    "What to do about imbalance",
                    icon=":material/menu_book:",
                    alert=experts.IMBALANCE.name,
                )


def numbers(look: Look) -> None:
    """How even the newest point is, layer by layer."""
    loads = look.experts
    if loads is None or not loads.load:
        return
    measures = _balances(loads)
    collapsed = [layer for layer, measure in measures.items() if measure.collapsed]
    if collapsed:
        st.error(
            plain(f"Router collapse: {_layers(collapsed)} effectively use less than a quarter of their experts."),
            icon=":material/warning:",
        )  # fmt: skip
    layer, measure = min(measures.items(), key=lambda pair: _value(pair[1], pair[1].effective, np.inf))
    last = measure.last
    if last is None:
        return
    if len(measures) > 1:
        st.caption(
            plain(f"Layer {layer} is the least even of {len(measures)}; the table below has all of them.")
        )
    with st.container(horizontal=True, gap="medium"):
        for label, value, formula in (
            (
                "Effective experts",
                f"{_count(measure.effective[last] * measure.experts)} of {measure.experts:,}",
                "effective",
            ),
            ("Dead experts", f"{measure.dead[last] * measure.experts:,.0f} of {measure.experts:,}", "dead"),
            ("Coefficient of variation", f"{measure.cv[last]:.3f}", "cv"),
            ("Maximal violation", f"{measure.violation[last]:.3f}", "violation"),
            ("Variance of shares", f"{measure.variance[last]:.3g}", "variance"),
        ):
            st.metric(label, value, help=rules.FORMULAS[formula], width="content")
    if len(measures) > 1:
        _layer_table(measures)


def balance(look: Look) -> None:
    """Balance of the chosen layer, the routing's own numbers and fitness, on one cursor."""
    loads, run = look.experts, look.evolution
    if loads is None or run is None:
        return
    if not loads.load:
        charts.stack(replace(BALANCE, rows=experts.CURVES), look)
        return
    layer = heatmap.chosen_layer(loads)
    if layer not in loads.load:
        loads = look.sources.feed.experts(loads.run_id, look.view.window, layer=layer)
    if layer not in loads.load:
        return
    measure = _balances(loads)[layer]
    joined = kept(("balance", layer), (loads, run), lambda: _joined(run, loads, measure))
    charts.stack(BALANCE, look, joined)


def _balances(loads: ExpertLoads) -> dict[str, Balance]:
    return kept(
        ("balances",), (loads,), lambda: {layer: rules.balance(share) for layer, share in loads.share.items()}
    )


def _named(loads: ExpertLoads) -> list[Named]:
    return [
        one for layer, load in loads.load.items() for one in rules.named(layer, loads.experts[layer], load)
    ]


def _line(word: str, those: list[Named], loads: ExpertLoads, look: Look) -> None:
    several = len(loads.load) > 1
    said = [
        f"**{plain(one.expert)}**{plain(f' of layer {one.layer}') if several else ''} ({plain(f'{one.load:.2f}')} since {plain(_since(one, loads, look))})"
        for one in those[:MOST_NAMED]
    ]
    more = f" and {len(those) - MOST_NAMED} more" if len(those) > MOST_NAMED else ""
    st.markdown(f"{word}: {', '.join(said)}{more}")


def _since(one: Named, loads: ExpertLoads, look: Look) -> str:
    generation = loads.generations[one.since]
    if np.isfinite(generation):
        return f"generation {generation:.0f}{' or before' if one.from_start else ''}"
    return f"{clock(float(loads.times[one.since]), look.view.zone)}{' or before' if one.from_start else ''}"


def _count(experts: float) -> str:
    return f"{experts:.3g}" if experts < 100 else f"{experts:,.0f}"


def _layers(names: list[str]) -> str:
    return (
        f"layers {', '.join(names)}"
        if len(names) > 1
        else (f"layer {names[0]}" if names[0] else "the experts")
    )


def _value(
    measure: Balance, values: "np.ndarray[tuple[int], np.dtype[np.float64]]", otherwise: float
) -> float:
    return float(values[measure.last]) if measure.last is not None else otherwise


def _layer_table(measures: dict[str, Balance]) -> None:
    rows = [
        {"layer": layer, "experts": one.experts, "effective %": 100 * one.effective[one.last], "dead": round(one.dead[one.last] * one.experts),
         "coefficient of variation": one.cv[one.last], "maximal violation": one.violation[one.last]}
        for layer, one in measures.items() if one.last is not None
    ]  # fmt: skip
    st.dataframe(
        pd.DataFrame(rows).round(3),
        hide_index=True,
        height=min(300, 38 + 35 * len(rows)),
        alt="Balance of every layer",
    )


def _joined(run: Evolution, loads: ExpertLoads, measure: Balance) -> Evolution:
    """The run's curves with the layer's balance beside them, point by point of the same generation (or the nearest time)."""
    columns = {
        EFFECTIVE.name: measure.effective,
        DEAD.name: measure.dead,
        CV.name: measure.cv,
        VIOLATION.name: measure.violation,
    }
    side = pd.DataFrame(columns).assign(generation=loads.generations, time=loads.times)
    frame = run.frame
    if frame.empty:
        frame = side.assign(
            elapsed_seconds=side["time"] - side["time"].iloc[0],
            segment=0,
            source=loads.source,
            hole_before=False,
        )
    elif loads.source == "log":
        side = (
            side.dropna(subset=["generation"]).drop_duplicates("generation", keep="last").drop(columns="time")
        )
        frame = frame.merge(side, on="generation", how="left")
    else:  # sampled on a grid of its own: the run's curves are shown at those points
        side = side.dropna(subset=[EFFECTIVE.name]).drop(columns="generation")
        frame = pd.merge_asof(side, frame.sort_values("time"), on="time", direction="nearest")
    return replace(run, frame=frame, asked=(*run.asked, *loads.asked))
