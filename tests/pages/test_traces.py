"""The Traces page and what leads to it: stores, log lines where there is none, dots and links of the Inference page."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from dashboard.catalogue import inference as catalogue
from dashboard.feed import Feed, Window
from dashboard.feed import exemplars as exemplar_list
from dashboard.feed.exemplars import MOST
from dashboard.figures import dots, lines
from dashboard.settings import SettingError, Settings
from dashboard.sources import Sources
from tests.pages.screen import HOSTILE, unescaped, words
from tests.pages.traced import RECORDINGS, TRACE, Answers, Traced, stores, tracing

WINDOW = Window.parse("now-1h", "now")


@pytest.fixture
def store() -> Iterator[Answers]:
    with stores() as answers:
        yield answers


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "r1"
    folder.mkdir(parents=True)
    said = [
        {"event": "Evolution step failed", "level": "error", "trace_id": TRACE, "run_id": "r1"},
        {"event": "Run started", "run_id": "r1"},
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    return tmp_path / "runs"


@pytest.mark.parametrize("kind", ["jaeger", "tempo"])
def test_a_trace_is_a_waterfall_and_a_table(open_page, store, kind):
    app = open_page("traces", query={"trace": TRACE.upper()}, trace_url=store.url, trace_store=kind)
    assert "evolution_step" in words(app)
    assert "812 ms" in words(app)
    assert "4 spans · 1 failed" in words(app)
    table = app.dataframe[0].value
    assert [name.strip("\u2003") for name in table["span"]] == [
        "evolution_step",
        "fitness_evaluation",
        "selection",
        "reproduction",
    ]
    assert table["status"].iloc[3] == "error ValueError: no parents"
    assert table["duration_ms"].iloc[0] == pytest.approx(812.345)
    assert not app.exception


def test_the_list_opens_a_trace(open_page, store):
    app = open_page("traces", trace_url=store.url)
    table = app.dataframe[0].value
    assert table["root span"].tolist() == ["inference", "evolution_step"]
    assert table["failed"].tolist() == [0, 1]
    assert "service=moe-router" in store.paths[-1]


def test_the_list_is_narrowed_by_the_address(open_page, store):
    query = {"span": "inference", "at-least": "100", "failed": "1"}
    open_page("traces", query=query, trace_url=store.url, trace_store="tempo")
    asked = store.paths[-1]
    assert "name+%3D+%22inference%22" in asked
    assert "duration+%3E%3D+100000us" in asked
    assert "status+%3D+error" in asked


def test_without_a_store_a_trace_is_its_log_lines(open_page, runs_dir):
    app = open_page("traces", query={"trace": TRACE}, runs_dir=runs_dir)
    assert "No trace store is configured" in words(app)
    assert app.dataframe[0].value["event"].tolist() == ["Evolution step failed"]


def test_a_store_that_is_off_says_so_and_the_log_lines_stand_in(open_page, runs_dir):
    app = open_page("traces", query={"trace": TRACE}, runs_dir=runs_dir, trace_url="http://127.0.0.1:9")
    assert "refused the connection" in words(app)
    assert app.dataframe[0].value["event"].tolist() == ["Evolution step failed"]


def test_a_trace_the_store_does_not_know_is_no_failure_of_the_store(open_page, store, runs_dir):
    store.by_path[f"/api/traces/{TRACE}"] = 404, (RECORDINGS / "jaeger/trace-not-found.json").read_bytes()
    app = open_page("traces", query={"trace": TRACE}, runs_dir=runs_dir, trace_url=store.url)
    assert "does not know this trace" in words(app)
    assert app.dataframe[0].value["event"].tolist() == ["Evolution step failed"]


def test_text_in_the_address_that_is_no_trace_id_goes_nowhere(open_page, store):
    app = open_page("traces", query={"trace": "../../admin?x=" + HOSTILE}, trace_url=store.url)
    assert "is not a trace id" in words(app)
    assert store.paths == []


def test_hostile_names_stay_letters(open_page, store):
    hostile = json.loads((RECORDINGS / "jaeger/trace.json").read_text())
    for span in hostile["data"][0]["spans"]:
        span["operationName"] = HOSTILE
        span["warnings"] = [HOSTILE]
    store.by_path[f"/api/traces/{TRACE}"] = 200, json.dumps(hostile).encode()
    app = open_page("traces", query={"trace": TRACE}, trace_url=store.url)
    shown = HOSTILE.replace("\u202e", "\\u202e")
    assert shown in [unescaped(warning.value) for warning in app.warning]
    assert any(unescaped(element.value).strip("*") == shown for element in app.markdown)


def test_a_log_line_leads_to_its_trace(open_page, runs_dir, store):
    app = open_page("logs", query={"trace": TRACE}, runs_dir=runs_dir, trace_url=store.url)
    assert [link.proto.label for link in _links(app)] == ["Open its trace"], "in the group of its error"
    assert f"trace={TRACE}" in _links(app)[0].proto.query_string


def test_lines_come_from_loki_where_the_viewer_chose_it_or_there_are_no_files(open_page, store, runs_dir):
    app = open_page("logs", query={"lines": "3"}, loki_url=store.url)
    assert "Evolution generation completed" in app.dataframe[0].value["event"].tolist()
    assert [unescaped(kind.label).partition(":")[0] for kind in app.expander] == ["ValueError"]
    app = open_page("logs", loki_url=store.url, runs_dir=runs_dir)
    assert "Run started" in app.dataframe[0].value["event"].tolist()
    app = open_page("logs", query={"source": "loki", "lines": "3"}, loki_url=store.url, runs_dir=runs_dir)
    assert "Inference completed" in app.dataframe[0].value["event"].tolist()


def test_a_loki_that_is_off_says_so(open_page):
    assert "refused the connection" in words(open_page("logs", loki_url="http://127.0.0.1:9"))


def test_a_store_of_another_kind_is_refused_when_the_settings_are_read():
    with pytest.raises(SettingError, match="'zipkin' is not one of jaeger, tempo"):
        Settings.load(environ={"MOE_DASHBOARD_TRACE_STORE": "zipkin"})


def test_one_look_at_a_store_serves_everyone(store):
    traces = Sources(Settings(trace_url=store.url)).traces
    found = [traces.trace(TRACE).value for _ in range(5)]
    lists = [traces.search(WINDOW).value for _ in range(5)]
    assert all(one is found[0] for one in found)
    assert all(one is lists[0] for one in lists)
    assert len(store.paths) == 2
    traces.store.close()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with tracing(tmp_path_factory.mktemp("traced")) as running:
        yield running


def test_exemplars_come_from_the_observer_through_prometheus_to_the_feed(traced):
    source = Sources(Settings(prometheus_url=traced.prometheus.url))
    found = source.feed.exemplars(catalogue.PERCENTILES, WINDOW)
    source.feed.close()
    assert len(found) >= 1
    assert all(len(trace_id) == 32 for trace_id in found.trace_ids)
    assert (found.values > 0).all()
    assert (found.values < 5).all()
    assert all("le" not in labels and labels["job"] == "moe-router" for labels in found.labels)
    assert traced.logged(), "sampled lines name traces of requests"


def test_the_latency_chart_has_a_dot_for_each_and_the_page_a_link(traced, open_page):
    app = open_page("inference", query={"from": "now-5m", "to": "now"}, prometheus_url=traced.prometheus.url)
    [expander] = [one for one in app.expander if one.label.startswith("Slowest traced requests")]
    links = [link for link in _links(expander) if "trace=" in link.proto.query_string]
    assert 1 <= len(links) <= 10
    assert not app.exception


def test_without_exemplars_the_page_says_so_quietly(open_page, router):
    app = open_page("inference", prometheus_url=router.url)
    assert "No request of this window carries a trace id." in words(app)


def _links(part: object) -> list[object]:
    return list(part.get("page_link"))


def answer(rows: list[tuple[float, str, str]]) -> list[dict[str, object]]:
    exemplars = [
        {"labels": {"trace_id": trace_id}, "value": value, "timestamp": when}
        for when, value, trace_id in rows
    ]
    return [{"seriesLabels": {"le": "0.1", "instance": "a"}, "exemplars": exemplars}]


def test_what_nobody_could_open_is_no_dot():
    rows = [
        (1.0, "0.5", TRACE),
        (2.0, "NaN", TRACE),
        (3.0, "0.5", "<script>"),
        (4.0, "0.5", ""),
        (1.0, "0.5", TRACE),
    ]
    found = exemplar_list.read(answer(rows), 0, 10)
    assert (len(found), found.left_out) == (1, 0)
    assert (
        exemplar_list.read(
            [{"exemplars": [{"labels": {"user": "x"}, "value": "1", "timestamp": 1}]}], 0, 1
        ).trace_ids
        == ()
    )


def test_of_too_many_the_slowest_of_each_stretch_stay():
    rows = [(float(i), "9" if i % 100 == 50 else "0.1", f"{i + 1:032x}") for i in range(10_000)]
    found = exemplar_list.read(answer(rows), 0, 10_000)
    assert len(found) <= MOST
    assert len(found) + found.left_out == 10_000
    assert (found.values == 9).sum() == 100
    assert sorted(found.times) == list(found.times)


def test_dots_stand_in_the_viewers_zone_and_tell_the_script_which_trace():
    frame = pd.DataFrame(
        {"p50": [0.1, 0.2]}, index=pd.date_range("2026-11-23T12:00:00Z", periods=2, freq="5s")
    )
    found = exemplar_list.read(answer([(frame.index[1].timestamp(), "0.5", TRACE)]), 0, 2e9)
    figure = lines.draw(catalogue.PERCENTILES, frame, zone="America/New_York")
    dots.add(figure, found.times, found.values, found.trace_ids, zone="America/New_York")
    curve, requests = figure.data
    assert requests.x[0] == curve.x[1]
    assert (requests.meta, requests.customdata[0]) == (dots.META, TRACE)


def test_without_prometheus_there_are_no_exemplars_and_the_reason(tmp_path):
    feed = Feed(None, None)
    found = feed.exemplars(catalogue.PERCENTILES, WINDOW)
    feed.close()
    assert (len(found), found.unavailable.kind) == (0, "not-configured")
