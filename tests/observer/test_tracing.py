"""Spans of the loop, as a real OTLP/HTTP receiver decodes them; their ids in log lines and exemplars; collectors that are dead."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dashboard.observer import Observer
from dashboard.observer.otlp import LONGEST_WAIT_SECONDS
from dashboard.ports import free_port
from tests import services
from tests.services import ROOT, wait_until


class Receiver:
    """What came in by OTLP, decoded."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> list[dict[str, object]]:
        return [
            {
                "name": span.name,
                "trace_id": span.trace_id.hex(),
                "span_id": span.span_id.hex(),
                "parent_id": span.parent_span_id.hex(),
                "failed": span.status.code == 2,
                "events": [event.name for event in span.events],
                "start": span.start_time_unix_nano,
                "end": span.end_time_unix_nano,
                "service": _attributes(resource.resource.attributes)["service.name"],
                **_attributes(span.attributes),
            }
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[dict[str, object]]:
        return sorted((span for span in self.spans if span["name"] == name), key=lambda span: span["start"])

    def wait_for(self, count: int) -> list[dict[str, object]]:
        wait_until(lambda: len(self.spans) >= count, 10, f"{count} spans")
        return self.spans


def _attributes(pairs: object) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """An OTLP/HTTP receiver; the environment points at it."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            received.paths.append(self.path)
            received.requests.append(request)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with services.http_server(Handler) as url:
        received.url = url
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        yield received


def evolve(observer: Observer, generations: int = 3) -> Path:
    """A loop as the guide traces it."""
    with observer.run("traced") as run:
        for generation in range(1, generations + 1):
            with observer.span("fitness_evaluation", individuals=8):
                pass
            with observer.span("selection"):
                pass
            with observer.span("reproduction"):
                pass
            observer.log({"fitness_best": generation / 10}, step=generation)
    return run.directory


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_generation_is_a_trace_whose_phases_lie_below_its_step(receiver, tmp_path):
    observer = Observer(runs_dir=tmp_path)
    directory = evolve(observer)
    observer.close()
    assert set(receiver.paths) == {"/v1/traces"}
    steps = receiver.named("evolution_step")
    assert [step["generation"] for step in steps] == [1, 2, 3]
    assert len({step["trace_id"] for step in steps}) == 3
    assert {step["parent_id"] for step in steps} == {""}
    assert {(step["run_id"], step["service"]) for step in steps} == {(directory.name, "moe-router")}
    for step in steps:
        children = sorted(
            (s for s in receiver.spans if s["parent_id"] == step["span_id"]), key=lambda s: s["start"]
        )
        assert [child["name"] for child in children] == ["fitness_evaluation", "selection", "reproduction"]
        assert {child["trace_id"] for child in children} == {step["trace_id"]}
        assert all(step["start"] <= child["start"] <= child["end"] <= step["end"] for child in children)
        assert children[0]["individuals"] == 8
    assert len(receiver.spans) == 12, "a step in which nothing happened is not sent"


def test_a_step_begins_where_the_one_before_ended(receiver, tmp_path):
    observer = Observer(runs_dir=tmp_path)
    evolve(observer)
    observer.close()
    first, second, third = receiver.named("evolution_step")
    assert first["end"] <= second["start"] <= second["end"] <= third["start"]
    assert second["start"] - first["end"] < 50e6


def test_every_generation_line_has_the_ids_of_its_own_step(receiver, tmp_path):
    observer = Observer(runs_dir=tmp_path)
    directory = evolve(observer)
    observer.close()
    sent = {
        step["generation"]: (step["trace_id"], step["span_id"]) for step in receiver.named("evolution_step")
    }
    written = {
        line["generation"]: (line["trace_id"], line["span_id"])
        for line in lines(directory / "generations.jsonl")
    }
    assert written == sent


def test_a_second_report_of_a_generation_does_not_end_another_step(receiver, tmp_path):
    observer = Observer(runs_dir=tmp_path)
    with observer.run() as run:
        for generation in (1, 2):
            with observer.span("fitness_evaluation"):
                pass
            observer.log({"fitness_best": 1}, step=generation)
            observer.log({"expert_utilization_ratio": {0: 0.5, 1: 0.5}}, step=generation)
    observer.close()
    assert [step["generation"] for step in receiver.named("evolution_step")] == [1, 2]
    by_generation: dict[int, set[str]] = {}
    for line in lines(run.directory / "generations.jsonl"):
        by_generation.setdefault(line["generation"], set()).add(line["trace_id"])
    assert [len(ids) for ids in by_generation.values()] == [1, 1]


def test_phases_of_worker_threads_belong_to_the_generation_in_progress(receiver, tmp_path):
    observer = Observer(runs_dir=tmp_path)

    def evaluate() -> None:
        with observer.span("fitness_evaluation"), observer.span("forward"):
            pass

    with observer.run():
        workers = [threading.Thread(target=evaluate) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        observer.log({"fitness_best": 1}, step=1)
    observer.close()
    [step] = receiver.named("evolution_step")
    evaluations = receiver.named("fitness_evaluation")
    assert {span["parent_id"] for span in evaluations} == {step["span_id"]}
    assert {span["parent_id"] for span in receiver.named("forward")} == {
        span["span_id"] for span in evaluations
    }


def test_a_loop_may_open_its_evolution_step_itself(receiver, tmp_path):
    observer = Observer(runs_dir=tmp_path)
    with observer.run() as run:
        for generation in (1, 2):
            with observer.span("evolution_step"):
                with observer.span("fitness_evaluation"):
                    pass
                observer.log({"fitness_best": 1}, step=generation)
        with observer.span("evolution_step"), observer.span("fitness_evaluation"):
            pass
        observer.log({"fitness_best": 1}, step=3)  # after the block
    observer.close()
    steps = receiver.named("evolution_step")
    assert [step.get("generation") for step in steps] == [1, 2, None]
    assert [span["parent_id"] for span in receiver.named("fitness_evaluation")] == [
        step["span_id"] for step in steps
    ]
    written = [line["span_id"] for line in lines(run.directory / "generations.jsonl")]
    assert written == [step["span_id"] for step in steps]


def test_a_failure_is_in_the_span_in_the_step_and_in_the_log_and_goes_on_up(receiver, tmp_path):
    observer = Observer(runs_dir=tmp_path)
    with (
        pytest.raises(ValueError, match="no fitness"),
        observer.run() as run,
        observer.span("fitness_evaluation"),
    ):
        raise ValueError("no fitness")
    observer.close()
    [step], [phase] = receiver.named("evolution_step"), receiver.named("fitness_evaluation")
    assert (phase["parent_id"], phase["failed"], phase["events"]) == (step["span_id"], True, ["exception"])
    assert step["failed"]
    [failed] = [
        line for line in lines(run.directory / "events.jsonl") if line["event"] == "Evolution step failed"
    ]
    assert (failed["trace_id"], failed["span_id"]) == (step["trace_id"], step["span_id"])


def test_a_request_is_a_trace_of_its_own_and_its_id_is_the_exemplar_of_its_bucket(receiver, tmp_path):
    observer = Observer(port=0, runs_dir=tmp_path)
    with observer.run() as run:
        with observer.span("fitness_evaluation"):
            pass
        with observer.inference(batch_size=32):
            pass
    [request] = receiver.named("inference")
    assert (request["parent_id"], request["batch_size"], request["run_id"]) == ("", 32, run.run_id)
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    with urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{observer.port}/metrics", headers=accept), timeout=10
    ) as answer:
        text = answer.read().decode()
    exemplars = [
        sample.exemplar
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar is not None
    ]
    observer.close()
    assert [exemplar.labels for exemplar in exemplars] == [
        {"trace_id": request["trace_id"], "span_id": request["span_id"]}
    ]
    assert 0 < exemplars[0].value < 1
    assert abs(float(exemplars[0].timestamp) - time.time()) < 60
    [line] = [
        line for line in lines(run.directory / "events.jsonl") if line["event"] == "Inference completed"
    ]
    assert line["trace_id"] == request["trace_id"]


def test_a_request_inside_somebodys_span_is_part_of_that_trace(receiver):
    observer = Observer()
    with observer.span("http_request"), observer.inference(batch_size=1):
        pass
    observer.close()
    [outer], [request] = receiver.named("http_request"), receiver.named("inference")
    assert request["parent_id"] == outer["span_id"]


def test_a_failed_request_is_a_failed_span_and_no_exemplar(receiver, look_text):
    observer = Observer(port=0)
    with pytest.raises(RuntimeError), observer.inference():
        raise RuntimeError("no memory")
    text = look_text(observer, "application/openmetrics-text; version=1.0.0")[1]
    observer.close()
    assert receiver.named("inference")[0]["failed"]
    assert "trace_id" not in text


def test_spans_go_out_while_the_loop_runs(receiver):
    observer = Observer()
    with observer.inference():
        pass
    assert receiver.wait_for(1)[0]["name"] == "inference"
    observer.close()


def test_unless_asked_nothing_is_traced_and_no_id_is_made_up(receiver, monkeypatch, tmp_path, look_text):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    observer = Observer(port=0, runs_dir=tmp_path)
    directory = evolve(observer)
    with observer.inference():
        pass
    text = look_text(observer, "application/openmetrics-text; version=1.0.0")[1]
    observer.close()
    assert receiver.requests == []
    assert (
        "trace_id"
        not in text + (directory / "generations.jsonl").read_text() + (directory / "events.jsonl").read_text()
    )


def test_the_environment_asks_and_the_loops_word_goes_first(receiver):
    observer = Observer(tracing=False)
    with observer.inference():
        pass
    observer.close()
    assert receiver.requests == []


def test_a_span_that_is_not_sampled_has_no_id_anywhere(receiver, monkeypatch, tmp_path):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    observer = Observer(runs_dir=tmp_path)
    directory = evolve(observer)
    observer.close()
    assert receiver.requests == []
    assert "trace_id" not in (directory / "generations.jsonl").read_text()


def test_the_environment_names_the_service(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "digits")
    observer = Observer()
    with observer.inference():
        pass
    observer.close()
    assert receiver.spans[0]["service"] == "digits"


def test_without_the_extra_the_loop_goes_on_untraced_and_is_told_what_to_install(
    monkeypatch, caplog, tmp_path
):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    observer = Observer(tracing=True, runs_dir=tmp_path)
    directory = evolve(observer)
    observer.close()
    assert "install moe-router-dashboard[otel]" in caplog.text
    assert len(lines(directory / "generations.jsonl")) == 3
    assert "trace_id" not in (directory / "generations.jsonl").read_text()


def test_a_process_that_traces_already_gets_the_spans_in_its_own_pipeline(receiver, monkeypatch):
    exporter = InMemorySpanExporter()
    theirs = TracerProvider(shutdown_on_exit=False)
    theirs.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", theirs)
    observer = Observer(tracing=True)
    with observer.inference(batch_size=2):
        pass
    observer.close()
    assert [span.name for span in exporter.get_finished_spans()] == ["inference"]
    assert receiver.requests == []


def test_attributes_of_any_kind_are_taken(receiver):
    numpy = pytest.importorskip("numpy")
    observer = Observer()
    with observer.span("selection", pressure=numpy.float32(1.5), shape=(16, 8), nothing=None):
        pass
    observer.close()
    [span] = receiver.spans
    assert (span["pressure"], span["shape"], "nothing" in span) == (1.5, "(16, 8)", False)


LOOP = """
import os, sys, time
from dashboard.observer import Observer
observer = Observer(tracing=True)
began = time.perf_counter()
with observer.run():
    for generation in range(200):
        with observer.span("fitness_evaluation"):
            pass
        observer.log({"fitness_best": 1}, step=generation)
    looped = time.perf_counter() - began
print(looped, time.perf_counter() - began, flush=True)
began = time.monotonic()
if sys.argv[1] == "close":
    observer.close()
print(time.monotonic() - began, flush=True)
print(time.time(), flush=True)
"""


def run_loop(endpoint: str, how: str) -> tuple[list[float], float, str]:
    """(seconds of the loop, of the loop and the run's end, of close), seconds of the exit, and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", LOOP, how], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
    )  # fmt: skip
    ended = time.time()
    assert done.returncode == 0, done.stderr
    *seconds, left = map(float, done.stdout.split())
    return seconds, ended - left, done.stderr


@pytest.mark.parametrize(("collector", "how"), [("dead", "leave"), ("silent", "close")])
def test_a_collector_that_is_dead_or_silent_costs_the_loop_nothing_and_its_end_a_second_at_most(
    collector, how
):
    if collector == "dead":
        seconds, left, said = run_loop(f"http://127.0.0.1:{free_port()}", how)
    else:
        with silent() as url:
            seconds, left, said = run_loop(url, how)
    looped, with_end, closed = seconds
    slack = 0.7  # of a busy machine
    assert looped < 1.0 + slack
    assert with_end - looped < LONGEST_WAIT_SECONDS + slack
    assert closed < 2 * LONGEST_WAIT_SECONDS + slack
    assert left < 1.0 + slack, "the interpreter's own exit"
    assert said.count("the trace collector") <= 1, "said once"
    assert "Traceback" not in said


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_dead_collector_is_counted_and_said_with_its_reason(monkeypatch, caplog, look):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    observer = Observer(port=0)
    with observer.inference():
        pass
    wait_until(lambda: look(observer).value("observer_failures_total", error_type="ConnectionError"), 10)
    for _ in range(2):
        with observer.inference():
            pass
    observer.close()
    said = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert [record.name for record in said] == ["dashboard.observer"]
    assert "could not send to the trace collector: ConnectionError: Failed to export" in said[0].getMessage()


def test_a_forked_worker_sends_nothing_and_does_not_hang(receiver):
    observer = Observer()
    with observer.run():
        with observer.span("fitness_evaluation"):
            child = os.fork()
            if child == 0:
                with observer.span("forked"), observer.inference():
                    pass
                observer.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        observer.log({"fitness_best": 1}, step=1)
    observer.close()
    assert {span["name"] for span in receiver.spans} == {"evolution_step", "fitness_evaluation"}
