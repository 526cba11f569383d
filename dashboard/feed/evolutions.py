"""One run's evolution, looked up: raw samples from Prometheus, the log from the runs directory, joined on the axis."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from collectors.prometheus import RawSeries
from collectors.runs import Generations, RunsDirectory
from collectors.unavailable import Unavailable
from dashboard.feed import axis, query
from dashboard.feed.answer import Asked
from dashboard.feed.runs import Run
from dashboard.feed.scrapes import Scrapes
from dashboard.feed.source import Source

_MOST_FRAMES = 32  # frames handed out again while no number changed
_MOST_WHOLE = 64  # runs whose whole log is kept as a table
_MOST_BYTES = 128 << 20  # raw samples kept of all runs; what was not looked at for longest goes first


class Evolutions:
    """Evolutions by run. Samples once read are kept; a later look reads what came since, with the settling overlap."""

    def __init__(
        self, source: Source, scrapes: Scrapes, runs: RunsDirectory | None, settle_seconds: float = 60.0
    ) -> None:
        self._source, self._scrapes, self._runs = source, scrapes, runs
        self._settle_seconds = settle_seconds
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, _Samples] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int], pd.DataFrame] = OrderedDict()
        self._whole: OrderedDict[str, tuple[Generations, float | None, axis.Evolution]] = OrderedDict()

    def whole(self, run: Run) -> axis.Evolution:
        """The run as long as it lived, by its log; the same object until a line is added.

        Raises:
            Unavailable: it has none, or it cannot be read.
        """
        if self._runs is None:
            raise Unavailable(
                "No runs directory is configured.",
                advice="Set MOE_DASHBOARD_RUNS_DIR.",
                kind="not-configured",
            )
        log = self._runs.generations(run.run_id)
        with self._guard:
            kept = self._whole.get(run.run_id)
            if kept is not None and kept[0] is log and kept[1] == run.started_at:
                self._whole.move_to_end(run.run_id)
                return replace(kept[2], run=run) if kept[2].run != run else kept[2]
        frame, segments, _ = axis.joined(axis.scraped([]), axis.logged(log), run.started_at)
        said = axis.coverage(frame, 0, log=True, scrape_seconds=None)
        found = axis.Evolution(run, frame, segments, said, looked_at=self._source.clock())
        with self._guard:
            self._whole[run.run_id] = (log, run.started_at, found)
            while len(self._whole) > _MOST_WHOLE:
                self._whole.popitem(last=False)
        return found

    def look(self, run: Run, start: float, end: float) -> axis.Evolution:
        """The run between two unix times."""
        unavailable: list[Unavailable] = []
        asked: tuple[Asked, ...] = ()
        seen, starts, looked_at = axis.scraped([]), list[RawSeries](), None
        if "prometheus" in run.sources or "log" not in run.sources:
            series, starts, looked_at, why, asked = self._scraped(run, start, end)
            seen = axis.scraped(series, starts)
            unavailable += [why] if why is not None else []
        log = None
        if "log" in run.sources and self._runs is not None:
            try:
                ahead = self._source.skew_seconds
                whole = axis.logged(self._runs.generations(run.run_id), starts, ahead_seconds=ahead)
                log = whole[whole["time"].between(start, end)]
                looked_at = looked_at or self._source.clock()
            except Unavailable as why:
                unavailable.append(why)
        frame, segments, disagreements = axis.joined(seen, log, run.started_at)
        frame = self._same((run.run_id, round(end - start)), frame)
        said = axis.coverage(
            frame,
            len(seen) if axis.GENERATION in seen else 0,
            log=log is not None and not log.empty,
            scrape_seconds=self._scrapes.seconds() if self._source.prometheus is not None else None,
        )
        if disagreements:
            said += f" Log and Prometheus disagree on {disagreements} of them."
        return axis.Evolution(run, frame, segments, said, disagreements, tuple(unavailable), looked_at, asked)

    def _same(self, place: tuple[str, int], frame: pd.DataFrame) -> pd.DataFrame:
        """The frame handed out before, as long as no number changed: what was drawn from one object is drawn once."""
        with self._guard:
            before = self._frames.get(place)
        if before is not None and before.equals(frame):
            return before
        with self._guard:
            self._frames[place] = frame
            self._frames.move_to_end(place)
            while len(self._frames) > _MOST_FRAMES:
                self._frames.popitem(last=False)
        return frame

    def _scraped(
        self, run: Run, start: float, end: float
    ) -> tuple[list[RawSeries], list[RawSeries], float | None, Unavailable | None, tuple[Asked, ...]]:
        """Series of the run, start times of its processes, when that was read, why not now, and what was asked."""
        selector = f'{{__name__=~"{"|".join((axis.GENERATION, *axis.NAMES, *axis.PARTS))}",{run.matchers}}}'
        began = time.monotonic()
        series, looked_at, why = self._samples(selector, start, end)
        instances = sorted({one.labels.get("instance", "") for one in series})
        starts: list[RawSeries] = []
        if instances:
            either = "|".join(query.fill("$instance", instance=instance) for instance in instances)
            starts, _, _ = self._samples(f'process_start_time_seconds{{instance=~"{either}"}}', start, end)
        count = sum(len(one.times) for one in series)
        asked = Asked(
            f"{selector}[{query.duration(round(end - start))}]", None, count, time.monotonic() - began
        )
        return series, starts, looked_at, why, (asked,)

    def _samples(
        self, selector: str, start: float, end: float
    ) -> tuple[list[RawSeries], float | None, Unavailable | None]:
        with self._guard:
            samples = self._kept.setdefault(selector, _Samples())
            self._kept.move_to_end(selector)
            while len(self._kept) > 1 and sum(kept.size_bytes for kept in self._kept.values()) > _MOST_BYTES:
                self._kept.popitem(last=False)
        with samples.guard:
            why = None
            cut = samples.read_to - self._settle_seconds
            try:
                if samples.read_from <= start < cut and samples.read_to <= end:
                    if start - samples.read_from > end - start:  # the window has left it behind
                        samples.replace(samples.between(start, end), start, samples.read_to)
                    samples.append(
                        self._source.ask(lambda prometheus: prometheus.raw(selector, end - cut, end)),
                        cut,
                        end,
                    )
                elif not samples.read_from <= start < end <= cut:
                    samples.replace(
                        self._source.ask(lambda prometheus: prometheus.raw(selector, end - start, end)),
                        start,
                        end,
                    )
                samples.looked_at = self._source.clock()
            except Unavailable as failure:
                why = failure
            return samples.between(start, end), samples.looked_at, why


@dataclass(slots=True)
class _Samples:
    """Raw samples of one selector between two times."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    read_from: float = np.inf
    read_to: float = -np.inf
    looked_at: float | None = None
    size_bytes: int = 0
    series: dict[frozenset[tuple[str, str]], RawSeries] = field(default_factory=dict)

    def replace(self, new: list[RawSeries], start: float, end: float) -> None:
        self.series = {frozenset(one.labels.items()): one for one in new}
        self.read_from, self.read_to = start, end
        self._weigh()

    def append(self, new: list[RawSeries], cut: float, end: float) -> None:
        """Take the samples after `cut` from the new look: Prometheus 2 includes a range's left end, Prometheus 3 does not."""
        fresh = {frozenset(one.labels.items()): one for one in new}
        for key in self.series.keys() | fresh.keys():
            old, late = self.series.get(key), fresh.get(key)
            times, values = [], []
            if old is not None:
                kept = old.times <= cut
                times.append(old.times[kept])
                values.append(old.values[kept])
            if late is not None:
                kept = late.times > cut
                times.append(late.times[kept])
                values.append(late.values[kept])
            labels = (late or old).labels  # type: ignore[union-attr]  # one of the two is there
            self.series[key] = RawSeries(labels, np.concatenate(times), np.concatenate(values))
        self.read_to = end
        self._weigh()

    def _weigh(self) -> None:
        self.size_bytes = sum(one.times.nbytes + one.values.nbytes + 400 for one in self.series.values())

    def between(self, start: float, end: float) -> list[RawSeries]:
        found = []
        for one in self.series.values():
            low, high = np.searchsorted(one.times, start), np.searchsorted(one.times, end, side="right")
            if high > low:
                found.append(RawSeries(one.labels, one.times[low:high], one.values[low:high]))
        return found
