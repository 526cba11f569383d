"""Metrics by OTLP, as a real receiver decodes them: the same numbers as a scrape's, as totals or as what was gained."""

import math
import socket
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from dashboard.catalogue import evolution, inference
from dashboard.observer import Observer
from dashboard.observer.instruments import Instruments
from dashboard.observer.otlpmetrics import OtlpMetrics
from tests import services
from tests.services import wait_until

DELTA, CUMULATIVE = 1, 2  # AggregationTemporality of opentelemetry/proto/metrics/v1/metrics.proto


class Receiver:
    """What came in, decoded; `refusing` answers 400 instead."""

    def __init__(self) -> None:
        self.url = ""
        self.refusing = False
        self.paths: list[str] = []
        self.requests: list[ExportMetricsServiceRequest] = []

    def points(self, name: str, request: int | None = None) -> list[dict[str, Any]]:
        """Points of a metric, of one request or of all, with their labels and those of their resource."""
        chosen = self.requests if request is None else [self.requests[request]]
        return [
            {
                "resource": _attributes(group.resource.attributes),
                "labels": _attributes(point.attributes),
                "kind": metric.WhichOneof("data"),
                "temporality": getattr(getattr(metric, metric.WhichOneof("data")), "aggregation_temporality", None),
                "monotonic": getattr(getattr(metric, metric.WhichOneof("data")), "is_monotonic", None),
                "start": point.start_time_unix_nano,
                "time": point.time_unix_nano,
                "point": point,
            }
            for one in chosen
            for group in one.resource_metrics
            for scope in group.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]  # fmt: skip


