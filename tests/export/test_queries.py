"""Every query of the catalogue is PromQL and reads only what something declares: a misspelt name is no error to Prometheus."""

import pytest

from dashboard import catalogue
from dashboard.alerts import promql
from dashboard.catalogue.monitoring import FOREIGN
from dashboard.export.rules import expression
from dashboard.settings import Settings

SUFFIXES = {"gauge": ("",), "counter": ("",), "histogram": ("_bucket", "_sum", "_count")}
DECLARED = {
    *(metric.name + suffix for metric in catalogue.METRICS for suffix in SUFFIXES[metric.kind]),
    *(rule.name for rule in catalogue.RECORDINGS),
    *FOREIGN,
}
PANELS = (*catalogue.PANELS, *(curves.panel() for curves in catalogue.CURVES))
QUERIES = {
    **{
        f"{panel.key}: {series.legend}": series.promql.replace("$rate", "5m")
        for panel in PANELS
        for series in panel.series
    },
    **{rule.name: rule.promql for rule in catalogue.RECORDINGS},
    **{
        f"{alert.name} {dict(alert.labels)}": expression(alert, Settings())
        for alert in catalogue.ALERTS
    },
}  # fmt: skip


@pytest.mark.parametrize("title", QUERIES)
def test_every_query_reads_declared_metrics(title: str):
    assert promql.names(QUERIES[title]) <= DECLARED


def test_a_misspelt_name_would_be_seen():
    assert not promql.names("rate(inference_latency_second_bucket[5m])") <= DECLARED


@pytest.mark.parametrize("metric", catalogue.METRICS, ids=str)
def test_a_unit_s_suffix_ends_the_name_of_what_is_added(metric):
    """The guide's own names stay as they are; ours say their unit."""
    if not metric.guide:
        assert metric.name.endswith(metric.unit.suffix)


def test_a_recording_stands_only_on_earlier_ones():
    """Prometheus evaluates a group in order: a later one would be an interval old."""
    known: set[str] = set()
    ours = {rule.name for rule in catalogue.RECORDINGS}
    for rule in catalogue.RECORDINGS:
        assert promql.names(rule.promql) & ours <= known
        known.add(rule.name)
