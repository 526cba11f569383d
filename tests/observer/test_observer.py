"""What a loop says is what a scraper finds, and nothing else."""

import itertools
import json
import logging
import math
import re
import socket
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from dashboard.catalogue import BY_NAME, METRICS, evolution
from dashboard.observer import Observer
from dashboard.observer.names import OURS
from dashboard.observer.values import own_labels


def test_nothing_is_exported_before_it_was_said(observer, look):
    names = {name for name, _ in look(observer).samples}
    assert not {name for name in names if not name.startswith("process_")}


def test_what_was_said_is_found_under_the_catalogue_name_with_the_run(observer, look):
    with observer.run() as run:
        observer.log({"fitness_best": 0.5, "loss": 1.25}, step=3)
        found = look(observer)
    assert found.labels("evolution_fitness_best") == {"run_id": run.run_id}
    assert found.value("evolution_fitness_best") == 0.5
    assert found.value("training_loss") == 1.25
    assert found.value("evolution_generation_current") == 3
    assert "evolution_diversity_score" not in found


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf, np.float32("nan")])
def test_saying_nothing_removes_the_series(observer, look, nothing):
    observer.log({"fitness_best": 0.5}, step=1)
    assert "evolution_fitness_best" in look(observer)
    observer.log({"fitness_best": nothing}, step=2)
    assert "evolution_fitness_best" not in look(observer)
    assert "observer_failures_total" not in look(observer)


def test_zero_is_exported(observer, look):
    observer.log({"diversity_score": 0.0}, step=1)
    assert look(observer).value("evolution_diversity_score") == 0.0


def test_experts_that_vanish_are_removed(observer, look):
    observer.log({"expert_utilization_ratio": {0: 0.5, 1: 0.5}}, step=1)
    observer.log({"expert_utilization_ratio": {1: 1.0}}, step=2)
    assert look(observer).all("expert_utilization_ratio", "expert_id") == {"1": 1.0}


def test_a_layer_said_apart_in_the_same_generation_joins_the_others(observer, look):
    observer.log({"utilization_ratio": {(0, 0): 1.0}}, step=1)
    observer.log({"utilization_ratio": {(1, 0): 1.0}}, step=1)
    assert look(observer).all("expert_utilization_ratio", "layer") == {"0": 1.0, "1": 1.0}
    observer.log({"utilization_ratio": {(1, 0): 1.0}}, step=2)
    assert look(observer).all("expert_utilization_ratio", "layer") == {"1": 1.0}


def test_a_value_without_a_step_is_published_and_joins_the_next_generations_line(observer, look):
    with observer.run() as run:
        observer.log({"loss": 0.25})
        assert look(observer).value("training_loss") == 0.25
        assert "evolution_generation_current" not in look(observer)
        observer.log({"fitness_best": 1}, step=1)
    [line] = (run.directory / "generations.jsonl").read_text().splitlines()
    assert json.loads(line)["training_loss"] == 0.25


def test_an_unknown_key_is_counted_and_said_once_and_the_rest_goes_on(observer, look, caplog):
    for step in (1, 2):
        observer.log({"fitnes_best": 1, "fitness_best": 0.5, "loss": "high"}, step=step)
    found = look(observer)
    assert found.value("evolution_fitness_best") == 0.5
    assert found.value("observer_failures_total", error_type="UnknownName") == 2
    assert found.value("observer_failures_total", error_type="TypeError") == 2
    [said] = [record.message for record in caplog.records if "fitnes_best" in record.message]
    assert said.startswith("The observer could not log 'fitnes_best': UnknownName: ")
    assert "Did you mean 'fitness_best'" in said


