"""Experts on screen: who is dead, starved or overloaded since when, and how even the load is. Never an average over layers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.catalogue import experts
from dashboard.feed import ExpertLoads
from dashboard.shell import charts, heatmap, links
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain
from dashboard.verdict import balance as rules
from dashboard.verdict.balance import Balance, Named, Scale

WORDS = {"dead": "Dead", "starved": "Starved", "overloaded": "Overloaded"}
RUNBOOKS = {"dead": experts.DEAD, "starved": experts.IMBALANCE, "overloaded": experts.IMBALANCE}
MOST_NAMED = 12  # of a layer, in one condition
MOST_LAYERS = 8  # listed one below the other


@dataclass(frozen=True, slots=True)
class Measure:
    """How a measure is written on screen."""

    title: str
    key: str  # of rules.FORMULAS and rules.scales

    def said(self, value: float, experts: int) -> str:
        """A value of it, for a layer of so many experts."""
        if self.key in ("effective", "dead"):
            return f"{_count(value * experts)} of {experts:,}"
        return f"{value:.3g}"


MEASURES = (
    Measure("Effective experts", "effective"),
    Measure("Dead experts", "dead"),
    Measure("Coefficient of variation", "cv"),
    Measure("Maximal violation", "violation"),
    Measure("Variance of shares", "variance"),
)


def named(look: Look) -> None:
    """The experts that do not carry their share, layer by layer, by name, since when, and what helps."""
    loads = _looked_at(look)
    if loads is None:
        return
    found = kept(("named",), (loads,), lambda: _named(loads))
    apart = _apart(loads)
    if not found:
        st.success(plain(f"No expert{apart or _all(loads)} is dead, starved or overloaded at the newest point."), icon=":material/check_circle:")  # fmt: skip
        return
    with st.container(border=True):
        charts.heading(
            "Experts that do not carry their share",
            f"Dead: load ÷ fair load below {experts.DEAD_BELOW:g}. Starved: below {experts.STARVED_BELOW:g}. Overloaded: above {experts.OVERLOADED_ABOVE:g}.",
        )  # fmt: skip
        layers = list(dict.fromkeys(one.layer for one in found))
        for layer in layers[:MOST_LAYERS]:
            _layer_line(layer, [one for one in found if one.layer == layer], loads, look)
        if len(layers) > MOST_LAYERS:
            st.caption(plain(f"The same in {len(layers) - MOST_LAYERS} more layers: {', '.join(layers[MOST_LAYERS:])}."))  # fmt: skip
        if apart:
            st.caption(plain(f"This is{apart}; the others are looked at when they are chosen below."))
        with st.container(horizontal=True):
            conditions = {one.condition for one in found}
            if "dead" in conditions:
                links.to("runbooks", "What to do about a dead expert", icon=":material/menu_book:", alert=experts.DEAD.name)  # fmt: skip
            if conditions - {"dead"}:
                links.to("runbooks", "What to do about imbalance", icon=":material/menu_book:", alert=experts.IMBALANCE.name)  # fmt: skip


def numbers(look: Look) -> None:
    """The collapse detector: how even the newest point is, layer by layer, and from where on it is called a collapse."""
    loads = _looked_at(look)
    if loads is None:
        return
    measures = balances(loads)
    collapsed = [layer for layer, measure in measures.items() if measure.collapsed]
    if collapsed:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.error(
                plain(f"Router collapse: {_layers(collapsed)} effectively use less than {experts.COLLAPSED_BELOW:.0%} of their experts."),
                icon=":material/warning:",
            )  # fmt: skip
            links.to("runbooks", "What to do about a collapse", icon=":material/menu_book:", alert=experts.COLLAPSE.name)  # fmt: skip
    layer, measure = min(measures.items(), key=lambda pair: _value(pair[1], pair[1].effective, np.inf))
    if measure.last is None:
        return
    if len(measures) > 1:
        st.caption(plain(f"Layer {layer} is the least even of {len(measures)}; the table has all of them."))
    elif apart := _apart(loads):
        st.caption(plain(f"These numbers are{apart}."))
    with st.container(horizontal=True, gap="medium"):
        for item in MEASURES:
            value = float(getattr(measure, item.key)[measure.last])
            st.metric(item.title, item.said(value, measure.experts), help=rules.FORMULAS[item.key], width="content")  # fmt: skip
    about = st.expander(
        f"Formulas, sources and lines for {measure.experts:,} experts", key="formulas", on_change="rerun"
    )
    if about.open:  # a closed table is read by nobody, and a browser takes longer for it than for the heatmap
        about.markdown(_formulas(measure, layered=len(loads.layers) > 1))
    if len(measures) > 1:
        _layer_table(measures)


def balances(loads: ExpertLoads) -> dict[str, Balance]:
    """The measures of each loaded layer."""
    return kept(
        ("balances",), (loads,), lambda: {layer: rules.balance(share) for layer, share in loads.share.items()}
    )


def _looked_at(look: Look) -> ExpertLoads | None:
    """All layers, or the chosen one where there are too many for one look; None where there is nothing."""
    loads = look.experts
    if loads is None or not loads.load:
        return None
    loads = heatmap.of_layer(loads, heatmap.chosen_layer(loads), look)
    return loads if loads.load else None


def _apart(loads: ExpertLoads) -> str:
    """Which layer this is about, where it is not all of them."""
    if len(loads.load) == len(loads.layers):
        return ""
    return f" of layer {next(iter(loads.load))}, one of {len(loads.layers)}"


def _all(loads: ExpertLoads) -> str:
    return f" of all {len(loads.load)} layers" if len(loads.load) > 1 else ""


def _named(loads: ExpertLoads) -> list[Named]:
    return [
        one for layer, load in loads.load.items() for one in rules.named(layer, loads.experts[layer], load)
    ]


def _layer_line(layer: str, found: list[Named], loads: ExpertLoads, look: Look) -> None:
    parts = []
    for condition, word in WORDS.items():
        those = [one for one in found if one.condition == condition]
        if those:
            said = [
                f"**{plain(one.expert)}** ({plain(f'{one.load:.2f}')} since {plain(_since(one, loads, look))})"
                for one in those[:MOST_NAMED]
            ]
            more = f" and {len(those) - MOST_NAMED:,} more" if len(those) > MOST_NAMED else ""
            parts.append(f"{word}: {', '.join(said)}{more}")
    of = f"Layer {plain(layer)}. " if len(loads.layers) > 1 else ""
    st.markdown(f"{of}{'. '.join(parts)}.")


def _since(one: Named, loads: ExpertLoads, look: Look) -> str:
    generation = loads.generations[one.since]
    if np.isfinite(generation):
        return f"generation {generation:.0f}{' or before' if one.from_start else ''}"
    return f"{clock(float(loads.times[one.since]), look.view.zone)}{' or before' if one.from_start else ''}"


def _formulas(measure: Balance, *, layered: bool) -> str:
    """A table: what is even, from where on it is named, what is worst for this number of experts, and how it is computed."""
    known = rules.scales(measure.experts, layered=layered)
    lines = ["| measure | even | named from | worst | formula and source |", "|---|---|---|---|---|"]
    for item in MEASURES:
        scale: Scale = known[item.key]
        line = plain(item.said(scale.line, measure.experts)) if scale.line is not None else "no line for so few experts"  # fmt: skip
        even, worst = (plain(item.said(value, measure.experts)) for value in (scale.even, scale.worst))
        lines.append(f"| {item.title} | {even} | {line} | {worst} | {plain(rules.FORMULAS[item.key])} |")
    return "\n".join(lines)


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
