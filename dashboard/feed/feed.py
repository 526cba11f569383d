"""From a panel and a window to numbers: the one way from a page to Prometheus and to the runs directory.

Knows no Streamlit and no figure. Nothing here raises `Unavailable`: answers carry it beside the last good numbers.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Lock

import numpy as np
from prometheus_client import CollectorRegistry

from collectors.prometheus import Matrix, Prometheus, Sample
from collectors.run_events import RunEvent
from collectors.runs import RunsDirectory, Topology
from collectors.unavailable import Unavailable
from dashboard.catalogue import METRICS
from dashboard.catalogue.spec import Metric, Panel
from dashboard.feed import aliases as alias_table
from dashboard.feed import availability as availabilities
from dashboard.feed import exemplars as exemplar_list
from dashboard.feed import failures, frames, native, query
from dashboard.feed import runs as run_list
from dashboard.feed.answer import Answer, Asked, Reading
from dashboard.feed.availability import Availability
from dashboard.feed.axis import Evolution
from dashboard.feed.counters import Counters
from dashboard.feed.evolutions import Evolutions
from dashboard.feed.exemplars import Exemplars
from dashboard.feed.experts import ExpertLoads, Floats
from dashboard.feed.loads import Loads
from dashboard.feed.ranges import Known, Question, Ranges
from dashboard.feed.runs import Run, RunList
from dashboard.feed.scrapes import Scrapes
from dashboard.feed.source import Looked, Shared, Source
from dashboard.feed.window import Window, grid

_ANSWERS_KEPT = 128
_AVAILABILITY_SECONDS = 60.0


class Feed:
    """Numbers for pages, shared by every session of the process; safe to use from many threads.

    Args:
        prometheus: None: the runs directory alone is read.
        runs: None: Prometheus alone is read.
        refresh_seconds: how long one look serves everyone.
        aliases: catalogue metric → PromQL of what a fleet has instead, over the shipped table.
        job: the router's scrape job, whose interval is the finest step.
        utilization_scale: auto, share, token_fraction or load_over_fair.
        settle_seconds: samples younger than this may still change and are asked again (scrape timeout + rule interval).
        memory_bytes: what kept range answers may take.
        registry: where the feed's own counters go; one of its own otherwise.
        clock: unix time.
    """

    def __init__(
        self,
        prometheus: Prometheus | None,
        runs: RunsDirectory | None,
        *,
        refresh_seconds: float = 5.0,
        aliases: Mapping[str, str] | None = None,
        job: str = "moe-router",
        utilization_scale: str = "auto",
        settle_seconds: float = 60.0,
        memory_bytes: int = 256 << 20,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counters = Counters(registry)
        self._runs = runs
        self._refresh_seconds = refresh_seconds
        self._source = Source(prometheus, self.counters, hold_seconds=refresh_seconds, clock=clock)
        self._scrapes = Scrapes(self._source, job, aliases or {})
        self._ranges = Ranges(
            self._source,
            refresh_seconds=refresh_seconds,
            settle_seconds=settle_seconds,
            memory_bytes=memory_bytes,
        )
        self._instants: Shared[tuple[tuple[Sample, ...], tuple[str, ...]]] = Shared(refresh_seconds, clock)
        self._exemplars: Shared[Exemplars] = Shared(refresh_seconds, clock, most=32)
        self._run_lists: Shared[RunList] = Shared(refresh_seconds, clock, most=16)
        self._evolutions: Shared[Evolution] = Shared(refresh_seconds, clock, most=32)
        self._availability: Shared[tuple[Availability, ...]] = Shared(_AVAILABILITY_SECONDS, clock)
        self._expert_loads: Shared[ExpertLoads] = Shared(refresh_seconds, clock, most=16)
        self._evolution = Evolutions(self._source, self._scrapes, runs, settle_seconds)
        self._loads = Loads(
            self._ranges, runs, self._pairs, lambda: self._source.skew_seconds, utilization_scale
        )
        self._answers: OrderedDict[object, tuple[tuple[int, ...], tuple[Known, ...], Answer]] = OrderedDict()
        self._guard = Lock()

    @property
    def prometheus(self) -> Prometheus | None:
        """The Prometheus behind it, for what the feed does not offer (rules, alerts, exemplars)."""
        return self._source.prometheus

    def close(self) -> None:
        """End the threads."""
        self._ranges.close()

    def now(self) -> float:
        """Unix time by Prometheus's clock where that differs from ours: windows end there."""
        return self._source.now()

    def scrape_seconds(self) -> float:
        """How often the router is scraped."""
        return self._scrapes.seconds()

    def panels(
        self, panels: Iterable[Panel], window: Window, *, run: str | None = None, instance: str | None = None
    ) -> dict[str, Answer]:
        """Answers by panel key; every query of all panels in one deduplicated batch."""
        panels = list(panels)
        scrape = self._scrapes.seconds()
        steps = grid(window, self.now(), scrape)
        rate_seconds = max(
            4 * scrape, steps.step + scrape
        )  # four scrapes at least, and no sample left out between steps
        questions = {
            panel.key: [
                (
                    series.legend,
                    Question(self._filled(series.promql, run, instance, rate_seconds), steps, window.live),
                )
                for series in panel.series
            ]
            for panel in panels
        }
        known = self._ranges.look(question for asked in questions.values() for _, question in asked)
        return {
            key: self._answer(
                (key, run, instance, steps.step, steps.points, window.live or steps.end),
                [(legend, question.promql, known[question]) for legend, question in asked],
            )
            for key, asked in questions.items()
        }

    def instant(self, promql: str, *, run: str | None = None, instance: str | None = None) -> Reading:
        """One evaluation now, shared for a refresh interval."""
        text = self._filled(promql, run, instance, 4 * self._scrapes.seconds())
        looked = self._instant(text)
        samples, warnings = looked.value or ((), ())
        return Reading(
            samples,
            looked.looked_at,
            looked.unavailable,
            (Asked(text, None, len(samples), looked.seconds, warnings + self._source.notes()),),
        )

    def exemplars(self, panel: Panel, window: Window, *, instance: str | None = None) -> Exemplars:
        """Requests behind a panel that carry a trace id. None are kept where Prometheus stores no exemplars."""
        text = self._filled(panel.series[0].promql, None, instance, 4 * self._scrapes.seconds())

        def look() -> Exemplars:
            start, end = window.bounds(self.now())
            found = self._source.ask(lambda prometheus: prometheus.exemplars(text, start, end))
            return exemplar_list.read(found, start, end)

        looked = self._exemplars.get((text, window), look, self.counters.hit)
        return looked.value or Exemplars(unavailable=looked.unavailable)

    def runs(self, window: Window) -> RunList:
        """Every run in the runs directory, and every run Prometheus saw in the window; newest first."""
        looked = self._run_lists.get(window, lambda: self._list_runs(window), self.counters.hit)
        return looked.value or RunList()

    def evolution(self, run_id: str, window: Window) -> Evolution:
        """One run against its generations, as far as they lie in the window."""

        def look() -> Evolution:
            start, end = window.bounds(self.now())
            return self._evolution.look(self._run(run_id, window), start, min(end, self.now()))

        return self._evolutions.get((run_id, window), look, self.counters.hit).value or Evolution()

    def whole(self, run: Run, window: Window) -> Evolution:
        """One run as long as it lived where it has a log, else as far as it lies in the window."""
        if "log" in run.sources:
            try:
                return self._evolution.whole(run)
            except Unavailable as why:
                return Evolution(run, unavailable=(why,))
        return self.evolution(run.run_id, window)

    def experts(self, run_id: str, window: Window, *, layer: str | None = None) -> ExpertLoads:
        """The experts' loads over the window; `layer` asks for one layer where there are too many for one look."""

        def look() -> ExpertLoads:
            steps = grid(window, self.now(), self._scrapes.seconds())
            return self._loads.look(self._run(run_id, window), window, steps, layer)

        looked = self._expert_loads.get((run_id, window, layer), look, self.counters.hit)
        return looked.value or ExpertLoads(run_id)

    def beside(self, loads: ExpertLoads, layer: str, metric: Metric, window: Window) -> Floats | None:
        """Another value of a layer's experts at the points of `loads`: (experts, points); None where it is not exported.

        Gauges as they are, counters as what they counted since the first point. Raises Unavailable.
        """
        return self._loads.beside(self._run(loads.run_id, window), loads, layer, metric, live=window.live)

    def failed_steps(self, run_id: str) -> tuple[RunEvent, ...]:
        """Steps that failed, as the run's own log tells them, oldest first; none where there is no log."""
        try:
            return self._runs.events(run_id, failures.STEP_FAILED) if self._runs is not None else ()
        except Unavailable:
            return ()

    def topology(self, run_id: str) -> Topology | None:
        """The run's best genome, where the runs directory has it."""
        try:
            return self._runs.topology(run_id) if self._runs is not None else None
        except Unavailable:
            return None

    def availability(self) -> tuple[Availability, ...]:
        """Every catalogue metric: is it there, with what labels, from which scrape; looked at once a minute."""
        looked = self._availability.get(
            "all",
            lambda: availabilities.availability(self._source, self._scrapes, METRICS),
            self.counters.hit,
        )
        if looked.value is not None:
            return looked.value
        return availabilities.unknown(
            METRICS, looked.unavailable or Unavailable("Nothing was looked at yet.")
        )

    def _filled(self, promql: str, run: str | None, instance: str | None, rate_seconds: float) -> str:
        if self.prometheus is not None:
            promql = alias_table.applied(promql, self._scrapes.absent(promql))
            for name in self._scrapes.native(promql):
                promql = native.rewritten(promql, name)
        return query.fill(promql, run, instance, rate_seconds)

    def _answer(self, key: object, parts: list[tuple[str, str, Known]]) -> Answer:
        """The same object as long as nothing it stands on has changed."""
        known = tuple(part[2] for part in parts)
        same = tuple(map(id, known))
        with self._guard:
            kept = self._answers.get(key)
            if kept is not None and kept[0] == same:
                self._answers.move_to_end(key)
                return kept[2]
        answer = frames.answer(parts)
        with self._guard:
            self._answers[key] = (same, known, answer)  # `known` is held so that its id stays its own
            while len(self._answers) > _ANSWERS_KEPT:
                self._answers.popitem(last=False)
        return answer

    def _instant(self, promql: str) -> Looked[tuple[tuple[Sample, ...], tuple[str, ...]]]:
        def fetch() -> tuple[tuple[Sample, ...], tuple[str, ...]]:
            vector = self._source.ask(lambda prometheus: prometheus.instant(promql, self.now()))
            return vector.samples, vector.warnings + vector.infos

        return self._instants.get(promql, fetch, self.counters.hit)

    def _pairs(self, promql: str) -> list[tuple[dict[str, str], float]]:
        looked = self._instant(promql)
        return [(sample.labels, sample.value) for sample in (looked.value or ((), ()))[0]]

    def _run(self, run_id: str, window: Window) -> Run:
        for run in self.runs(window).runs:
            if run.run_id == run_id:
                return run
        return Run(run_id, run_id)

    def _list_runs(self, window: Window) -> RunList:
        unavailable: list[Unavailable] = []
        seen: dict[str, Run] = {}
        written: dict[str, Run] = {}
        now, scrape = self.now(), self._scrapes.seconds()
        if self.prometheus is not None:
            steps = grid(window, now, scrape)
            names = "|".join(map(str, run_list.METRICS))
            back = query.duration(max(steps.step, 2 * scrape))  # a run shorter than a step is seen too
            question = Question(f'last_over_time({{__name__=~"{names}"}}[{back}])', steps, window.live)
            known = self._ranges.look([question])[question]
            if known.unavailable is not None:
                unavailable.append(known.unavailable)
            matrix = Matrix(known.labels, known.times, known.values)
            seen = run_list.from_matrix(matrix, now, max(steps.step, 3 * scrape) + steps.step)
        if self._runs is not None:
            try:
                for record in self._runs.runs():
                    written[record.run_id] = self._with_numbers(run_list.from_record(record, now, 3 * scrape))
            except Unavailable as why:
                unavailable.append(why)
        return RunList(run_list.united(seen, written), tuple(unavailable))

    def _with_numbers(self, run: Run) -> Run:
        """A run from the directory with how far it came, which only its generations tell."""
        assert self._runs is not None  # noqa: S101  # only called where there is a directory
        try:
            columns = self._runs.generations(run.run_id).columns
        except Unavailable as why:
            return replace(run, reason=f"{run.reason} {why.reason}".strip())
        counted, best = columns.get("generation"), columns.get("best_fitness")
        return replace(
            run,
            generations=int(counted.max()) if counted is not None and len(counted) else None,
            best_fitness=float(np.nanmax(best)) if best is not None and not np.isnan(best).all() else None,
        )
