"""Which metrics there are, and other people's names for them."""

import pandas as pd
import promql_parser
import pytest

from dashboard import catalogue
from dashboard.catalogue import hardware, inference
from dashboard.feed import Window, fill
from dashboard.feed.aliases import DEFAULTS, applied, metric_names
from tests import services
from tests.feed import history
from tests.feed.test_panels import panel

WINDOW = Window("now-1h")


def test_every_metric_is_present_gone_or_was_never_seen(past, feed_at):
    found = {one.metric.name: one for one in feed_at(past.url).availability()}
    assert len(found) == len(catalogue.METRICS)
    average = found["evolution_fitness_average"]
    assert (average.state, average.series, average.jobs) == ("present", 1, ("moe-router",))
    assert average.labels == {"instance": 1, "job": 1}
    latency = found["inference_latency_seconds"]
    assert (latency.state, latency.series) == ("present", 4)
    assert latency.labels["le"] == 4
    loss = found["training_loss"]
    assert loss.state == "gone"
    assert loss.last_seen == max(t for t in history.scrapes() if t < history.LOSS_STOPS)
    assert found["model_flops"].state == "never"
    assert found["gpu_utilization_percent"].state == "never"
    assert "DCGM_FI_DEV_GPU_UTIL" in found["gpu_utilization_percent"].stand_in


def test_availability_is_unknown_and_not_never_when_prometheus_is_away(gate, feed_at):
    gate.shut = True
    found = feed_at(gate.url).availability()
    assert {one.state for one in found} == {"unknown"}
    assert found[0].unavailable.kind == "http-503"


def test_dcgm_series_appear_on_our_panel_under_our_labels(past, feed_at):
    answer = feed_at(past.url).panels([hardware.GPU_UTILIZATION_PANEL, hardware.GPU_MEMORY_PANEL], WINDOW)
    assert list(answer["gpu-utilization"].frame.columns) == [f"GPU {i} gpu:9400" for i in (0, 1, 10)]
    assert answer["gpu-utilization"].frame.iloc[-1].tolist() == [10, 20, 110]
    assert answer["gpu-memory"].frame.iloc[-1].tolist() == [25.0]
    assert "DCGM_FI_DEV_GPU_UTIL" in answer["gpu-utilization"].asked[0].promql


def test_node_exporter_stands_in_for_the_host(past, feed_at):
    answer = feed_at(past.url).panels([hardware.CPU_PANEL], WINDOW)["cpu"]
    assert answer.frame.iloc[-1].tolist() == pytest.approx([75.0])


def test_a_users_alias_goes_before_the_shipped_one(past, feed_at):
    feed = feed_at(
        past.url,
        aliases={
            "gpu_utilization_percent": 'label_replace(DCGM_FI_DEV_GPU_UTIL{gpu="1"} * 2, "gpu_id", "x", "", "")'
        },
    )
    frame = feed.panels([hardware.GPU_UTILIZATION_PANEL], WINDOW)["gpu-utilization"].frame
    assert list(frame.columns) == ["GPU x gpu:9400"]
    assert frame.iloc[-1, 0] == 40


def test_an_alias_is_not_used_where_the_metric_itself_is_there(past, feed_at):
    feed = feed_at(past.url, aliases={"evolution_fitness_best": "evolution_mutation_rate"})
    plain = feed_at(past.url).panels([panel("evolution_fitness_best")], WINDOW)["one"].frame
    pd.testing.assert_frame_equal(feed.panels([panel("evolution_fitness_best")], WINDOW)["one"].frame, plain)


def test_a_name_for_a_name_keeps_matchers_ranges_and_suffixes():
    query = inference.latency_quantile(0.5)
    assert applied(query, {"inference_latency_seconds": "vllm:e2e_request_latency_seconds"}) == query.replace(
        "inference_latency_seconds_bucket", "vllm:e2e_request_latency_seconds_bucket"
    )


def test_an_expression_stands_in_for_a_selector_but_not_inside_a_range():
    assert applied('a{x="}"} + a_b', {"a": "c * 2"}) == "(c * 2) + a_b"
    assert applied("rate(a[5m])", {"a": "c * 2"}) == "rate(a[5m])"


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_shipped_alias_is_promql_for_a_catalogue_metric(name):
    assert name in catalogue.BY_NAME
    promql_parser.parse(fill(DEFAULTS[name]))
    assert metric_names(DEFAULTS[name])


def test_a_metric_that_changes_its_type_is_noticed_and_still_drawn(prometheus, scrape_target, feed_at, clock):
    target = scrape_target("# TYPE evolution_fitness_best gauge\nevolution_fitness_best 1\n")
    server: services.PrometheusService = prometheus(targets={"moe-router": target.target}, scrape_seconds=0.2)
    server.wait_for("evolution_fitness_best == 1")
    target.text = "# TYPE evolution_fitness_best counter\nevolution_fitness_best 2\n"
    [sample] = server.wait_for("evolution_fitness_best == 2")
    clock.now = sample["value"][0]
    feed = feed_at(server.url)
    found = {one.metric.name: one for one in feed.availability()}
    assert found["evolution_fitness_best"].state == "present"
    assert found["evolution_fitness_best"].note == "It is a counter here; the catalogue declares a gauge."
    assert feed.instant("evolution_fitness_best").samples[0].value == 2
    assert feed.scrape_seconds() == 0.2
