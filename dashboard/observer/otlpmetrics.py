"""To an OpenTelemetry collector: what a scrape would find, as OTLP metrics over HTTP.

Gauges as they are, without NaN and infinities; counters as monotonic sums and histograms with their buckets, both
cumulative since the process began, or, where OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE says delta, what was
gained since the last request that was taken. A run's series come under a resource with its `run_id`, which they keep as
an attribute too, so that names and labels are those of a scrape; what belongs to the process alone has none.

Needs the extra `otel`. Names carry their units, so that a unit is not said again: a Prometheus behind the collector
would append it. Knows no run beyond its id; sending is a `WayOut`.
"""

import logging
import math
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from dashboard.observer import otlp
from dashboard.observer.instruments import Instruments

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint as Buckets
    from opentelemetry.sdk.metrics.export import Metric, MetricsData, NumberDataPoint

NAME = "the metrics collector"
EVERY_SECONDS = 15.0  # unless OTEL_METRIC_EXPORT_INTERVAL says otherwise

_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_UNKNOWN: Any = None  # which the wire format can say and the SDK's types cannot
_OVERHEARD = otlp.Overheard(NAME)

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]  # a series
Total = tuple[float, ...]  # of a counter its value; of a histogram its sum, then a count for each bucket


def asked(wanted: bool | None) -> bool:  # noqa: FBT001  the loop's own word, None where it said nothing
    """Whether metrics are wanted: by the loop's word, else by the environment.

    OTEL_EXPORTER_OTLP_ENDPOINT alone asks for spans: many a trace store takes nothing else, and what is scraped as
    well would be there twice. Metrics go there too where OTEL_METRICS_EXPORTER says otlp.
    """
    if wanted is not None:
        return wanted
    named = "otlp" in os.environ.get("OTEL_METRICS_EXPORTER", "").split(",")
    return bool(os.environ.get(_ENDPOINT)) or (named and bool(os.environ.get(otlp.ENDPOINT)))


def every_seconds() -> float:
    """How often is sent; OTEL_METRIC_EXPORT_INTERVAL is in milliseconds.

    Raises:
        ValueError: it is no number above 0.
    """
    said = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL")
    if not said:
        return EVERY_SECONDS
    milliseconds = float(said)
    if not milliseconds > 0:
        raise ValueError(f"OTEL_METRIC_EXPORT_INTERVAL is {said}, not a number of milliseconds above 0")
    return milliseconds / 1000


