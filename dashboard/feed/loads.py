"""The experts' loads of one run, looked up: from the run's log, which has every generation, or from Prometheus on the window's grid."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from collectors.runs import RunsDirectory
from collectors.unavailable import Unavailable
from dashboard.catalogue import evolution, experts
from dashboard.catalogue.spec import Metric
from dashboard.feed import axis, query
from dashboard.feed.answer import Asked
from dashboard.feed.experts import ExpertLoads, Floats, running_total, scale_of, shares
from dashboard.feed.frames import natural
from dashboard.feed.ranges import Known, Question, Ranges
from dashboard.feed.runs import Run
from dashboard.feed.window import MOST_COLUMNS, Grid, Window

_BEHIND_SECONDS = 300.0  # a log this much older than the run's last sign of life is not its newest word
_KEPT = 8  # loads that are handed out again while nothing changed
_SERIES_AT_ONCE = 16_384  # more experts than this, over all layers, are looked at one layer at a time


class Loads:
    """Loads by run."""

    def __init__(
        self,
        ranges: Ranges,
        runs: RunsDirectory | None,
        instant: Callable[[str], list[tuple[dict[str, str], float]]],
        ahead_seconds: Callable[[], float],
        scale: str = "auto",
    ) -> None:
        self._ranges, self._runs, self._instant, self._scale = ranges, runs, instant, scale
        self._ahead_seconds = ahead_seconds  # of Prometheus's clock before the log's
        self._known: OrderedDict[tuple[object, ...], tuple[object, object, ExpertLoads]] = OrderedDict()
        self._guard = Lock()

    def look(self, run: Run, window: Window, grid: Grid, layer: str | None = None) -> ExpertLoads:
        """The run on this grid; `layer` asks for one layer alone."""
        told: ExpertLoads | None = None
        if "log" in run.sources and self._runs is not None:
            try:
                told = self._logged(run, grid, layer)
            except Unavailable as why:
                told = ExpertLoads(run.run_id, unavailable=why)
            # the log has every generation, samples miss some; but a copy of it that nobody writes any more is old
            if told.load and (
                run.last_seen is None or run.last_seen - float(told.times[-1]) < _BEHIND_SECONDS
            ):
                return told
        if "prometheus" in run.sources or told is None:
            scraped = self._scraped(run, window, grid, layer)
            if told is None or not told.load or (scraped.load and scraped.unavailable is None):
                return scraped
        return told

    def beside(
        self, run: Run, loads: ExpertLoads, layer: str, metric: Metric, *, live: bool
    ) -> Floats | None:
        """Another value of the same experts at the same points: (experts, points), NaN where unknown; None: not exported.

        A gauge as it is, replicas averaged; a counter as what it counted since the first point, replicas summed.
        """
        rows: list[tuple[str, Floats]]
        if loads.lines is not None and self._runs is not None:
            if str(metric) not in self._runs.generations(run.run_id).labelled:
                return None
            said = self._runs.labelled(run.run_id, str(metric), loads.lines)
            tables = [_by_layer(one).get(layer, {}) if one is not None else {} for one in said]
            rows = [
                (expert, np.array([_float(one.get(expert)) for one in tables]))
                for expert in loads.experts[layer]
            ]
        elif loads.grid is not None:
            selector = f"{metric}{{{run.matchers},layer={query.quoted(layer)}}}"
            question = Question(selector, loads.grid, live)
            known = self._ranges.look([question])[question]
            if known.unavailable is not None:
                raise known.unavailable
            at = np.searchsorted(known.times, loads.times)  # a live grid may have moved on since
            inside = (at < len(known.times)) & (
                known.times[np.minimum(at, len(known.times) - 1)] == loads.times
            )
            rows = [
                (
                    labels.get("expert_id", ""),
                    np.where(inside, values[np.minimum(at, len(values) - 1)], np.nan),
                )
                for labels, values in zip(known.labels, known.values, strict=True)
            ]
        else:
            return None
        if not any(np.isfinite(values).any() for _, values in rows):
            return None
        counter = metric.kind == "counter"
        values = np.array([values for _, values in rows])
        values = running_total(values) if counter else values
        of: dict[str, list[int]] = {}
        for i, (expert, _) in enumerate(rows):
            of.setdefault(expert, []).append(i)
        return np.array([_joined(values[of.get(name, [])], counter=counter) for name in loads.experts[layer]])

    def _scraped(self, run: Run, window: Window, grid: Grid, layer: str | None) -> ExpertLoads:
        who = run.matchers
        sizes = self._sizes(who, grid)
        layers = sorted(sizes, key=natural) or [""]
        loaded = layers if sum(sizes.values()) <= _SERIES_AT_ONCE else layers[:1]
        loaded = loaded if layer is None else [layer]
        of_layers = "" if loaded == layers else f",layer={query.quoted(loaded[0])}"
        loads = Question(f"{experts.UTILIZATION}{{{who}{of_layers}}}", grid, window.live)
        generation = Question(f"{evolution.GENERATION}{{{who}}}", grid, window.live)
        answers = self._ranges.look([loads, generation])
        known, generations = answers[loads], answers[generation]
        if not known.labels:
            tokens = Question(
                f"sum by (layer, expert_id) (rate({experts.TOKENS}{{{who}{of_layers}}}[{query.duration(4 * grid.step)}]))",
                grid,
                window.live,
            )
            counted = self._ranges.look([tokens])[tokens]
            known = counted if counted.labels else known
            loads = tokens if counted.labels else loads
        place = (run.run_id, layer, grid.step, grid.points)
        same = (loads.promql, id(known), id(generations), run.config.get("top_k"))
        if (before := self._unchanged(place, same)) is not None:
            return before
        blocks, names = _blocks(known)
        when = known.times
        steps = np.full(len(when), np.nan)
        if generations.labels and generations.grid == known.grid:
            steps = np.nanmax(np.where(np.isnan(generations.values), -np.inf, generations.values), axis=0)
            steps[~np.isfinite(steps)] = np.nan
        asked = (Asked(loads.promql, float(known.grid.step), known.samples, known.seconds, known.warnings),)
        told = self._told(
            run,
            tuple(layers),
            blocks,
            names,
            when,
            steps,
            "prometheus",
            known.looked_at,
            known.unavailable,
            asked,
            grid=known.grid,
        )
        self._keep(place, same, (known, generations), told)
        return told

    def _sizes(self, who: str, grid: Grid) -> dict[str, float]:
        """Experts by layer, as many as the grid's stretch has seen."""
        back = query.duration(grid.end - grid.start)
        found = self._instant(f"count by (layer) (last_over_time({experts.UTILIZATION}{{{who}}}[{back}]))")
        return {labels.get("layer", ""): count for labels, count in found}

    def _logged(self, run: Run, grid: Grid, layer: str | None) -> ExpertLoads:
        assert self._runs is not None  # noqa: S101  # look() has seen to it
        log = self._runs.generations(run.run_id)
        if str(experts.UTILIZATION) not in log.labelled:
            return ExpertLoads(run.run_id, source="log")
        table = axis.logged(log, ahead_seconds=self._ahead_seconds())
        rows = np.flatnonzero(table["time"].between(grid.start, grid.end + grid.step).to_numpy())
        every = -(-len(rows) // MOST_COLUMNS)  # every so many of them, the same ones while the run goes on
        rows = np.append(rows[rows % every == 0], rows[-1]) if every > 1 else rows
        rows = np.unique(rows)
        lines = table["line"].to_numpy()[rows].astype(np.int64)
        place = (run.run_id, layer, grid.step, grid.points)
        same = (id(log), lines.tobytes(), run.config.get("top_k"))
        if (known := self._unchanged(place, same)) is not None:
            return known
        said = self._runs.labelled(run.run_id, str(experts.UTILIZATION), lines)
        tables = [_by_layer(one) if one is not None else {} for one in said]
        layers = sorted({name for one in tables for name in one}, key=natural)
        names: dict[str, tuple[str, ...]] = {}
        blocks: dict[str, Floats] = {}
        for name in layers if layer is None else [layer]:
            there = sorted({expert for one in tables for expert in one.get(name, {})}, key=natural)
            names[name] = tuple(there)
            blocks[name] = np.array(
                [[_float(one.get(name, {}).get(expert)) for one in tables] for expert in there], np.float64
            ).reshape(len(there), len(rows))
        loads = self._told(
            run, tuple(layers), blocks, names, table["time"].to_numpy()[rows], table[axis.GENERATION].to_numpy()[rows],
            "log", None, None, (), lines=lines, thinned=every > 1,
        )  # fmt: skip
        self._keep(place, same, log, loads)
        return loads

    def _unchanged(self, place: tuple[object, ...], same: object) -> ExpertLoads | None:
        """The loads handed out before, if they stand on the same: what was drawn from one object is drawn once."""
        with self._guard:
            known = self._known.get(place)
            return known[2] if known is not None and known[0] == same else None

    def _keep(self, place: tuple[object, ...], same: object, stands_on: object, loads: ExpertLoads) -> None:
        with self._guard:
            self._known[place] = (same, stands_on, loads)  # held, so that an id stays its own
            self._known.move_to_end(place)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)

    def _told(
        self,
        run: Run,
        layers: tuple[str, ...],
        blocks: dict[str, Floats],
        names: dict[str, tuple[str, ...]],
        times: Floats,
        generations: Floats,
        source: Any,
        looked_at: float | None,
        unavailable: Unavailable | None,
        asked: tuple[Asked, ...],
        *,
        lines: "np.ndarray[tuple[int], np.dtype[np.int64]] | None" = None,
        grid: Grid | None = None,
        thinned: bool = False,
    ) -> ExpertLoads:
        top_k = run.config.get("top_k", "")
        scale, said = scale_of(blocks, int(top_k) if top_k.isdigit() else None, self._scale)
        share = {name: shares(block) for name, block in blocks.items()}
        return ExpertLoads(
            run_id=run.run_id,
            layers=layers,
            experts=names,
            times=times,
            generations=generations,
            load={name: block * len(block) for name, block in share.items()},
            share=share,
            scale=scale,
            scale_said=said,
            source=source,
            looked_at=looked_at,
            unavailable=unavailable,
            asked=asked,
            lines=lines,
            grid=grid,
            thinned=thinned,
        )


