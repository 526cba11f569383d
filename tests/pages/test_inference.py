"""The Inference page: percentiles with the bucket they lie in, and words where nothing was asked."""

import math

import pytest

from dashboard.shell.brackets import bracket, said
from tests import services
from tests.pages.runs import figures
from tests.pages.screen import words

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