def test_what_follows_from_what_was_said_is_filled_in(observer, look):
    began = time.time()
    for step, best in ((1, 0.5), (2, 0.7), (3, 0.6), (4, 0.7)):
        observer.log({"fitness_best": best}, step=step, topology=[[1, 0], [0, 0]])
    found = look(observer)
    assert found.value("evolution_generations_since_improvement") == 2
    assert began <= found.value("evolution_last_generation_timestamp_seconds") <= time.time()
    assert 0 < found.value("evolution_generation_duration_seconds") < 60
    assert found.value("routing_connections_active") == 1
    assert found.value("routing_sparsity_ratio") == 0.75


def test_what_does_not_follow_is_not_invented(observer, look):
    observer.log({"loss": 1}, step=1)
    observer.log({"loss": 1}, step=5)  # four generations since: the last one's duration is unknown
    found = look(observer)
    for name in (
        "evolution_generation_duration_seconds",
        "evolution_generations_since_improvement",
        "routing_sparsity_ratio",
    ):
        assert name not in found


def test_a_value_the_loop_says_itself_wins(observer, look):
    observer.log(
        {"fitness_best": 1, "generations_since_improvement": 9, "generation_duration_seconds": 2.5}, step=1
    )
    assert look(observer).value("evolution_generations_since_improvement") == 9
    assert look(observer).value("evolution_generation_duration_seconds") == 2.5


def test_states_of_a_run(observer, look):
    with observer.run() as run:
        assert look(observer).value("evolution_run_active") == 1
        run.pause()
        found = look(observer)
        assert found.value("evolution_run_active") == 0
        assert found.all("evolution_run_state", "state") == {
            "running": 0,
            "paused": 1,
            "finished": 0,
            "failed": 0,
        }
        run.resume()
        assert look(observer).value("evolution_run_active") == 1
        observer.log({"fitness_best": 0.5}, step=1)
    found = look(observer)
    assert found.value("evolution_run_active") == 0
    assert found.value("evolution_run_state", state="finished") == 1
    assert found.value("evolution_fitness_best") == 0.5, "the last value stays until another run begins"


def test_the_loops_own_exception_fails_the_run_and_goes_on_up(observer, look):
    with pytest.raises(ZeroDivisionError), observer.run():
        1 / 0  # noqa: B018 - the error is the point
    assert look(observer).value("evolution_run_state", state="failed") == 1


def test_a_second_run_replaces_the_first_ones_values_but_not_its_state(observer, look):
    with observer.run() as first:
        observer.log({"fitness_best": 0.9, "evaluations_total": 5}, step=9)
    with observer.run() as second:
        found = look(observer)
        assert "evolution_fitness_best" not in found
        assert "evolution_evaluations_total" not in found
        assert found.value("evolution_run_active", run_id=first.run_id) == 0
        assert found.value("evolution_run_active", run_id=second.run_id) == 1


def test_run_info_carries_the_scalar_configuration_under_safe_labels(observer, look):
    with observer.run(
        "my run",
        config={
            "top_k": 2,
            "learning-rate": 0.1,
            "job": "x",
            "layers": [1],
            "9lives": True,
            "long": "y" * 500,
        },
    ):
        labels = look(observer).labels("evolution_run_info")
    assert labels["run_name"] == "my run"
    assert labels["top_k"] == "2"
    assert labels["learning_rate"] == "0.1"
    assert labels["config_job"] == "x"
    assert labels["config_9lives"] == "True"
    assert len(labels["long"]) == 128
    assert "layers" not in labels
    assert "job" not in labels


