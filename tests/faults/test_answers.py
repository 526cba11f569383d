"""Whatever a server answers, its reader gives what it promises or says in one exception why not: no other one leaves it."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.alertmanager import Alertmanager
from collectors.loki import Loki
from collectors.prometheus import Prometheus
from collectors.traces import Jaeger, Tempo
from collectors.traces.store import Search
from collectors.unavailable import Unavailable
from dashboard.alerts.board import AlertBoard
from tests import services
from tests.faults.garbled import damaged, said, thorough, torn

RECORDED = services.ROOT / "tests" / "recordings"
START = 1_795_410_000

ALERT = {
    "labels": {"alertname": "ExpertDead", "run_id": "r1"}, "annotations": {"summary": "dead"},
    "startsAt": "2026-11-23T07:22:40.128Z", "endsAt": "2026-11-23T07:29:46.128Z", "updatedAt": "2026-11-23T07:25:46.159Z",
    "fingerprint": "197c0b2c5ed92ce0", "receivers": [{"name": "oncall"}], "generatorURL": "http://prometheus/graph",
    "status": {"state": "active", "silencedBy": ["a"], "inhibitedBy": []},
}  # fmt: skip
SILENCE = {
    "id": "8317b3f1-0000-0000-0000-000000000000", "createdBy": "ada", "comment": "known",
    "matchers": [{"name": "alertname", "value": "ExpertDead", "isRegex": True, "isEqual": True}],
    "startsAt": "2026-11-23T07:22:40.128Z", "endsAt": "2026-11-23T09:22:40.128Z", "status": {"state": "active"},
}  # fmt: skip
STATUS = {"cluster": {"name": "x", "status": "ready", "peers": []}, "uptime": "2026-11-23T07:22:40Z"}


def recorded(path: str) -> Any:
    return json.loads((RECORDED / path).read_text())


def envelope(**data: Any) -> dict[str, Any]:
    return {"status": "success", "data": data, "warnings": ["w"]}


MATRIX = envelope(
    resultType="matrix",
    result=[
        {"metric": {"a": "b", "i": str(i)}, "values": [[START + 15 * at, "0.5"] for at in range(4)]}
        for i in range(3)
    ],
)
VECTOR = envelope(
    resultType="vector",
    result=[{"metric": {"a": "b", "i": str(i)}, "value": [START, "1e-3"]} for i in range(2)],
)
RULES = envelope(
    groups=[{"name": "g", "file": "f", "interval": 5, "rules": [{"name": "A", "type": "alerting"}]}]
)


def compact(document: Any) -> bytes:
    """Without blanks, as Go writes: the fast reader takes only this form."""
    return json.dumps(document, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def prometheus(answering):
    client = Prometheus(answering.url, timeout_seconds=5)
    yield client
    client.close()


@pytest.fixture(scope="module")
def alertmanager(answering):
    client = Alertmanager(answering.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def loki(answering):
    client = Loki(answering.url, '{job="x"}', clock=lambda: 1_795_470_100.0)
    yield client
    client.close()


def answer_or_reason(ask: Any) -> Any:
    """What a reader gives, or None where it said in a sentence why not."""
    try:
        return ask()
    except Unavailable as why:
        failure = why
    assert failure.reason.strip()
    assert failure.kind.strip()
    return None


@pytest.mark.parametrize("fast", [True, False], ids=["compact", "spaced"])
@given(data=st.data())
@thorough
def test_a_range_answer(answering, prometheus, fast, data):
    body = data.draw(damaged(MATRIX))
    if fast:
        body = body.replace(b", ", b",").replace(b": ", b":")
    answering.body = body
    matrix = answer_or_reason(lambda: prometheus.range("x", START, START + 60, 15))
    if matrix is not None:
        assert matrix.values.shape == (len(matrix.labels), 5)
        assert all(isinstance(text, str) for names in matrix.labels for text in (*names, *names.values()))
    answer_or_reason(lambda: prometheus.raw("x", 60))


@given(body=damaged(VECTOR) | damaged(envelope(resultType="scalar", result=[START, "1"])))
@example(said(envelope(resultType="string", result=[START, "x"])))
@thorough
def test_an_instant_answer(answering, prometheus, body):
    answering.body = body
    vector = answer_or_reason(lambda: prometheus.instant("x"))
    for sample in vector.samples if vector is not None else ():
        assert isinstance(sample.value, float)
        assert math.isfinite(sample.time) or math.isnan(sample.time)


@pytest.mark.parametrize("name", ["query-native", "query_range-native", "query_range-utf8"])
@given(data=st.data())
@thorough
def test_native_histograms_and_names_of_prometheus_3(answering, prometheus, name, data):
    answering.body = data.draw(damaged(recorded(f"prometheus-3/{name}.json")))
    answer_or_reason(lambda: prometheus.instant("x"))
    answer_or_reason(lambda: prometheus.range("x", START, START + 60, 15))


@given(body=damaged(RULES) | damaged(envelope(result=["a", "b"])), which=st.integers(0, 8))
@thorough
def test_lists_of_rules_targets_and_labels(answering, prometheus, body, which):
    answering.body = body
    asks = (
        prometheus.rules, prometheus.alerts, prometheus.targets, prometheus.metadata, prometheus.buildinfo,
        prometheus.runtimeinfo, lambda: prometheus.label_values("run_id"), lambda: prometheus.series(["x"], 0, 1),
        lambda: prometheus.exemplars("x", 0, 1),
    )  # fmt: skip
    answer_or_reason(asks[which])


@given(body=damaged(RULES) | damaged([ALERT]))
@thorough
def test_the_board_of_alerts_says_what_it_cannot_read(answering, prometheus, alertmanager, body):
    """One server lies about everything at once: rules, targets, alerts, silences and its own state."""
    answering.body = body
    board = AlertBoard(prometheus, [alertmanager])
    listed = board.look()
    board.close()
    assert listed.findings, "a source that lies is never all quiet"


@given(
    status=st.sampled_from((200, 400, 404, 422, 500, 502, 503)),
    body=torn(said({"status": "error", "errorType": "bad_data", "error": "no"})),
)
@thorough
def test_every_error_is_one_of_ours(answering, prometheus, alertmanager, loki, status, body):
    answering.body, answering.status = body, status
    try:
        for ask in (lambda: prometheus.instant("x"), alertmanager.alerts, loki.tail, prometheus.ready):
            answer_or_reason(ask)
    finally:
        answering.status = 200


@given(body=damaged([ALERT, {**ALERT, "fingerprint": "2"}]))
@thorough
def test_alerts_of_an_alertmanager(answering, alertmanager, body):
    answering.body = body
    for alert in answer_or_reason(alertmanager.alerts) or ():
        assert all(isinstance(text, str) for text in (*alert.labels, *alert.labels.values()))
        assert all(isinstance(text, str) for text in (*alert.annotations, *alert.annotations.values()))
        assert isinstance(alert.fingerprint, str)
        assert isinstance(alert.state, str)
        assert math.isfinite(alert.starts_at)


@given(body=damaged([SILENCE, {**SILENCE, "id": "b"}]))
@thorough
def test_silences_of_an_alertmanager(answering, alertmanager, body):
    answering.body = body
    for silence in answer_or_reason(alertmanager.silences) or ():
        silence.mutes({"alertname": "ExpertDead"})
        assert isinstance(silence.comment, str)
    answer_or_reason(alertmanager.status)


def test_one_alert_that_cannot_be_read_takes_no_other_with_it(answering, alertmanager):
    answering.body = said([ALERT, {"labels": {"alertname": "Odd"}}, 7, {**ALERT, "fingerprint": "2"}])
    assert [alert.fingerprint for alert in alertmanager.alerts()] == ["197c0b2c5ed92ce0", "2"]
    assert alertmanager.left_out == 2
    board = AlertBoard(None, [alertmanager])
    listed = board.look()
    board.close()
    assert len(listed.entries) == 2
    assert "2 alerts of" in next(one.words for one in listed.findings if one.kind == "alertmanager-unread")
    assert not listed.quiet


@given(body=damaged(recorded("loki/query_range.json")))
@thorough
def test_lines_of_a_loki(answering, loki, body):
    answering.body = body
    page = answer_or_reason(lambda: loki.tail(limit=5))
    for line in page.lines if page is not None else ():
        assert isinstance(line.event, str)


@given(data=st.data())
@thorough
def test_traces_of_a_jaeger(answering, data):
    jaeger = Jaeger(answering.url)
    answering.body = data.draw(
        damaged(recorded("jaeger/trace.json")) | damaged(recorded("jaeger/search.json"))
    )
    trace = answer_or_reason(lambda: jaeger.trace("4bf92f3577b34da6a3ce929d0e0e4736"))
    assert trace is None or all(isinstance(span.name, str) and span.duration_ns >= 0 for span in trace.spans)
    answer_or_reason(lambda: jaeger.search(Search("moe-router", 0, 1)))
    jaeger.close()


@given(data=st.data())
@thorough
def test_traces_of_a_tempo(answering, data):
    tempo = Tempo(answering.url)
    answering.body = data.draw(damaged(recorded("tempo/trace.json")) | damaged(recorded("tempo/search.json")))
    trace = answer_or_reason(lambda: tempo.trace("4bf92f3577b34da6a3ce929d0e0e4736"))
    assert trace is None or all(isinstance(span.name, str) and span.duration_ns >= 0 for span in trace.spans)
    answer_or_reason(lambda: tempo.search(Search("moe-router", 0, 1)))
    tempo.close()


def test_a_regular_expression_of_somebody_else_does_not_stop_the_server(answering, alertmanager):
    """RE2 takes time in proportion to the text; a silence with (a+)+$ must not hold every page."""
    evil = {**SILENCE, "matchers": [{"name": "x", "value": "(a+)+$", "isRegex": True, "isEqual": True}]}
    answering.body = said([evil])
    [silence] = alertmanager.silences()
    began = time.monotonic()
    assert not silence.mutes({"x": "a" * 40 + "!"})
    assert time.monotonic() - began < 2
