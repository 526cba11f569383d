"""Against a real Alertmanager: alerts, silences made, extended and expired; and against things that are none."""

import json
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from collectors.alertmanager import Alertmanager, Matcher
from collectors.unavailable import Unavailable
from tests import services

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with services.alertmanager(tmp_path_factory.mktemp("alertmanager")) as running:
        yield running


@pytest.fixture(scope="module")
def alertmanager(server):
    client = Alertmanager(server.url)
    yield client
    client.close()


def _post(server, *alerts):
    body = json.dumps([{"labels": labels} for labels in alerts]).encode()
    server.post("/api/v2/alerts", body, **{"Content-Type": "application/json"})


def test_an_alert_is_read_whole(server, alertmanager):
    labels = {"alertname": "Whole", "run_id": 'r"1', "severity": "warning"}
    before = time.time()
    _post(server, labels)
    [alert] = services.wait_until(
        lambda: [one for one in alertmanager.alerts() if one.labels == labels and one.state == "active"]
    )
    assert abs(alert.starts_at - before) < 10
    assert alert.ends_at > alert.starts_at
    assert alert.receivers == ("nobody",)
    assert (alert.silenced_by, alert.inhibited_by) == ((), ())


def test_a_silence_lives_from_creation_through_extension_to_its_end(server, alertmanager):
    labels = {"alertname": "Silenced", "run_id": "r1"}
    _post(server, labels)
    now = time.time()
    matchers = (Matcher("alertname", "Silenced"), Matcher("run_id", "r[12]", is_regex=True))
    made = alertmanager.create_silence(
        matchers, starts_at=now, ends_at=now + 600, created_by="alice", comment="known"
    )
    [silence] = [one for one in alertmanager.silences() if one.id == made]
    assert (silence.matchers, silence.created_by, silence.comment) == (matchers, "alice", "known")
    assert silence.mutes(labels)
    assert not silence.mutes({**labels, "run_id": "r3"})
    services.wait_until(
        lambda: any(one.silenced_by == (made,) for one in alertmanager.alerts() if one.labels == labels)
    )
    extended = alertmanager.extend_silence(silence, ends_at=now + 1200, created_by="bob", comment="longer")
    assert extended == made
    [silence] = [one for one in alertmanager.silences() if one.id == made]
    assert abs(silence.ends_at - (now + 1200)) < 1
    alertmanager.expire_silence(made)
    alertmanager.expire_silence(made)
    [silence] = [one for one in alertmanager.silences() if one.id == made]
    assert silence.state == "expired"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"created_by": " "}, "name"),
        ({"comment": ""}, "comment"),
        ({"ends_at": 0.0}, "ends after"),
        ({"matchers": ()}, "at least one matcher"),
        ({"matchers": (Matcher("run_id", ".*", is_regex=True),)}, "without any label"),
    ],
)
def test_what_alertmanager_would_take_but_nobody_should_make_is_refused(alertmanager, change, words):
    asked = {
        "matchers": (Matcher("a", "b"),),
        "starts_at": 1.0,
        "ends_at": 2.0,
        "created_by": "alice",
        "comment": "known",
        **change,
    }
    with pytest.raises(ValueError, match=words):
        alertmanager.create_silence(asked.pop("matchers"), **asked)
    with pytest.raises(ValueError, match="no id"):
        alertmanager.expire_silence("../status")


def test_alertmanager_s_own_words_are_in_the_reason(alertmanager):
    with pytest.raises(Unavailable, match="invalid label name") as refused:
        alertmanager.create_silence(
            (Matcher("a", "b"), Matcher("", "x")),
            starts_at=time.time(),
            ends_at=time.time() + 9,
            created_by="alice",
            comment="known",
        )
    assert refused.value.kind == "http-400"


def test_the_status_is_told(alertmanager):
    assert alertmanager.status()["cluster"]["status"] in {"ready", "disabled"}


@pytest.mark.parametrize("body", [b"<!doctype html>", b'{"status":"success"}', b"[{}]", b"[", b'"text"'])
def test_something_else_on_the_port_is_said(body):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Quiet."""

    with services.http_server(Handler) as url:
        client = Alertmanager(url)
        for ask in (client.alerts, client.silences, client.status):
            with pytest.raises(Unavailable) as why:
                ask()
            assert why.value.kind == "not-alertmanager"
        client.close()


def test_a_stopped_one_refuses_in_a_sentence(tmp_path: Path):
    client = Alertmanager("http://user:secret@127.0.0.1:9")
    with pytest.raises(Unavailable, match="refused the connection") as why:
        client.alerts()
    assert "secret" not in str(why.value)
    client.close()


@pytest.mark.parametrize(
    ("matcher", "text"),
    [
        (Matcher("a", "b"), 'a="b"'),
        (Matcher("a", 'b"\\', is_equal=False), 'a!="b\\"\\\\"'),
        (Matcher("a", "b.*", is_regex=True), 'a=~"b.*"'),
        (Matcher("a", "b", is_regex=True, is_equal=False), 'a!~"b"'),
    ],
)
def test_a_matcher_is_written_as_alertmanager_writes_it(matcher, text):
    assert str(matcher) == text