def test_openmetrics_is_negotiated_and_says_the_same(observer, look, look_text):
    observer.log(
        {"fitness_best": 0.5, "evaluations_total": 7, "expert_tokens_total": {(0, 1): 3}, "batch_size": 8},
        step=1,
    )
    kind, text = look_text(observer, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    own = {
        key: value
        for key, value in look(observer, "application/openmetrics-text; version=1.0.0").samples.items()
        if not key[0].startswith("process_")
    }
    assert own == {
        key: value for key, value in look(observer).samples.items() if not key[0].startswith("process_")
    }
    assert look(observer).value("evolution_evaluations_total") == 7


def test_histograms_have_the_catalogues_buckets(observer, look):
    observer.log({"inference_batch_size": [1, 2, 3, 5000]})
    found = look(observer)
    bounds = {float(bound) for bound in found.all("inference_batch_size_bucket", "le")}
    assert bounds == {*BY_NAME["inference_batch_size"].buckets, math.inf}
    assert found.value("inference_batch_size_bucket", le="2.0") == 2
    assert found.value("inference_batch_size_bucket", le="4.0") == 3
    assert found.value("inference_batch_size_count") == 4
    assert found.value("inference_batch_size_sum") == 5006


def test_a_scrape_never_sees_two_generations(observer):
    """Many gauges and experts carry the generation's number; every scrape must find one number alone.

    The interpreter is told to switch threads all the time: published one family after the other, this fails within a
    few scrapes (it was tried).
    """
    names = [
        metric.name
        for metric in evolution.METRICS
        if metric.labels == ("run_id",) and metric.name not in OURS
    ]
    names.remove("evolution_last_generation_timestamp_seconds")
    stop = threading.Event()

    def evolve():
        for number in itertools.count(1):
            if stop.is_set():
                return
            experts = {(0, expert): number for expert in range(16)}
            observer.log(
                {**dict.fromkeys(names, number), "utilization_ratio": experts, "loss": number}, step=number
            )

    loop = threading.Thread(target=evolve)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    loop.start()
    seen = set()
    try:
        for _ in range(400):
            found = {
                sample.value
                for family in observer.registry.collect()
                if family.name in {*names, "expert_utilization_ratio", "training_loss"}
                for sample in family.samples
            }
            assert len(found) <= 1, f"torn scrape: generations {found}"
            seen |= found
    finally:
        stop.set()
        loop.join()
        sys.setswitchinterval(usual)
    assert len(seen) > 10, "the loop did not advance between scrapes: nothing was proved"


def test_a_port_in_use_is_said_and_counted_and_no_other_is_taken(tmp_path, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        observer = Observer(port=port, runs_dir=tmp_path)
        observer.log({"fitness_best": 0.5}, step=1)
        observer.close()
    assert observer.port is None
    [record] = caplog.records
    assert f"127.0.0.1:{port}" in record.message
    assert "in use" in record.message
    assert "choose another port" in record.message
    [run] = tmp_path.iterdir()
    assert (run / "generations.jsonl").read_text().count("\n") == 1
    assert observer.registry.get_sample_value("observer_failures_total", {"error_type": "OSError"}) == 1


def test_metrics_a_registry_already_has_stay_with_their_owner(caplog):
    registry = CollectorRegistry()
    Gauge("evolution_fitness_best", "theirs", registry=registry).set(7)
    observer = Observer(registry=registry)
    observer.log({"fitness_best": 0.5, "fitness_average": 0.25}, step=1)
    assert registry.get_sample_value("evolution_fitness_best") == 7
    assert "evolution_fitness_best" in caplog.text
    averages = [family for family in registry.collect() if family.name == "evolution_fitness_average"]
    assert [sample.value for family in averages for sample in family.samples] == [0.25]


def test_a_status_object_is_read_by_name_alias_and_dotted_path(observer, look):
    algorithm = types.SimpleNamespace(
        n_gen=4,
        opt=types.SimpleNamespace(fitness=0.75),
        mutation_rate=np.float64(0.1),
        name="GA",
        loss=lambda: 1,
    )
    callback = Observer(port=0, aliases={"n_gen": "generation", "opt.fitness": "fitness_best"})
    assert callback(algorithm) is None
    found = look(callback)
    callback.close()
    assert found.value("evolution_generation_current") == 4
    assert found.value("evolution_fitness_best") == 0.75
    assert found.value("evolution_mutation_rate") == 0.1
    assert "training_loss" not in found
    assert "observer_failures_total" not in found


def test_a_status_dict_may_hold_other_things(observer, look):
    observer({"generation": 2, "best_fitness": 0.5, "population": ["a"], "elapsed_time_seconds": 1.5})
    found = look(observer)
    assert found.value("evolution_generation_current") == 2
    assert "observer_failures_total" not in found


def test_ways_of_ending(observer, look):
    with Observer(port=0) as inner:
        inner.log({"fitness_best": 1}, step=1)
        port = inner.port
    with pytest.raises(OSError, match=r"."), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.integers() | st.text() | st.tuples(st.integers(), st.integers()), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(
        st.sampled_from([*sorted(BY_NAME), "fitness_best", "nonsense"]), anything, max_size=4
    ),
    step=st.none() | st.integers(),
    topology=anything,
)
def test_nothing_a_loop_says_is_ever_raised_and_the_scrape_stays_valid(
    observer, look, caplog, values, step, topology
):
    caplog.set_level(logging.CRITICAL, logger="dashboard.observer")
    assert observer.log(values, step=step, topology=topology) is None
    assert observer(values) is None
    for value in look(observer).samples.values():
        assert math.isfinite(value)


def test_the_import_is_light():
    heavy = {"pandas", "streamlit", "torch", "plotly", "pyarrow", "numpy", "sklearn"}
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, dashboard.observer; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not heavy & set(loaded.stdout.split())


def test_a_log_call_costs_a_small_multiple_of_dumping_its_dict(tmp_path):
    """No absolute times: the floor is json.dumps of the same values, measured in alternation."""
    observer = Observer(runs_dir=tmp_path)
    values = {"fitness_best": 0.5, "fitness_average": 0.25, "diversity_score": 0.125, "loss": 1.5}
    values |= {"utilization_ratio": dict.fromkeys(range(512), 1 / 512)}
    logged, dumped = [], []
    for step in range(1, 60):
        began = time.perf_counter()
        observer.log(values, step=step)
        middle = time.perf_counter()
        json.dumps(values)
        logged.append(middle - began)
        dumped.append(time.perf_counter() - middle)
    observer.close()
    ratio = sorted(logged)[len(logged) // 2] / sorted(dumped)[len(dumped) // 2]
    assert ratio < 15, f"log() costs {ratio:.1f} × json.dumps"


SPOKEN = [metric for metric in METRICS if metric.name not in OURS]


@pytest.mark.parametrize("metric", SPOKEN, ids=str)
def test_every_metric_of_the_catalogue_is_exported_under_its_exact_name_type_and_labels(metric):
    labels = own_labels(metric)
    said: object = 3.0
    if metric.kind != "histogram" and labels:
        said = {tuple(f"some-{label}" for label in labels): 3.0}
    observer = Observer()
    observer.log({metric.name: said})
    text = generate_latest(observer.registry).decode()
    observer.close()
    assert f"# TYPE {metric.name} {metric.kind}\n" in text
    sample = f"{metric.name}_sum" if metric.kind == "histogram" else metric.name
    [line] = [line for line in text.splitlines() if line.startswith((f"{sample}{{", f"{sample} "))]
    assert line.endswith(" 3.0")
    assert set(re.findall(r'(\w+)="', line)) == set(metric.labels)


@pytest.mark.services
def test_prometheus_scrapes_it_and_sees_a_removed_series_go(observer, prometheus):
    """A real Prometheus, which negotiates OpenMetrics: a NaN is a series that ends, not a value that stays."""
    with observer.run("real") as run:
        observer.log({"fitness_best": 0.5, "utilization_ratio": {(0, 0): 0.25, (0, 1): 0.75}}, step=1)
        server = prometheus(targets={"moe-router": f"127.0.0.1:{observer.port}"})
        server.wait_for("evolution_fitness_best == 0.5")
        server.wait_for(f'sum(expert_utilization_ratio{{run_id="{run.run_id}",layer="0"}}) == 1')
        observer.log({"fitness_best": math.nan}, step=2)
        server.wait_for("evolution_generation_current == 2")
        server.wait_for("absent(evolution_fitness_best)")
