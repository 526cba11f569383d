"""The report of a run: how it did, in words with evidence, and everything that was known of it. Pure."""

import numpy as np
import pandas as pd

from collectors.runs import Topology
from dashboard.catalogue import evolution, experts, training
from dashboard.catalogue.units import NUMBER
from dashboard.feed import ExpertLoads
from dashboard.figures import evolution as curves_figure
from dashboard.figures import heatmap as heatmap_figure
from dashboard.figures import topology as topology_figure
from dashboard.report import parts, progress
from dashboard.report.document import Document
from dashboard.report.gather import RunFound
from dashboard.report.tables import Table
from dashboard.verdict import balance as rules

MOST_LAYERS = 6  # drawn: the least even ones
MOST_CELLS = 200_000  # of a heatmap; columns are left out evenly beyond that
MOST_NAMED = 40


def page(found: RunFound) -> str:
    """The whole file."""
    run = found.story.run
    document = Document(f"Run {run.name}" if run.name == run.run_id else f"Run {run.name} ({run.run_id})")
    document.say(f"{parts.span(found.start, found.end)}. Written {parts.said(found.made_at)} UTC.", "soft")
    document.link("The same in the dashboard", found.link)
    _verdict(document, found)
    _facts(document, found)
    noted = parts.marks(found.history, found.benchmarks, found.end)
    axis = parts.axis_of(found.story.evolution)
    if found.story.evolution.frame.empty:
        document.section("Evolution")
        document.say("No generation of this run is known in this stretch of time.")
    else:
        document.section("Evolution", found.story.evolution.coverage)
        parts.curves(document, evolution.CURVES, found.story.evolution, axis, noted, "Evolution")
        _segments(document, found)
        progress.pace(document, found, noted)
        progress.against(document, found)
        document.section("Routing")
        parts.curves(document, experts.CURVES, found.story.evolution, axis, noted, "Routing")
        document.section("Training")
        parts.curves(document, training.CURVES, found.story.evolution, axis, noted, "Training")
    progress.failures(document, found, axis, noted)
    _experts(document, found)
    _topology(document, found.topologies)
    document.section("Alerts")
    parts.alerts(document, found.history)
    document.section("Errors in the logs")
    parts.logs(document, found.errors, "error")
    document.section("Benchmark runs meanwhile")
    parts.benchmarks(document, found.benchmarks)
    parts.queries(document, (*found.story.evolution.asked, *found.loads.asked))
    return document.html()


def tables(found: RunFound) -> tuple[Table, ...]:
    """Its numbers: every point, the experts' loads, failures, alerts, errors, benchmark runs."""
    return (
        parts.points(found.story.evolution, "evolution"),
        _loads_table(found.loads),
        progress.failures_table(found),
        parts.episodes_table(found.history),
        parts.lines_table(found.errors),
        parts.benchmarks_table(found.benchmarks),
    )


def _verdict(document: Document, found: RunFound) -> None:
    verdict = found.story.verdict
    since = f" Since generation {verdict.since:.0f}." if verdict.since is not None else ""
    runbook = f" Runbook: {verdict.runbook}." if verdict.runbook else ""
    tone = parts.TONES.get(verdict.word, "soft")
    document.banner(f"{verdict.word.capitalize()}.", f"{verdict.sentence}{since}{runbook}", tone)
    for why in dict.fromkeys((*found.story.evolution.unavailable, *filter(None, [found.loads.unavailable]))):
        parts.unread(document, why)


def _facts(document: Document, found: RunFound) -> None:
    run = found.story.run
    known = {"log": "its own log", "prometheus": "Prometheus"}
    document.table(
        ("fact", "value"),
        [
            ("state", f"{run.state}: {run.reason}" if run.reason else run.state),
            ("started", parts.said(run.started_at)),
            ("ended", parts.said(run.ended_at)),
            ("generations", run.generations),
            ("best fitness", None if run.best_fitness is None else NUMBER.format(run.best_fitness)),
            ("known from", " and ".join(known[source] for source in sorted(run.sources)) or None),
            ("instance", run.instance),
        ],
    )
    document.section("Configuration")
    if run.config:
        document.table(("name", "value"), sorted(run.config.items()))
    else:
        document.say("The run said nothing of its configuration.")


def _segments(document: Document, found: RunFound) -> None:
    segments = found.story.evolution.segments
    if len(segments) > 1:
        document.section("Restarts", level=3)
        rows = [
            (one.index + 1, parts.said(one.start_time), one.first_generation, one.last_generation, one.reason)
            for one in segments
        ]
        document.table(("segment", "from", "first generation", "last generation", "why it began"), rows)