def _blocks(known: Known) -> tuple[dict[str, Floats], dict[str, tuple[str, ...]]]:
    """Rows of an answer → (experts, points) by layer, experts in numeric order; replicas of one expert are averaged."""
    rows: dict[str, dict[str, list[int]]] = {}
    for row, labels in enumerate(known.labels):
        rows.setdefault(labels.get("layer", ""), {}).setdefault(labels.get("expert_id", ""), []).append(row)
    blocks, names = {}, {}
    for layer in sorted(rows, key=natural):
        ordered = sorted(rows[layer], key=natural)
        names[layer] = tuple(ordered)
        if all(len(rows[layer][expert]) == 1 for expert in ordered):
            blocks[layer] = known.values[[rows[layer][expert][0] for expert in ordered]]
        else:
            blocks[layer] = np.array([_joined(known.values[rows[layer][expert]]) for expert in ordered])
    return blocks, names


def _joined(values: Floats, *, counter: bool = False) -> Floats:
    """Rows of replicas as one: the mean of what is there, of counters the sum; NaN where nothing is."""
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(count > 0, total if counter else total / np.maximum(count, 1), np.nan)


def _by_layer(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{"0": 0.1} or {"0": {"0": 0.1}} → by layer; a run without layers has the one named ""."""
    if all(isinstance(value, dict) for value in said.values()):
        return said
    return {"": said}


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
