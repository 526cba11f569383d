"""The Inference page: percentiles with the bucket they lie in, and words where nothing was asked."""

import math
import re
import time

import pytest

from dashboard.shell.brackets import bracket, said
from tests import services
from tests.feed import remote_write
from tests.pages.fleet import fleet
from tests.pages.runs import figures
from tests.pages.screen import unescaped, words

BUCKETS = [(0.05, 60.0), (0.1, 90.0), (5.0, 97.0), (math.inf, 100.0)]


@pytest.mark.parametrize(
    ("q", "expected", "words"),
    [
        (0.50, (0.0, 0.05), "at most 50 ms"),
        (0.90, (0.05, 0.1), "between 50 ms and 100 ms"),
        (0.95, (0.1, 5.0), "between 100 ms and 5 s"),
        (0.99, (5.0, math.inf), "above the last bucket, 5 s"),
    ],
)
def test_a_percentile_lies_in_the_bucket_that_first_holds_its_rank(q, expected, words):
    assert bracket(q, BUCKETS) == expected
    assert said(bracket(q, BUCKETS)) == words


def test_the_order_in_which_buckets_come_does_not_matter():
    assert bracket(0.95, reversed(BUCKETS)) == (0.1, 5.0)


@pytest.mark.parametrize(
    "buckets",
    [[], [(0.1, 0.0), (math.inf, 0.0)], [(0.1, math.nan), (math.inf, math.nan)]],
    ids=["none", "idle", "nan"],
)
def test_without_requests_there_is_no_bracket(buckets):
    assert bracket(0.5, buckets) is None
    assert said(None) == "no requests"


def test_leading_empty_buckets_do_not_hold_a_percentile():
    assert bracket(0.0, [(0.05, 0.0), (0.1, 10.0), (math.inf, 10.0)]) == (0.05, 0.1)


def test_the_page_says_what_a_request_takes_and_between_which_bounds_that_lies(open_page, router):
    app = open_page("inference", prometheus_url=router.url)
    shown = {metric.label: metric.value for metric in app.metric}
    captions = [caption.value for caption in app.caption]
    assert shown["Within 100 ms"] == "90 %"
    assert "at most 50 ms" in captions
    assert shown["p99"] == "above 100 ms"
    assert "above the last bucket, 100 ms" in captions
    assert "misses the target of 99 %" in captions


def test_how_requests_spread_over_the_buckets_is_drawn_and_said(open_page, router):
    """Of ten requests a scrape six take at most 50 ms, three at most 100 ms and one longer."""
    app = open_page("inference", query={"from": "now-5m", "to": "now"}, prometheus_url=router.url)
    services.wait_until(lambda: "latency-buckets" in figures(app.run()), 20, "the first point of the window")
    shown = figures(app)["latency-buckets"]["alt"]
    assert "to 50 ms 60 %; to 100 ms 30 %; above 100 ms 10 %" in shown


def test_an_instance_that_serves_nothing_says_so_and_shows_no_zero(open_page, router):
    app = open_page("inference", query={"instance": "10.0.0.1:9100"}, prometheus_url=router.url)
    assert not app.metric
    assert "No requests in this window." in words(app)
    assert app.selectbox(key="address-instance").value == "10.0.0.1:9100"


def test_without_prometheus_the_page_says_why_it_is_empty(open_page):
    app = open_page("inference")
    assert not app.metric
    assert "No Prometheus is configured." in words(app)


@pytest.fixture(scope="module")
def routers(tmp_path_factory):
    with fleet(tmp_path_factory.mktemp("fleet") / "prometheus") as running:
        yield running


def test_instances_stand_beside_all_of_them_together_and_their_percentiles_are_not_averaged(
    open_page, routers
):
    """Nine in ten requests are fast: p50 of all is fast and p95 of all is the slow router's, whatever a mean says."""
    server, fast, slow = routers
    app = open_page("inference", prometheus_url=server.url)
    table = app.dataframe[0].value.set_index("instance")
    assert list(table.index) == ["all together", fast, slow]
    assert table.loc[fast, "p95"].endswith("at most 50 ms")
    assert table.loc[slow, "p50"].endswith("between 100 ms and 500 ms")
    assert table.loc["all together", "p50"].endswith("at most 50 ms")
    assert table.loc["all together", "p95"].endswith("between 100 ms and 500 ms")
    within = table["within 100 ms"]
    assert (within[fast], within[slow]) == ("100 %", "0 %")
    assert float(within["all together"].split()[0]) == pytest.approx(90, abs=1.5)
    assert (table.loc[fast, "errors"], table.loc[slow, "errors"]) == ("not counted", "20 %")


