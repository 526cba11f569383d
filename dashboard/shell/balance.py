"""Imbalance on one cursor with what it may cost: measures of a layer, the routing's own numbers, latency and fitness."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from collectors.unavailable import Unavailable
from dashboard.catalogue import evolution, experts, inference
from dashboard.catalogue.spec import Curve, Curves, Metric
from dashboard.catalogue.units import FAIR_LOAD, NUMBER, RATIO, SECONDS
from dashboard.feed import Answer, Evolution, ExpertLoads
from dashboard.shell import charts, heatmap
from dashboard.shell.experts import balances
from dashboard.shell.kept import kept
from dashboard.shell.look import Look
from dashboard.verdict import balance as rules
from dashboard.verdict.balance import Balance

Floats = NDArray[np.float64]

_WORKED_OUT = "worked out here from what is exported; not exported itself"
EFFECTIVE = Metric("expert_effective_ratio", "gauge", RATIO, "Effective share of the experts", reason=_WORKED_OUT)  # fmt: skip
DEAD = Metric("expert_dead_ratio", "gauge", RATIO, "Share of the experts that are dead", reason=_WORKED_OUT)
CV = Metric("expert_load_cv", "gauge", NUMBER, "Coefficient of variation of the load", reason=_WORKED_OUT)
VIOLATION = Metric("expert_load_violation", "gauge", NUMBER, "Largest load over fair load, minus 1", reason=_WORKED_OUT)  # fmt: skip
SPECIALIZED = tuple(
    Metric(f"expert_specialization_{which}", "gauge", NUMBER, f"Specialization score, {which} of the layer's experts", reason=_WORKED_OUT)
    for which in ("highest", "median", "lowest")
)  # fmt: skip
LATENCY = Metric("inference_latency_p95_seconds", "gauge", SECONDS, "95th percentile of the latency", reason=_WORKED_OUT)  # fmt: skip

BALANCE = charts.Stack(
    "balance",
    "Balance",
    (
        Curves("effective-experts", "Effective and dead experts", rules.FORMULAS["effective"], RATIO,
               (Curve(EFFECTIVE, "effective ÷ all"), Curve(DEAD, "dead ÷ all"))),
        Curves("load-cv", "Unevenness of the load", f"{rules.FORMULAS['cv']} {rules.FORMULAS['violation']}", FAIR_LOAD,
               (Curve(CV, "coefficient of variation"), Curve(VIOLATION, "maximal violation"))),
        experts.BALANCE,
        Curves("latency-beside-load", "Inference latency, 95th percentile",
               "Of all requests meanwhile. Latency that rises with the unevenness is tokens that wait for one expert.", SECONDS,
               (Curve(LATENCY, "p95"),)),
        evolution.FITNESS,
        Curves("specialization", "Specialization", "What the run reports as expert_specialization_score: the highest, the median and the lowest of the layer's experts.", NUMBER,
               tuple(Curve(metric, which) for metric, which in zip(SPECIALIZED, ("highest", "median", "lowest"), strict=True))),
        *(row for row in experts.CURVES if row is not experts.BALANCE),
    ),
)  # fmt: skip


def balance(look: Look) -> None:
    """Balance of the chosen layer, latency, fitness and the routing's own numbers, on one cursor."""
    loads, run = look.experts, look.evolution
    if loads is None or run is None:
        return
    if not loads.load:
        charts.stack(replace(BALANCE, rows=experts.CURVES), look)
        return
    layer = heatmap.chosen_layer(loads)
    loads = heatmap.of_layer(loads, layer, look)
    if layer not in loads.load:
        return
    measure, latency = balances(loads)[layer], _latency(look)

    def join() -> pd.DataFrame:
        try:
            specialization = look.sources.feed.beside(loads, layer, experts.SPECIALIZATION, look.view.window)
        except Unavailable:  # the loads' own banner says it
            specialization = None
        return joined(run, loads, measure, specialization, latency)

    sources = (loads, run.frame, latency.frame if latency is not None else None)
    asked = (*run.asked, *loads.asked, *(latency.asked if latency is not None else ()))
    charts.stack(BALANCE, look, replace(run, frame=kept(("balance", layer), sources, join), asked=asked))


def _latency(look: Look) -> Answer | None:
    """The 95th percentile over the window; None without a Prometheus."""
    if look.sources.prometheus is None:
        return None
    panel = replace(
        inference.PERCENTILES, key="latency-beside-load", series=(inference.PERCENTILES.series[1],)
    )
    return look.sources.feed.panels([panel], look.view.window)[panel.key]


def joined(run: Evolution, loads: ExpertLoads, measure: Balance, specialization: Floats | None, latency: Answer | None) -> pd.DataFrame:  # fmt: skip
    """The run's curves with the layer's balance beside them, point by point of the same generation (or the nearest time)."""
    columns = {EFFECTIVE.name: measure.effective, DEAD.name: measure.dead, CV.name: measure.cv, VIOLATION.name: measure.violation}  # fmt: skip
    if specialization is not None:
        known = np.isfinite(specialization).any(axis=0)
        found = np.full((3, known.size), np.nan)
        found[:, known] = np.nanquantile(specialization[:, known], (1.0, 0.5, 0.0), axis=0)
        columns |= {metric.name: values for metric, values in zip(SPECIALIZED, found, strict=True)}
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
        side = side.dropna(subset=["generation"]).drop_duplicates("generation", keep="last").drop(columns="time")  # fmt: skip
        if loads.thinned:  # curves of points that are neighbours in both
            newer = frame["generation"] > side["generation"].max()
            frame = frame[frame["generation"].isin(side["generation"]) | newer]
        frame = frame.merge(side, on="generation", how="left")
    else:  # sampled on a grid of its own: the run's curves are shown at those points
        side = side.dropna(subset=[EFFECTIVE.name]).drop(columns="generation")
        frame = pd.merge_asof(side, frame.sort_values("time"), on="time", direction="nearest")
    if latency is not None and not latency.empty:
        frame = frame.assign(**{LATENCY.name: _at(latency, frame["time"].to_numpy(np.float64))})
    return frame


def _at(answer: Answer, times: Floats) -> Floats:
    """The answer's one line at these times: the newest value not older than a step, NaN where there is none."""
    when = pd.DatetimeIndex(answer.frame.index).as_unit("ns").asi8 / 1e9
    values = answer.frame.iloc[:, 0].to_numpy(np.float64)
    at = np.searchsorted(when, times, side="right") - 1
    found = np.where(at >= 0, values[np.maximum(at, 0)], np.nan)
    return np.where(times - when[np.maximum(at, 0)] <= answer.step_seconds, found, np.nan)
