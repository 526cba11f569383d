"""The same feed on VictoriaMetrics, for real, and on answers as Prometheus 3 writes them."""

import json
import re
import time
import urllib.request
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from collectors.prometheus import Prometheus
from dashboard import catalogue
from dashboard.catalogue import hardware
from dashboard.feed import Feed, Window
from dashboard.processes import Child
from tests import services
from tests.feed import history

RECORDINGS = Path(__file__).parents[1] / "recordings" / "prometheus-3"


@pytest.fixture(scope="module")
def victoria(tmp_path_factory):
    """VictoriaMetrics with the same three hours."""
    directory = tmp_path_factory.mktemp("victoria")
    port = services.free_port()
    child = Child(
        "VictoriaMetrics",
        [
            services.program("victoria-metrics"),
            f"-storageDataPath={directory / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",
        ],
        log=directory / "log",
    )
    service = services.Service(f"http://127.0.0.1:{port}", child, directory, ready_path="/health")
    with child:
        child.wait_ready(service.url + "/health")
        lines = [line for line in history.openmetrics().splitlines() if not line.startswith("#")]
        text = "\n".join(
            re.sub(r" ([\d.]+)$", lambda t: f" {round(float(t[1]) * 1000)}", line) for line in lines
        )
        service.post("/api/v1/import/prometheus", text.encode())
        with urllib.request.urlopen(service.url + "/internal/force_flush", timeout=10):
            pass
        services.wait_until(
            lambda: Prometheus(service.url).instant("evolution_mutation_rate", history.END).samples
        )
        yield service


def test_victoriametrics_gives_the_same_panels(victoria, past, feed_at):
    names = ["evolution_fitness_best", "evolution_mutation_rate"]
    window = Window("now-1h")
    panels = [*catalogue.PANELS, *(curves.panel() for curves in catalogue.CURVES)]
    there, here = feed_at(victoria.url).panels(panels, window), feed_at(past.url).panels(panels, window)
    assert {key: str(answer.unavailable) for key, answer in there.items() if answer.unavailable} == {}
    assert set(there["rates"].frame.columns) == set(here["rates"].frame.columns), names
    for key in ("rates", "gpu-utilization", "fitness"):
        ours, theirs = here[key].frame, there[key].frame[here[key].frame.columns]
        both = ours.notna() & theirs.notna()  # lookback differs at the edges of an outage
        assert both.to_numpy().mean() > 0.7
        np.testing.assert_allclose(ours.where(both), theirs.where(both), rtol=1e-11)
    p95 = there["latency-percentiles"].frame["p95"].dropna()
    np.testing.assert_allclose(p95, here["latency-percentiles"].frame["p95"].dropna().iloc[-1], rtol=0.02)


def test_victoriametrics_gives_the_same_evolution_and_loads(victoria, past, feed_at, clock):
    for feed in (feed_at(victoria.url), feed_at(past.url)):
        clock.now = history.FINISHED - 60
        evolution = feed.evolution("alpha", Window("now-4h"))
        assert evolution.unavailable == ()
        assert len(evolution.segments) == 2
        assert len(evolution.frame) == pytest.approx((history.FINISHED - 60 - history.START) / 5, abs=2)
        loads = feed.experts("alpha", Window("now-1h"))
        assert (loads.scale, loads.layers) == ("share", ("0", "1"))


def test_victoriametrics_is_said_to_have_no_targets_and_its_availability_is_read(victoria, feed_at):
    feed = feed_at(victoria.url)
    assert feed.scrape_seconds() == 15, "it has none to tell, so the default holds"
    found = {one.metric.name: one.state for one in feed.availability()}
    assert found["evolution_mutation_rate"] == "present"
    assert found["model_flops"] == "never"
    assert list(
        feed.panels([hardware.GPU_UTILIZATION_PANEL], Window("now-1h"))["gpu-utilization"].frame.columns
    )


def test_an_error_of_victoriametrics_keeps_its_words(victoria, feed_at):
    reading = feed_at(victoria.url).instant("sum(")
    assert reading.unavailable.kind in {"http-422", "http-400", "bad_data"}
    assert "sum(" in reading.unavailable.reason


@pytest.fixture
def three():
    """Answers in the form of Prometheus 3: see the README beside them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = (
                "query_range" if "query_range" in self.path else "query" if "/query" in self.path else "other"
            )
            asked = next(
                (file for file in sorted(RECORDINGS.glob(f"{name}-*.json")) if _subject(file) in self.path),
                None,
            )
            body = asked.read_bytes().strip() if asked else b'{"status":"success","data":[]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with services.http_server(Handler) as url:
        yield Prometheus(url, timeout_seconds=2)


def _subject(file: Path) -> str:
    return file.stem.split("-", 1)[1]


def test_utf8_names_and_normalised_bounds_are_labels_like_any_other(three):
    matrix = three.range("utf8", 1_795_410_000, 1_795_410_030, 15)
    assert matrix.labels[0] == {"__name__": "router.fitness best", "le": "1.0", "k8s.pod/name": "läufer"}
    np.testing.assert_array_equal(matrix.values, [[1, np.nan, 3]])
    assert "histogram_quantile" in matrix.infos[0], "infos are new in Prometheus 3 and reach the reader"


def test_a_native_histogram_in_an_answer_is_named(three):
    for ask in (
        lambda: three.range("native", 1_795_410_000, 1_795_410_030, 15),
        lambda: three.instant("native"),
    ):
        with pytest.raises(Exception, match="native histogram") as caught:
            ask()
        assert caught.value.kind == "native-histogram"  # type: ignore[attr-defined]


@pytest.mark.parametrize("left_open", [True, False])
def test_ranges_open_or_closed_on_the_left_give_the_same_samples(left_open, clock):
    """Prometheus 2 repeats the sample at the left end of a range in the next look, Prometheus 3 leaves it out."""
    stored = [(history.END - 300 + 5 * k, float(k)) for k in range(120)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            import urllib.parse

            asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            text = asked.get("query", [""])[0]
            found = re.fullmatch(r".*\[(\d+)ms\]", text)
            pairs = []
            if found and "evolution_generation_current" in text:
                end = float(asked["time"][0])
                start = end - int(found[1]) / 1000
                pairs = [
                    (t, str(v)) for t, v in stored if (start < t if left_open else start <= t) and t <= end
                ]
            metric = {"__name__": "evolution_generation_current", "run_id": "r", "instance": "a"}
            result = [{"metric": metric, "values": pairs}] if pairs else []
            kind = "matrix" if found or "query_range" in self.path else "vector"
            body = json.dumps(
                {"status": "success", "data": {"resultType": kind, "result": result}}, separators=(",", ":")
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with services.http_server(Handler) as url:
        feed = Feed(Prometheus(url, timeout_seconds=2), None, clock=clock)
        for _ in range(5):
            frame = feed.evolution("r", Window("now-30m")).frame
            clock.now += 5  # the cut falls on a sample each time
        feed.close()
    assert frame["generation"].tolist() == [float(k) for k in range(65)]
    assert time.time() > history.END