def _attributes(pairs: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """An OTLP/HTTP receiver; the environment points metrics at it."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportMetricsServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            received.paths.append(self.path)
            if not received.refusing:
                received.requests.append(request)
            self.send_response(400 if received.refusing else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with services.http_server(Handler) as url:
        received.url = url
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{url}/v1/metrics")
        yield received


def test_a_collector_gets_what_a_scrape_finds(receiver, look):
    observer = Observer(port=0)
    with observer.run() as run:
        observer.log(
            {"fitness_best": 0.95, "utilization_ratio": {0: 0.25, 1: 0.75}, "evaluations_total": 24}, step=7
        )
        with observer.inference(batch_size=32):
            pass
        scraped = look(observer)
    observer.close()
    assert set(receiver.paths) == {"/v1/metrics"}
    [best] = receiver.points("evolution_fitness_best", -1)
    assert (best["kind"], best["point"].as_double) == ("gauge", scraped.value("evolution_fitness_best"))
    assert best["labels"] == {"run_id": run.run_id}
    assert best["resource"]["run_id"] == run.run_id
    assert best["resource"]["service.name"] == "moe-router"
    assert best["resource"]["service.instance.id"]
    shares = {
        point["labels"]["expert_id"]: point["point"].as_double
        for point in receiver.points("expert_utilization_ratio", -1)
    }
    assert shares == {"0": 0.25, "1": 0.75} == scraped.all("expert_utilization_ratio", "expert_id")
    [counted] = receiver.points("evolution_evaluations", -1)
    assert (counted["kind"], counted["monotonic"], counted["point"].as_double) == ("sum", True, 24)
    [batch] = receiver.points("inference_batch_size", -1)
    assert (batch["point"].count, batch["point"].sum, "run_id" in batch["resource"]) == (1, 32, False)
    assert tuple(batch["point"].explicit_bounds) == inference.BATCH_SIZE.buckets
    assert not batch["point"].HasField("min"), "nobody knows it, so nobody says it"


def test_the_end_of_a_run_is_there_before_the_run_is_left(receiver):
    observer = Observer()
    with observer.run() as run:
        observer.log({"fitness_best": 1}, step=1)
    [active] = receiver.points("evolution_run_active", -1)
    assert (active["labels"]["run_id"], active["point"].as_double) == (run.run_id, 0.0)
    observer.close()


def test_each_run_has_a_resource_of_its_own(receiver):
    observer = Observer()
    runs = []
    for best in (0.5, 0.7):
        with observer.run() as run:
            observer.log({"fitness_best": best}, step=1)
        runs.append(run.run_id)
    observer.close()
    active = receiver.points("evolution_run_active", -1)
    assert {point["resource"]["run_id"] for point in active} == set(runs)
    assert all(point["resource"]["run_id"] == point["labels"]["run_id"] for point in active)


def test_what_is_not_a_number_does_not_go_out(receiver):
    observer = Observer()
    with observer.run():
        observer.log({"fitness_best": math.nan, "fitness_average": math.inf, "loss": None}, step=1)
        observer.log({"diversity_score": 0.5}, step=2)
    observer.close()
    assert receiver.points("evolution_diversity_score")
    assert not receiver.points("evolution_fitness_best")
    assert not receiver.points("evolution_fitness_average")
    assert not receiver.points("training_loss")
    instruments = Instruments([evolution.BEST, evolution.EVALUATIONS])
    for value in (math.nan, math.inf, -math.inf):
        instruments.publish({evolution.BEST: {("r",): value}, evolution.EVALUATIONS: {("r",): value}})
        before = len(receiver.requests)
        OtlpMetrics(instruments).send()
        assert len(receiver.requests) == before, "nothing left to say is no request"


def said(instruments: Instruments, total: float, latencies: tuple[float, ...] = ()) -> None:
    instruments.publish({evolution.EVALUATIONS: {("r",): total}})
    instruments.observe(inference.LATENCY, latencies)


def test_totals_count_from_one_start_until_they_begin_again(receiver):
    instruments = Instruments([evolution.EVALUATIONS, inference.LATENCY])
    out = OtlpMetrics(instruments)
    for total, latencies in ((10, (0.02, 0.3)), (10, ()), (15, (9.0,)), (3, ())):
        said(instruments, total, latencies)
        out.send()
    sums = receiver.points("evolution_evaluations")
    assert [point["point"].as_double for point in sums] == [10, 10, 15, 3]
    assert {point["temporality"] for point in sums} == {CUMULATIVE}
    assert len({point["start"] for point in sums[:3]}) == 1
    assert sums[2]["time"] < sums[3]["start"] < sums[3]["time"], "the counter began again"
    histograms = receiver.points("inference_latency_seconds")
    assert [point["point"].count for point in histograms] == [2, 2, 3, 3]
    assert len({point["start"] for point in histograms}) == 1
    last = histograms[-1]["point"]
    assert sum(last.bucket_counts) == last.count
    assert len(last.bucket_counts) == len(last.explicit_bounds) + 1
    assert last.bucket_counts[-1] == 1, "9 s is above the last bound"
    assert last.sum == pytest.approx(9.32)


def test_deltas_are_what_was_gained_and_a_refused_request_loses_none_of_it(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    instruments = Instruments([evolution.EVALUATIONS, inference.LATENCY, evolution.BEST])
    out = OtlpMetrics(instruments)
    instruments.publish({evolution.BEST: {("r",): 0.5}})
    said(instruments, 10, (0.02, 0.3))
    out.send()
    out.send()  # nothing new: the gauge alone
    said(instruments, 15, (0.02,))
    receiver.refusing = True
    with pytest.raises(ConnectionError, match="refused"):
        out.send()
    receiver.refusing = False
    said(instruments, 18, (0.02,))
    out.send()
    said(instruments, 4)  # began again
    out.send()
    sums = receiver.points("evolution_evaluations")
    assert [point["point"].as_double for point in sums] == [10, 8, 4]
    assert {point["temporality"] for point in sums} == {DELTA}
    assert sums[1]["start"] < sums[1]["time"] == sums[2]["start"] < sums[2]["time"], "intervals meet"
    histograms = receiver.points("inference_latency_seconds")
    assert [point["point"].count for point in histograms] == [2, 2]
    assert [sum(point["point"].bucket_counts) for point in histograms] == [2, 2]
    assert histograms[1]["point"].sum == pytest.approx(0.04)
    assert len(receiver.points("evolution_fitness_best")) == 4, "a gauge is said each time"


def test_an_exemplar_leads_to_the_trace_of_its_request(receiver):
    instruments = Instruments([inference.LATENCY])
    ids = {"trace_id": "ab" * 16, "span_id": "cd" * 8}
    out = OtlpMetrics(instruments)
    instruments.observe(inference.LATENCY, [0.25], ids)
    out.send()
    [point] = receiver.points("inference_latency_seconds")
    [exemplar] = point["point"].exemplars
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (ids["trace_id"], ids["span_id"])
    assert exemplar.as_double == 0.25
    assert abs(exemplar.time_unix_nano / 1e9 - time.time()) < 60


def test_metrics_go_out_while_the_loop_runs_as_often_as_the_environment_says(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    observer = Observer()
    observer.log({"fitness_best": 1}, step=1)
    wait_until(lambda: len(receiver.requests) >= 3, 10, "three requests")
    observer.close()


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),  # asks for spans: a trace store may stand there
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_METRICS_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_METRICS_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "/v1/metrics"}, True),
    ],
)
def test_metrics_are_sent_to_those_who_asked_for_metrics(receiver, monkeypatch, environment, asked):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    for name, value in environment.items():
        monkeypatch.setenv(name, value if name == "OTEL_METRICS_EXPORTER" else receiver.url + value)
    observer = Observer(tracing=False)
    with observer.run():
        observer.log({"fitness_best": 1}, step=1)
    observer.close()
    assert bool(receiver.requests) is asked


def test_the_loops_own_word_goes_before_the_environment(receiver):
    observer = Observer(otlp_metrics=False)
    with observer.run():
        observer.log({"fitness_best": 1}, step=1)
    observer.close()
    assert receiver.requests == []


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_dead_collector_costs_the_loop_nothing_and_is_said_once(kind, monkeypatch, caplog, look):
    with socket.socket() as collector:  # `silent` takes connections and never answers
        collector.bind(("127.0.0.1", 0))
        if kind == "silent":
            collector.listen()
        url = f"http://127.0.0.1:{collector.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{url}/v1/metrics")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
        observer = Observer(port=0)
        began = time.monotonic()
        for step in range(100):
            observer.log({"fitness_best": 0.5}, step=step)
        logged = time.monotonic() - began
        wait_until(lambda: look(observer).value("observer_failures_total", error_type="ConnectionError"), 15)
        began = time.monotonic()
        observer.close()
        closed = time.monotonic() - began
    assert logged < 1
    assert closed < 3, (
        "half a second for the end of the run and half a second more to stop, on a quiet machine"
    )
    warned = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert len(warned) == 1
    assert warned[0].startswith("The observer could not send to the metrics collector: ConnectionError: ")


def test_without_the_extra_the_loop_goes_on_and_is_told_what_to_install(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    observer = Observer(otlp_metrics=True)
    observer.log({"fitness_best": 1}, step=1)
    observer.close()
    assert "install moe-router-dashboard[otel]" in caplog.text


def test_an_interval_that_is_none_is_said(receiver, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "0")
    Observer().close()
    assert "OTEL_METRIC_EXPORT_INTERVAL is 0" in caplog.text