def test_the_percentile_that_is_compared_is_the_reader_s_choice_and_stands_in_the_address(open_page, routers):
    app = open_page(
        "inference", query={"p": "p99", "from": "now-5m", "to": "now"}, prometheus_url=routers[0].url
    )
    services.wait_until(lambda: "panel-latency-p99-by-instance" in figures(app.run()), 20, "the chart of p99")
    assert "all together" in figures(app)["panel-latency-p99-by-instance"]["alt"]
    app.selectbox(key="address-p").select("p50").run()
    assert app.query_params["p"] in ("p50", ["p50"])
    assert "panel-latency-p50-by-instance" in figures(app)
    nonsense = open_page("inference", query={"p": "p12"}, prometheus_url=routers[0].url)
    assert not nonsense.exception


def test_an_instance_that_is_chosen_is_alone(open_page, routers):
    server, _, slow = routers
    app = open_page("inference", query={"instance": slow}, prometheus_url=server.url)
    shown = {metric.label: metric.value for metric in app.metric}
    assert (shown["Within 100 ms"], shown["Errors"]) == ("0 %", "20 %")
    assert not len(app.dataframe)


def test_the_error_budget_of_the_window_is_told_in_requests(open_page, routers):
    app = open_page("inference", query={"from": "now-5m", "to": "now"}, prometheus_url=routers[0].url)
    [said] = [caption.value for caption in app.caption if "Error budget of the" in caption.value]
    counted = re.search(
        r"([\d,]+) of ([\d,]+) requests were slower than 100 ms, and ([\d,]+) may be: ([\d.e+]+) %", said
    )
    assert counted, said
    slow, total, allowed, spent = (float(text.replace(",", "")) for text in counted.groups())
    assert slow / total == pytest.approx(0.1, abs=0.02)
    assert allowed == pytest.approx(total / 100, abs=1)
    assert spent == pytest.approx(1000, rel=0.2)


def test_both_ways_of_counting_throughput_and_how_far_they_are_apart(open_page, routers):
    """Prometheus scrapes twice a second, so what is counted is twice what the routers report of each scrape."""
    app = open_page("inference", prometheus_url=routers[0].url)
    [said] = [unescaped(one.value) for one in app.caption if one.value.startswith("reported")]
    apart = float(re.search(r"([\d.]+) % apart", said)[1])
    assert apart == pytest.approx(50, abs=15)


@pytest.mark.parametrize(
    ("seconds", "label", "words"),
    [
        (0.03, "Within 50 ms", "The objective of 30 ms is no bound of the histogram: it is measured at the next one, 50 ms"),
        (2.0, "Within 500 ms", "The objective of 2 s lies above the histogram's last bound: it is measured at 500 ms"),
    ],
)  # fmt: skip
def test_an_objective_between_two_bounds_of_the_router_s_own_histogram_is_moved_and_said(
    open_page, routers, seconds, label, words
):
    app = open_page("inference", prometheus_url=routers[0].url, latency_objective_seconds=seconds)
    assert label in {metric.label for metric in app.metric}
    assert any(words in unescaped(caption.value) for caption in app.caption)


def test_an_objective_of_every_request_has_no_budget(open_page, routers):
    app = open_page("inference", prometheus_url=routers[0].url, latency_objective_ratio=1.0)
    assert "there is no error budget to spend" in words(app)
    assert not app.exception


def test_a_native_histogram_has_percentiles_brackets_a_heatmap_and_a_share(open_page, tmp_path):
    """Ten requests a scrape: five in (0.5, 1] seconds, four in (1, 2], one in (2, 4]; its own resolution is a factor of two."""
    flags = ["--enable-feature=native-histograms", "--web.enable-remote-write-receiver"]
    with services.prometheus(tmp_path / "native", flags=flags) as server:
        now = time.time()
        points = [remote_write.histogram(now - 600 + 5 * k, [5 * k, 4 * k, k], 12.0 * k) for k in range(120)]
        name = {"__name__": "inference_latency_seconds", "instance": "a", "job": "moe-router"}
        remote_write.write(server.url, [(name, points)])
        query = {"from": "now-10m", "to": "now"}
        app = open_page("inference", query=query, prometheus_url=server.url, latency_objective_seconds=2.0)
        text = words(app)
        shown = {metric.label: metric.value for metric in app.metric}
        assert "native" not in text
        assert "between 500 ms and 1 s" in text
        assert "between 2 s and 5 s" in text
        assert shown["Within 2 s"] == "90 %"
        assert shown["Errors"] == "not counted"
        assert "to 1 s 50 %" in figures(app)["latency-buckets"]["alt"]
