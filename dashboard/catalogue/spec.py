"""The forms a definition is written in: metric, series, panel, curves, recording, alert.

Data only. PromQL stays PromQL; metric names in it are interpolated from `Metric` constants, and three
holes are filled later by the feed (or left to Grafana): `$run` and `$instance`, which stand inside a
double-quoted regular expression, and `$rate`, a range that is never under four scrapes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from dashboard.catalogue.units import Unit

Kind = Literal["gauge", "counter", "histogram"]
Severity = Literal["critical", "warning", "none"]
Chart = Literal["lines", "steps", "stat", "bars", "heatmap"]

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_KEY = re.compile(r"[a-z][a-z0-9-]*")
_DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")


@dataclass(frozen=True, slots=True)
class Metric:
    """A declared family of time series. `str(metric)` is its name, so it can stand in an f-string of PromQL."""

    name: str
    kind: Kind
    unit: Unit
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    guide: bool = False  # named by the monitoring guide: the name stays letter for letter
    reason: str = ""  # why it was added; needed where `guide` is false

    def __post_init__(self) -> None:
        """Refuse a definition that Prometheus or a reader would stumble over."""
        if not _METRIC_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a Prometheus metric name")
        if self.kind == "counter" and not self.name.endswith("_total"):
            raise ValueError(f"{self.name}: a counter's name ends in _total")
        if not self.guide and not self.reason:
            raise ValueError(f"{self.name}: an addition to the guide needs a reason")

    def __str__(self) -> str:
        return self.name

    def part(self, value: str) -> str:
        """The column of a frame that holds the series with this value of the metric's last label."""
        return f"{self.name}{{{value}}}"

    def parts(self, columns: Iterable[str]) -> dict[str, str]:
        """Values of the last label → those of these columns that hold them, in order."""
        head = f"{self.name}{{"
        return {column[len(head) : -1]: column for column in columns if column.startswith(head)}


@dataclass(frozen=True, slots=True)
class Series:
    """One query of a panel. `{label}` in the legend is filled from each series' labels."""

    legend: str
    promql: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure over clock time and what it means. `key` is its name in URLs, downloads and tests."""

    key: str
    title: str
    why: str  # what to read out of it: one or two sentences
    unit: Unit
    series: tuple[Series, ...]
    chart: Chart = "lines"
    thresholds: tuple[tuple[float, str], ...] = ()  # (value, what it means)
    empty: str = ""  # what an empty answer means, in words
    floor_zero: bool = False  # the axis starts at 0: shares, counts, bytes
    exemplars: bool = False  # requests of this histogram carry trace ids, drawn as dots that open the trace

    def __post_init__(self) -> None:
        """Refuse a panel nobody could link to."""
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is not a panel key (a-z, 0-9, -)")
        if not self.series:
            raise ValueError(f"panel {self.key}: no series")


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric drawn against the evolution axis. It exists once a run, so it needs no PromQL of its own."""

    metric: Metric
    legend: str
    style: Literal["line", "dots", "faint", "best-so-far"] = "line"


@dataclass(frozen=True, slots=True)
class Curves:
    """One figure on the generation axis (or elapsed, or clock time)."""

    key: str
    title: str
    why: str
    unit: Unit
    curves: tuple[Curve, ...]
    band: tuple[Metric, Metric] | None = None  # lower and upper edge of the population's band
    empty: str = ""
    parts: Metric | None = (
        None  # what the first curve consists of, by this metric's own label; drawn as layers
    )

    def panel(self) -> Panel:
        """The same over clock time, for Grafana and for windows without a run."""
        told = [(curve.legend, curve.metric) for curve in self.curves]
        if self.parts is not None:
            told.append((f"{{{self.parts.labels[-1]}}}", self.parts))
        series = tuple(Series(legend, f'{metric}{{run_id=~"$run"}}') for legend, metric in told)
        return Panel(
            key=self.key, title=self.title, why=self.why, unit=self.unit, series=series, empty=self.empty
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule: a name of ours for an expression that others stand on."""

    name: str
    promql: str
    help: str
    group: str = "moe.recording"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule. Its runbook is the page of the same name; a test keeps the two in step."""

    name: str
    when: str  # PromQL
    lasting: str  # "5m"; "0s" fires at once
    severity: Severity
    component: str
    summary: str  # Prometheus annotation template
    description: str
    page: str  # where in the dashboard to look, a path with query: "/evolution?run={{ $labels.run_id | urlquery }}"
    labels: tuple[tuple[str, str], ...] = field(
        default=()
    )  # further rule labels, e.g. the window of a burn rate
    group: str = ""  # rule group; empty: "<component>.rules"

    def __post_init__(self) -> None:
        """Refuse an alert without words or with a duration Prometheus cannot read."""
        if not _DURATION.fullmatch(self.lasting):
            raise ValueError(f"{self.name}: lasting={self.lasting!r} is not a Prometheus duration")
        if not (self.summary and self.description):
            raise ValueError(f"{self.name}: an alert needs a summary and a description")