class OtlpMetrics:
    """Sends what a scrape would find to where the OTEL_* environment variables say.

    Raises:
        ImportError: the extra `otel` is not installed.
    """

    def __init__(self, instruments: Instruments) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http import metric_exporter
        except ImportError as why:
            raise ImportError(f"install moe-router-dashboard[otel] ({why})") from why
        self._instruments = instruments
        self._exporter: Any = metric_exporter.OTLPMetricExporter(timeout=otlp.timeout_seconds("METRICS"))
        logging.getLogger(metric_exporter.__name__).addFilter(_OVERHEARD)  # the same filter is added once
        self._said = {"service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
        self._delta = os.environ.get(_TEMPORALITY, "").lower() in {"delta", "lowmemory"}
        self._began: dict[Key, int] = {}  # when a cumulative series began to count
        self._totals: dict[Key, Total] = {}  # as the collector knows them
        self._since = time.time_ns()  # when counting began; with deltas, when the last request was taken

    def send(self) -> None:
        """Send everything once. What was gained and not taken is in the next request.

        Raises:
            ConnectionError: the collector did not take it.
        """
        from opentelemetry.sdk.metrics.export import MetricExportResult

        now = time.time_ns()
        totals: dict[Key, Total] = {}
        data = self._data(now, totals)
        if not data.resource_metrics:
            return
        if self._exporter.export(data) is not MetricExportResult.SUCCESS:
            raise ConnectionError(_OVERHEARD.taken())
        self._totals = totals
        if self._delta:
            self._since = now

    def stop(self) -> None:
        """Give up what is being sent."""
        self._exporter.shutdown()

    def _data(self, now: int, totals: dict[Key, Total]) -> "MetricsData":
        from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        scope = InstrumentationScope("dashboard.observer")
        runs: dict[str, list[Metric]] = {}
        for family in self._instruments.collect():
            for run_id, samples in _by_run(family.samples).items():
                metric = self._metric(family, samples, now, totals)
                if metric is not None:
                    runs.setdefault(run_id, []).append(metric)
        return MetricsData(
            [
                ResourceMetrics(
                    otlp.resource(self._said | ({"run_id": run_id} if run_id else {})),
                    [ScopeMetrics(scope, metrics, "")],
                    "",
                )
                for run_id, metrics in runs.items()
            ]
        )

    def _metric(
        self, family: Family, samples: Sequence[Sample], now: int, totals: dict[Key, Total]
    ) -> "Metric | None":
        from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, Metric, Sum

        way = AggregationTemporality.DELTA if self._delta else AggregationTemporality.CUMULATIVE
        data: Gauge | Histogram | Sum
        if family.type == "histogram":
            data = Histogram(list(self._histograms(family.name, samples, now, totals)), way)
        elif family.type == "counter":
            data = Sum(list(self._sums(samples, now, totals)), way, is_monotonic=True)
        else:
            data = Gauge(list(_gauges(samples, now)))
        return Metric(family.name, family.documentation, "", data) if data.data_points else None

    def _sums(
        self, samples: Iterable[Sample], now: int, totals: dict[Key, Total]
    ) -> "Iterator[NumberDataPoint]":
        from opentelemetry.sdk.metrics.export import NumberDataPoint

        for sample in samples:
            if not math.isfinite(sample.value):
                continue
            (value,), start = self._told(
                (sample.name, _sorted(sample.labels)), (float(sample.value),), now, totals
            )
            if value or not self._delta:
                yield NumberDataPoint(sample.labels, start, now, value)

    def _histograms(
        self, name: str, samples: Iterable[Sample], now: int, totals: dict[Key, Total]
    ) -> "Iterator[Buckets]":
        from opentelemetry.sdk.metrics.export import HistogramDataPoint

        series: dict[Labels, list[Sample]] = {}
        for sample in samples:
            own = {label: value for label, value in sample.labels.items() if label != "le"}
            series.setdefault(_sorted(own), []).append(sample)
        for labels, parts in series.items():
            buckets = sorted(
                (part for part in parts if part.name.endswith("_bucket")),
                key=lambda part: float(part.labels["le"]),
            )
            [total] = [part.value for part in parts if part.name.endswith("_sum")]
            upto = [part.value for part in buckets]
            counts = [here - before for here, before in zip(upto, [0.0, *upto], strict=False)]
            (gained, *each), start = self._told((name, labels), (total, *counts), now, totals)
            if not any(each) and self._delta:
                continue
            yield HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=start,
                time_unix_nano=now,
                count=round(sum(each)),
                sum=gained,
                bucket_counts=[round(count) for count in each],
                explicit_bounds=[float(part.labels["le"]) for part in buckets[:-1]],  # the last is +Inf
                min=_UNKNOWN,
                max=_UNKNOWN,
                exemplars=[_exemplar(part) for part in buckets if _is_new(part, start)],
            )

    def _told(self, key: Key, total: Total, now: int, totals: dict[Key, Total]) -> tuple[Total, int]:
        """What to say of a total, and since when it counts; a total that shrank began again in the meantime."""
        known = self._totals.get(key)
        again = known is not None and any(here < before for here, before in zip(total, known, strict=True))
        totals[key] = total
        if self._delta:
            if known is None or again:
                return total, self._since
            return tuple(here - before for here, before in zip(total, known, strict=True)), self._since
        if again:
            self._began[key] = now - 1  # not before what the collector was told last
        return total, self._began.setdefault(key, self._since)


def _by_run(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.labels.get("run_id", ""), []).append(sample)
    return found


def _gauges(samples: Iterable[Sample], now: int) -> "Iterator[NumberDataPoint]":
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    for sample in samples:
        if math.isfinite(sample.value):
            yield NumberDataPoint(sample.labels, now, now, float(sample.value))


def _sorted(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _is_new(bucket: Sample, since: int) -> bool:
    return bucket.exemplar is not None and float(bucket.exemplar.timestamp or 0.0) * 1e9 >= since


def _exemplar(bucket: Sample) -> Any:
    from opentelemetry.sdk.metrics import Exemplar

    assert bucket.exemplar is not None  # noqa: S101  `_is_new` looked
    ids = bucket.exemplar.labels
    return Exemplar(
        {name: value for name, value in ids.items() if name not in {"trace_id", "span_id"}},
        float(bucket.exemplar.value),
        round(float(bucket.exemplar.timestamp or 0.0) * 1e9),
        int(ids["span_id"], 16) if "span_id" in ids else None,
        int(ids["trace_id"], 16) if "trace_id" in ids else None,
    )