def _experts(document: Document, found: RunFound) -> None:
    loads = found.loads
    document.section(
        "Experts",
        "Load ÷ fair load: 1 is an even share of the layer's load, 0 is dead. Grey is a hole, not a zero.",
    )
    if not loads.load:
        document.say("This run does not report what its experts carry: expert_utilization_ratio is missing.")
        return
    document.say(loads.scale_said, "soft")
    measures = {layer: rules.balance(share) for layer, share in loads.share.items()}
    _named(document, loads)
    rows: list[tuple[object, ...]] = []
    for layer, one in measures.items():
        at = one.last
        if at is None:
            rows.append((layer or "–", one.experts, None, None, None, None, None))
            continue
        rows.append((
            layer or "–", one.experts, f"{one.effective[at] * one.experts:.3g} of {one.experts}", f"{one.dead[at] * one.experts:.0f}",
            f"{one.cv[at]:.3f}", f"{one.violation[at]:.3f}", f"{one.variance[at]:.3g}",
        ))  # fmt: skip
    document.table(
        (
            "layer",
            "experts",
            "effective",
            "dead",
            "coefficient of variation",
            "maximal violation",
            "variance of shares",
        ),
        rows,
    )
    uneven = sorted(
        measures,
        key=lambda layer: (
            measures[layer].effective[measures[layer].last] if measures[layer].last is not None else np.inf
        ),
    )
    for layer in [layer for layer in loads.load if layer in uneven[:MOST_LAYERS]]:
        _heatmap(document, found, layer)
    left_out = len(loads.layers) - min(len(loads.load), MOST_LAYERS)
    if left_out > 0:
        document.say(
            f"{left_out} of {len(loads.layers)} layers are not drawn; the least even of those that were read are.",
            "soft",
        )


def _named(document: Document, loads: ExpertLoads) -> None:
    found = [
        one for layer, load in loads.load.items() for one in rules.named(layer, loads.experts[layer], load)
    ]
    if not found:
        document.say("No expert is dead, starved or overloaded at the newest point.", "good")
        return
    rows = []
    for one in found[:MOST_NAMED]:
        generation = loads.generations[one.since]
        since = (
            f"generation {generation:.0f}"
            if np.isfinite(generation)
            else parts.said(float(loads.times[one.since]))
        )
        rows.append(
            (
                one.expert,
                one.layer or "–",
                one.condition,
                f"{one.load:.2f}",
                f"{since}{' or before' if one.from_start else ''}",
            )
        )
    document.table(("expert", "layer", "condition", "load ÷ fair", "since"), rows)
    if len(found) > MOST_NAMED:
        document.say(f"and {len(found) - MOST_NAMED} more.", "soft")


def _heatmap(document: Document, found: RunFound, layer: str) -> None:
    loads = found.loads
    start = found.story.run.started_at
    known = np.flatnonzero(np.isfinite(loads.load[layer]).any(axis=0))
    if not known.size:
        return
    frame = pd.DataFrame({
        "time": loads.times, "generation": loads.generations,
        "elapsed_seconds": loads.times - (start if start is not None else loads.times[0]),
    })  # fmt: skip
    axis: curves_figure.Axis = "generation" if np.isfinite(loads.generations).any() else "time"
    experts_count = len(loads.experts[layer])
    every = max(1, int(np.ceil(experts_count * loads.times.size / MOST_CELLS)))
    shown = slice(None, None, every)
    figure = heatmap_figure.draw(
        loads.load[layer][:, shown],
        loads.experts[layer],
        curves_figure.x_of(frame, axis)[shown],
        curves_figure.x_axis(axis),
        loads.share[layer][:, shown],
    )
    newest = loads.load[layer][:, known[-1]]
    least, most = int(np.nanargmin(newest)), int(np.nanargmax(newest))
    thinned = f" Every {every}th point is drawn." if every > 1 else ""
    document.figure(
        figure,
        f"{f'Layer {layer}: ' if layer else ''}load ÷ fair load of {experts_count} experts. At the newest point expert "
        f"{loads.experts[layer][least]} carries least, {newest[least]:.2f}, and expert {loads.experts[layer][most]} most, "
        f"{newest[most]:.2f}.{thinned}",
    )


def _topology(document: Document, topologies: tuple[Topology, ...]) -> None:
    document.section(
        "Topology",
        "Which token may go to which expert in the best genome; + was added and − was cut since the first best one.",
    )
    if not topologies:
        document.say("No topology was written for this run.")
        return
    first, last = topologies[0], topologies[-1]
    kinds = topology_figure.changes(last.matrix, first.matrix if len(topologies) > 1 else None)
    there, added, cut = (
        int((kinds == kind).sum())
        for kind in (topology_figure.KEPT, topology_figure.ADDED, topology_figure.CUT)
    )
    tokens, number = last.matrix.shape
    document.figure(
        topology_figure.draw(kinds),
        f"Best genome of generation {last.generation}: {tokens} tokens, {number} experts, {there + added} connections, sparsity "
        f"{1 - (there + added) / max(1, last.matrix.size):.1%}, path length {topology_figure.path_length(last.matrix, last.top_k or number):.2f}. Since generation {first.generation}: {added} added, {cut} cut.",
    )


def _loads_table(loads: ExpertLoads) -> Table:
    """A row for each point and expert: load ÷ fair load and share, both without a unit."""
    pieces = []
    for layer, load in loads.load.items():
        count, size = load.shape
        pieces.append(pd.DataFrame({
            "time_utc": np.tile(pd.to_datetime(loads.times, unit="s", utc=True), count),
            "run_id": loads.run_id,
            "generation": np.tile(loads.generations, count),
            "layer": layer,
            "expert_id": np.repeat(np.array(loads.experts[layer], dtype=object), size),
            "load_over_fair_ratio": load.ravel(),
            "share_ratio": loads.share[layer].ravel(),
        }))  # fmt: skip
    columns = [
        "time_utc",
        "run_id",
        "generation",
        "layer",
        "expert_id",
        "load_over_fair_ratio",
        "share_ratio",
    ]
    frame = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=columns)
    return Table("experts", frame, {"run": loads.run_id, "scale": loads.scale_said})
