"""Which of the catalogue's metrics there are: present, gone since when, never seen; with what labels, from which scrape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.catalogue.spec import Metric
from dashboard.feed import query
from dashboard.feed.scrapes import Scrapes
from dashboard.feed.source import Source

State = Literal["present", "gone", "never", "unknown"]
_PARTS = ("_bucket", "_sum", "_count")
_BACK_SECONDS = 30 * 86_400.0
_LABELS_IN_ONE = (
    5_000  # series whose label sets are read one by one; larger metrics are counted label by label
)
_LOOKBACK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Availability:
    """One catalogue metric in Prometheus.

    `series` is its cardinality, `labels` the number of values of each label, `jobs` the scrapes that bring it. Of a
    metric that is gone, `last_seen` is the unix time of its last sample. `stand_in` is the alias its queries use
    now. `note` is what a reader should know: a type that differs from the catalogue's, or several types at once.
    """

    metric: Metric
    state: State
    series: int = 0
    jobs: tuple[str, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    last_seen: float | None = None
    stand_in: str | None = None
    note: str = ""
    unavailable: Unavailable | None = None


def availability(source: Source, scrapes: Scrapes, metrics: Sequence[Metric]) -> tuple[Availability, ...]:
    """Look at every metric.

    Raises:
        Unavailable: Prometheus cannot be asked at all.
    """
    names = [name for metric in metrics for name in _names(metric)]
    selector = f'{{__name__=~"{"|".join(names)}"}}'
    now = source.now()
    counted = source.ask(lambda prometheus: prometheus.instant(f"count by (__name__, job) ({selector})", now))
    series: dict[str, dict[str, int]] = {}
    for sample in counted.samples:
        by_job = series.setdefault(sample.labels.get("__name__", ""), {})
        by_job[sample.labels.get("job", "")] = int(sample.value)
    labels = _labels(source, {name: sum(by_job.values()) for name, by_job in series.items()}, now)
    types = source.ask(lambda prometheus: prometheus.metadata())
    absent = [name for name in names if name not in series]
    last = _last_seen(source, absent, now) if absent else {}
    found = []
    for metric in metrics:
        there = [name for name in _names(metric) if name in series]
        stand_in = scrapes.absent(metric.name).get(metric.name)
        if there:
            first = there[0]
            found.append(
                Availability(
                    metric,
                    "present",
                    sum(series[first].values()),
                    tuple(sorted(series[first])),
                    labels.get(first, {}),
                    note=_type_note(metric, types.get(metric.name) or types.get(_family(metric.name)) or []),
                )
            )
            continue
        seen = [last[name] for name in _names(metric) if name in last]
        state: State = "gone" if seen else "never"
        found.append(Availability(metric, state, last_seen=max(seen) if seen else None, stand_in=stand_in))
    return tuple(found)


def unknown(metrics: Sequence[Metric], why: Unavailable) -> tuple[Availability, ...]:
    """What is known when Prometheus cannot be asked: nothing, and why."""
    return tuple(Availability(metric, "unknown", unavailable=why) for metric in metrics)


def _names(metric: Metric) -> list[str]:
    """The series names a metric may have; a histogram's buckets stand for its cardinality."""
    parts = [f"{metric.name}{part}" for part in _PARTS] if metric.kind == "histogram" else []
    return [*parts, metric.name]


def _family(name: str) -> str:
    """What a target calls the family of a counter in its metadata."""
    return name.removesuffix("_total")


def _labels(source: Source, sizes: Mapping[str, int], now: float) -> dict[str, dict[str, int]]:
    values: dict[str, dict[str, set[str]]] = {}
    small = [name for name, size in sizes.items() if size <= _LABELS_IN_ONE]
    start = now - _LOOKBACK_SECONDS
    if small:
        selector = f'{{__name__=~"{"|".join(small)}"}}'
        for labels in source.ask(lambda prometheus: prometheus.series([selector], start, now)):
            known = values.setdefault(labels.get("__name__", ""), {})
            for label, value in labels.items():
                if label != "__name__":
                    known.setdefault(label, set()).add(value)
    counts = {name: {label: len(held) for label, held in known.items()} for name, known in values.items()}

    def counted(prometheus: Prometheus, name: str) -> dict[str, int]:
        names = [label for label in prometheus.label_names([name], start, now) if label != "__name__"]
        return {label: len(prometheus.label_values(label, [name], start, now)) for label in names}

    for name in sizes.keys() - set(small):
        counts[name] = source.ask(lambda prometheus, name=name: counted(prometheus, name))  # type: ignore[misc]  # bound now
    return counts


def _last_seen(source: Source, names: Sequence[str], now: float) -> dict[str, float]:
    """Unix time of the last sample of each name that had one in the last 30 days."""
    selector = f'{{__name__=~"{"|".join(names)}"}}'
    before = source.ask(
        lambda prometheus: prometheus.label_values("__name__", [selector], now - _BACK_SECONDS, now)
    )
    if not before:
        return {}
    step = 7200
    end = now // step * step + step
    promql = (
        f'count by (__name__) (last_over_time({{__name__=~"{"|".join(before)}"}}[{query.duration(step)}]))'
    )
    coarse = source.ask(lambda prometheus: prometheus.range(promql, end - _BACK_SECONDS, end, step))
    last: dict[str, float] = {}
    for labels, counts in zip(coarse.labels, coarse.values, strict=True):
        name, columns = labels.get("__name__", ""), (counts == counts).nonzero()[0]
        if len(columns):
            until = float(coarse.times[columns[-1]])
            exact = source.ask(lambda prometheus, name=name, until=until: prometheus.raw(name, step, until))  # type: ignore[misc]  # bound now
            last[name] = max((float(one.times[-1]) for one in exact if len(one.times)), default=until)
    return last


def _type_note(metric: Metric, said: Sequence[Mapping[str, str]]) -> str:
    kinds = sorted({item.get("type", "") for item in said} - {"", "unknown"})
    if len(kinds) > 1:
        return f"Targets disagree on its type: {' and '.join(kinds)}."
    if kinds and kinds[0] != metric.kind:
        return f"It is a {kinds[0]} here; the catalogue declares a {metric.kind}."
    return ""
