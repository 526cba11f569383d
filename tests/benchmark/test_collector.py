"""The last result of each target on /metrics."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dashboard.benchmark.collector import BenchmarkCollector
from dashboard.catalogue.benchmark import METRICS
from tests.benchmark.conftest import FACTORIES, Room


def test_the_newest_finished_run_of_each_target_is_exported(room: Room):
    first = room.start("good")
    room.wait(first)
    room.wait(room.start("raises"))
    second = room.start("good")
    view = room.wait(second)
    registry = CollectorRegistry()
    registry.register(BenchmarkCollector(room.benchmarks))
    samples = {
        (sample.name, sample.labels["benchmark"]): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    target = f"{FACTORIES}:good"
    assert {name for name, _ in samples} == {metric.name for metric in METRICS}
    assert {benchmark for _, benchmark in samples} == {target}  # a failed run has no result to export
    assert samples["benchmark_latency_seconds", target] == view.summary.p50_seconds
    assert view.summary.ended_at is not None
    assert samples["benchmark_last_run_timestamp_seconds", target] == pytest.approx(
        view.summary.ended_at.timestamp(), abs=1e-3
    )


def test_without_any_run_nothing_is_exported(room: Room):
    registry = CollectorRegistry()
    registry.register(BenchmarkCollector(room.benchmarks))
    assert all(not family.samples for family in registry.collect())
