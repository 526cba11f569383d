"""Everything the observer exports, behind one lock: a scrape sees a generation whole or not at all.

One custom collector over the catalogue. Families are replaced, never changed in place, so that a scrape holds the
lock only while it takes references. Knows no run, no file and no loop; a value that was never said does not exist.
"""

import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.core import Metric as PrometheusFamily
from prometheus_client.registry import CollectorRegistry, DuplicateTimeseries
from prometheus_client.samples import Exemplar, Sample

from dashboard.catalogue.spec import Metric
from dashboard.observer.values import LabelValues

Samples = Mapping[LabelValues, float]
Live = Callable[
    [], Mapping[Metric, Samples]
]  # asked at each scrape; label values in the order of metric.labels


class Histogram:
    """Counts per bucket and their sum. Not safe by itself: guarded by the instruments' lock."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last is +Inf
        self.exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)  # the newest of each bucket
        self.sum = 0.0

    def observe(self, value: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Count one observation; a bound belongs to its own bucket, as `le` says."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if exemplar:
            self.exemplars[bucket] = Exemplar(dict(exemplar), value, time.time())

    def cumulative(self) -> "list[tuple[str, int] | tuple[str, int, Exemplar]]":
        """(le, observations up to it, and the bucket's own newest exemplar where it has one), as Prometheus wants them."""
        rows: list[tuple[str, int] | tuple[str, int, Exemplar]] = []
        total = 0
        bounds = (*map(float, self.bounds), math.inf)
        for bound, count, exemplar in zip(bounds, self.counts, self.exemplars, strict=True):
            total += count
            le = "+Inf" if math.isinf(bound) else repr(bound)
            rows.append((le, total) if exemplar is None else (le, total, exemplar))
        return rows


class Instruments:
    """A collector for `prometheus_client` registries.

    Args:
        metrics: what may be exported. Where the registry already has one of them, the registry's own stays.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._lock = threading.Lock()
        self._metrics = {metric.name: metric for metric in metrics}
        self._gauges: dict[str, Samples] = {}  # gauges, and counters whose total was said
        self._counted: dict[str, dict[LabelValues, float]] = {}  # counters counted here
        self._histograms: dict[str, Histogram] = {}
        self._live: list[Live] = []

    def register(self, registry: CollectorRegistry) -> tuple[str, ...]:
        """Join a registry; returns the names left to collectors that were there before."""
        try:
            registry.register(self)
        except DuplicateTimeseries as clash:
            taken = tuple(name for name in self._metrics if _names(self._metrics[name]) & clash.duplicates)
            for name in taken:
                del self._metrics[name]
            registry.register(self)
            return taken
        return ()

    def publish(self, changes: Mapping[Metric, Samples]) -> None:
        """Replace whole families at once. Keys hold one text per label of the metric; an empty family vanishes."""
        with self._lock:
            for metric, samples in changes.items():
                if samples:
                    self._gauges[metric.name] = samples
                else:
                    self._gauges.pop(metric.name, None)

    def published(self, metric: Metric) -> Samples:
        """What a scrape would find now for a gauge or a said total."""
        return self._gauges.get(metric.name, {})

    def count(self, metric: Metric, labels: LabelValues, by: float = 1.0) -> None:
        """Add to a counter of ours."""
        with self._lock:
            family = self._counted.setdefault(metric.name, {})
            family[labels] = family.get(labels, 0.0) + by

    def observe(
        self, metric: Metric, values: Iterable[float], exemplar: Mapping[str, str] | None = None
    ) -> None:
        """Add observations to a histogram. `exemplar` is their trace; it goes out in the OpenMetrics format alone."""
        with self._lock:
            histogram = self._histograms.setdefault(metric.name, Histogram(metric.buckets))
            for value in values:
                histogram.observe(value, exemplar)

    def ask_at_scrape(self, live: Live) -> None:
        """Add a source of values that are measured when asked for."""
        self._live.append(live)

    def describe(self) -> Iterator[PrometheusFamily]:
        """Every name this collector may export, so that a registry can refuse a second owner."""
        for metric in self._metrics.values():
            yield _family(metric)

    def collect(self) -> Iterator[PrometheusFamily]:
        """What is known now, in catalogue order."""
        live: dict[str, Samples] = {}
        for ask in self._live:
            live.update({metric.name: samples for metric, samples in ask().items() if samples})
        with self._lock:
            plain: dict[str, Samples] = {**self._gauges, **live}
            for name, counted in self._counted.items():
                plain[name] = {**plain.get(name, {}), **counted}
            histograms = {name: (one.cumulative(), one.sum) for name, one in self._histograms.items()}
        for name, metric in self._metrics.items():
            if name in histograms:
                yield HistogramMetricFamily(
                    name, metric.help, buckets=histograms[name][0], sum_value=histograms[name][1]
                )
            elif name in plain:
                found = _family(metric)
                found.samples = [
                    Sample(name, _labels(metric, values), value) for values, value in plain[name].items()
                ]
                yield found


def _family(metric: Metric) -> PrometheusFamily:
    return PrometheusFamily(metric.name.removesuffix("_total"), metric.help, metric.kind)


def _labels(metric: Metric, values: LabelValues) -> dict[str, str]:
    """Label set of one sample: the declared labels, then `name=value` texts (the configuration on `evolution_run_info`)."""
    labels = {label: value for label, value in zip(metric.labels, values, strict=False) if value}
    for pair in values[len(metric.labels) :]:
        name, _, value = pair.partition("=")
        labels[name] = value
    return labels


def _names(metric: Metric) -> set[str]:
    if metric.kind == "histogram":
        return {metric.name, *(metric.name + end for end in ("_bucket", "_sum", "_count"))}
    return {metric.name, metric.name.removesuffix("_total")}
