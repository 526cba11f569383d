"""Ways out: a real Pushgateway, a real UDP socket, and receivers that are not there."""

import contextlib
import math
import re
import socket
import threading
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dashboard.catalogue import evolution, experts
from dashboard.observer import Observer
from dashboard.observer.instruments import Instruments
from dashboard.observer.statsd import LARGEST_DATAGRAM_BYTES, DogStatsD, packed


@pytest.fixture
def agent():
    """A UDP socket where a Datadog agent would listen; `read` returns the datagrams that came so far."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.3)

        def read() -> list[bytes]:
            found = []
            with contextlib.suppress(TimeoutError):
                while True:
                    found.append(listener.recv(65_536))
            return found

        yield f"127.0.0.1:{listener.getsockname()[1]}", read


@pytest.mark.services
def test_two_runs_are_two_groups_and_each_ends_with_its_final_state(pushgateway):
    service = pushgateway()
    observer = Observer(pushgateway=service.url)
    for best in (0.5, 0.7):
        with observer.run("batch") as run:
            observer.log({"fitness_best": best, "utilization_ratio": {0: 1.0}}, step=1)
    observer.close()
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=10) as answer:
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    bests = {sample.labels["run_id"]: sample.value for sample in families["evolution_fitness_best"].samples}
    assert sorted(bests.values()) == [0.5, 0.7]
    assert bests[run.run_id] == 0.7
    active = {sample.labels["run_id"]: sample.value for sample in families["evolution_run_active"].samples}
    assert active == dict.fromkeys(bests, 0.0)
    [expert] = [s for s in families["expert_utilization_ratio"].samples if s.labels["run_id"] == run.run_id]
    assert expert.labels["job"] == "moe-router"
    assert expert.labels["instance"] == socket.gethostname()


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_gateway_that_is_down_costs_the_loop_nothing_but_a_count(kind, look):
    """`silent` accepts connections and never answers: the worst a network does."""
    with socket.socket() as gateway:
        gateway.bind(("127.0.0.1", 0))
        if kind == "silent":
            gateway.listen()
        observer = Observer(port=0, pushgateway=f"http://127.0.0.1:{gateway.getsockname()[1]}")
        began = time.monotonic()
        for step in range(100):
            observer.log({"fitness_best": 0.5}, step=step)
        logged = time.monotonic() - began
        with observer.run():
            pass
        ended = time.monotonic() - began
        time_out = threading.Event()
        while "observer_failures_total" not in look(observer) and not time_out.wait(0.05):
            assert time.monotonic() - began < 15
        observer.close()
    assert logged < 1
    assert ended < 6, "the end of each of the two runs waits two seconds at most"


def test_gauges_go_to_the_agent_as_they_are_and_counters_as_what_was_gained(agent):
    address, read = agent
    observer = Observer(dogstatsd=address, tags={"env": "lab"})
    with observer.run("one|two,three") as run:
        observer.log({"fitness_best": 0.95, "loss": math.nan, "evaluations_total": 24}, step=1)
        with observer.inference(batch_size=8):
            pass
    observer.close()
    lines = b"\n".join(read()).decode().split("\n")
    assert f"moe.evolution.fitness_best:0.95|g|#env:lab,run_id:{run.run_id}" in lines
    assert f"moe.evolution.evaluations_total:24|c|#env:lab,run_id:{run.run_id}" in lines
    assert "moe.inference.batch_size_sum:8|c|#env:lab" in lines
    assert not [line for line in lines if "training.loss" in line or "nan" in line]
    assert [line for line in lines if "run_name:one_two_three" in line]


def test_every_line_is_a_datagram_line_and_every_datagram_fits_a_frame(agent):
    address, read = agent
    observer = Observer(dogstatsd=address)
    with observer.run():
        observer.log(
            {"utilization_ratio": {(layer, expert): 1 / 64 for layer in range(4) for expert in range(64)}},
            step=1,
        )
    observer.close()
    datagrams = read()
    assert 1 < len(datagrams) < 40
    assert all(len(datagram) <= LARGEST_DATAGRAM_BYTES for datagram in datagrams)
    lines = b"\n".join(datagrams).decode().split("\n")
    assert all(re.fullmatch(r"moe\.[a-z0-9_.]+:[-+.e0-9]+\|[gc](\|#[^|\n]+)?", line) for line in lines)
    assert sum("expert.utilization_ratio" in line for line in lines) == 256


def test_a_counter_is_told_once_and_again_only_when_it_grew(agent):
    address, read = agent
    instruments = Instruments([evolution.EVALUATIONS, experts.TOKENS])
    out = DogStatsD(address, instruments)
    for total in (10, 10, 15, 3):  # the last: the counter began again
        instruments.publish({evolution.EVALUATIONS: {("r",): float(total)}})
        out.send()
    assert [datagram.decode().split("|")[0] for datagram in read()] == [
        "moe.evolution.evaluations_total:10",
        "moe.evolution.evaluations_total:5",
        "moe.evolution.evaluations_total:3",
    ]


def test_packing_loses_no_line():
    lines = [b"x" * size for size in (1, 700, 731, 1432, 2000, 5)]
    assert [line for datagram in packed(lines) for line in datagram.split(b"\n")] == lines


def test_nobody_listening_is_no_error_and_a_wrong_address_is_said(look):
    observer = Observer(port=0, dogstatsd="127.0.0.1:9")
    with observer.run():
        pass
    assert "observer_failures_total" not in look(observer)
    observer.close()
    wrong = Observer(port=0, dogstatsd="localhost")
    assert look(wrong).value("observer_failures_total", error_type="ValueError") == 1
    wrong.close()


def test_the_environment_configures_what_the_arguments_do_not(agent, monkeypatch):
    address, read = agent
    monkeypatch.setenv("MOE_OBSERVER_DOGSTATSD", address)
    observer = Observer()
    with observer.run():
        observer.log({"fitness_best": 1}, step=1)
    observer.close()
    assert b"moe.evolution.fitness_best:1|g" in b"\n".join(read())
