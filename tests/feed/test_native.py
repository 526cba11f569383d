"""Native histograms: the catalogue's classic queries find them, and a bare one is named, never drawn as numbers."""

import time

import pytest

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.catalogue import inference
from dashboard.catalogue.inference import latency_quantile
from dashboard.feed import Feed, Window
from dashboard.feed.native import rewritten
from tests import services
from tests.feed import remote_write

NAME = "inference_latency_seconds"


def test_the_catalogues_forms_have_a_native_form():
    assert rewritten(latency_quantile(0.9), NAME) == (
        f'histogram_quantile(0.9, sum by () (rate({NAME}{{instance=~"$instance"}}[$rate])))'
    )
    assert rewritten(f'sum(rate({NAME}_sum{{a="b"}}[5m])) / sum(rate({NAME}_count[5m]))', NAME) == (
        f'sum(histogram_sum(rate({NAME}{{a="b"}}[5m]))) / sum(histogram_count(rate({NAME}[5m])))'
    )
    assert rewritten(f'rate({NAME}_bucket{{le=~"0.1|0.10",a="b"}}[5m])', NAME) == (
        f'(histogram_fraction(0, 0.1, rate({NAME}{{a="b"}}[5m])) * histogram_count(rate({NAME}{{a="b"}}[5m])))'
    )
    assert rewritten("sum by (le) (other_bucket)", NAME) == "sum by (le) (other_bucket)"


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    flags = ["--enable-feature=native-histograms", "--web.enable-remote-write-receiver"]
    with services.prometheus(tmp_path_factory.mktemp("native"), flags=flags) as service:
        now = time.time()
        points = [  # ten requests a scrape of 5 s: five in (0.5, 1], four in (1, 2], one in (2, 4]
            remote_write.histogram(now - 600 + 5 * k, [5 * k, 4 * k, k], 12.0 * k) for k in range(120)
        ]
        remote_write.write(service.url, [({"__name__": NAME, "instance": "a", "job": "moe-router"}, points)])
        yield service


def test_percentiles_and_shares_of_a_native_histogram_are_drawn(native):
    feed = Feed(Prometheus(native.url), None)
    answers = feed.panels(inference.PANELS[:2], Window("now-5m"))
    feed.close()
    percentiles = answers["latency-percentiles"]
    assert percentiles.unavailable is None
    last = percentiles.frame.dropna().iloc[-1]
    assert 0.5 < last["p50"] <= 1.01
    assert 2 < last["p99"] <= 4
    assert answers["share-within-objective"].frame.dropna().iloc[-1, 0] == pytest.approx(0, abs=1e-9)


def test_a_bare_native_histogram_is_named_and_not_drawn(native):
    prometheus = Prometheus(native.url)
    now = time.time()
    for ask in (
        lambda: prometheus.range(NAME, now - 300, now, 15),
        lambda: prometheus.instant(NAME),
        lambda: prometheus.raw(NAME, 300),
    ):
        with pytest.raises(Unavailable, match=NAME) as caught:
            ask()
        assert caught.value.kind == "native-histogram"
