"""The list against a real Prometheus and a real Alertmanager: fire, silence, acknowledge, lose the source, lose Prometheus."""

import time

import pytest

from collectors.alertmanager import Alertmanager, Matcher
from collectors.prometheus import Prometheus
from dashboard.alerts.board import AlertBoard
from dashboard.alerts.entry import Entry
from dashboard.alerts.past import Past
from dashboard.alerts.ticket import ticket
from dashboard.store import Store
from tests import services

pytestmark = pytest.mark.services

RULES = """
groups:
- name: test.rules
  rules:
  - alert: Watchdog
    expr: vector(1)
    labels: {severity: none}
  - alert: LowPopulationDiversity
    expr: evolution_diversity_score < 0.1
    labels: {severity: warning}
    annotations: {summary: "low <b>{{ $labels.run_id }}</b>", runbook_url: "javascript:alert(1)"}
  - alert: Waiting
    expr: evolution_diversity_score < 0.1
    for: 1h
    labels: {severity: critical}
"""
LOW = 'evolution_diversity_score{run_id="r1"} 0.04\n'
HIGH = 'evolution_diversity_score{run_id="r1"} 0.7\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Prometheus, Alertmanager and a router that can be made to misbehave."""
    folder = tmp_path_factory.mktemp("site")
    with (
        services.scrape_target(LOW) as router,
        services.alertmanager(folder / "a") as alertmanager,
        services.prometheus(
            folder / "p",
            targets={"moe-router": router.target},
            rules=[RULES],
            alertmanagers=[alertmanager.target],
            # it knows Alertmanagers 5 s after its start and would send again only after a minute
            flags=["--rules.alert.resend-delay=1s"],
            config={"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms", "external_labels": {"cluster": "lab"}}},
        ) as prometheus,
    ):  # fmt: skip
        prometheus.wait_for('ALERTS{alertname="LowPopulationDiversity",alertstate="firing"}')
        services.wait_until(
            lambda: len(alertmanager.get("/api/v2/alerts")) >= 2, 30, "alerts in Alertmanager"
        )
        yield router, prometheus, alertmanager


@pytest.fixture
def board(site, tmp_path):
    _, prometheus, alertmanager = site
    clients = Prometheus(prometheus.url, timeout_seconds=3), Alertmanager(alertmanager.url)
    store = Store(tmp_path / "store.sqlite")
    board = AlertBoard(clients[0], [clients[1]], store, refresh_seconds=0)
    yield board
    board.close()
    store.close()
    for client in clients:
        client.close()


def _entry(board: AlertBoard, name: str) -> Entry | None:
    return next((entry for entry in board.look().entries if entry.name == name), None)


def _state(board: AlertBoard, name: str) -> str | None:
    entry = _entry(board, name)
    return entry.state if entry else None


def test_what_fires_and_what_waits_is_in_one_list(board, site):
    seen = board.look()
    low, waiting, dog = (_entry(board, name) for name in ("LowPopulationDiversity", "Waiting", "Watchdog"))
    assert low.state == "firing"
    assert low.said == {"prometheus": "firing", "alertmanager": "active"}
    assert low.value == 0.04
    assert low.silenced is False
    assert low.query == "evolution_diversity_score < 0.1"
    assert abs(low.since - time.time()) < 120
    assert waiting.state == "pending"
    assert waiting.said == {"prometheus": "pending"}
    assert dog.state == "firing"
    assert seen.counts == {"firing": 1, "pending": 1}
    assert seen.findings == ()
    assert not seen.quiet
    assert seen.entries[-1].name in {"Watchdog", "Waiting"}


def test_the_list_is_filtered_as_alertmanager_would(board):
    seen = board.look()
    assert [entry.name for entry in seen.chosen('run_id="r1", state="firing"')] == ["LowPopulationDiversity"]
    assert [entry.name for entry in seen.chosen('severity=~"crit.*"')] == ["Waiting"]
    assert seen.muted_by((Matcher("alertname", "Waiting"),))[0].name == "Waiting"


def test_one_look_serves_everybody(site):
    client = Prometheus(site[1].url)
    board = AlertBoard(client, refresh_seconds=60)
    assert board.look() is board.look()
    board.close()
    client.close()


def test_an_acknowledgement_is_seen_at_once_and_by_everybody(board, tmp_path):
    low = _entry(board, "LowPopulationDiversity")
    other = Store(tmp_path / "store.sqlite")
    other.acknowledge(low.fingerprint, alert=low.name, who="alice", comment="on it")
    seen = board.look()
    low = _entry(board, "LowPopulationDiversity")
    assert low.state == "acknowledged"
    assert low.acknowledgement.who == "alice"
    assert low not in seen.chosen(not_acknowledged=True)
    other.release(low.fingerprint, alert=low.name, who="alice")
    other.close()
    assert _entry(board, "LowPopulationDiversity").state == "firing"


def test_a_silence_is_seen_and_can_be_ended(board, site):
    client = Alertmanager(site[2].url)
    made = client.create_silence(
        [Matcher("alertname", "LowPopulationDiversity")],
        starts_at=time.time(),
        ends_at=time.time() + 60,
        created_by="alice",
        comment="known",
    )
    services.wait_until(lambda: _state(board, "LowPopulationDiversity") == "silenced")
    seen = board.look()
    assert made in {silence.id for silence in seen.silences}
    assert "LowPopulationDiversity" not in {entry.name for entry in seen.chosen(not_silenced=True)}
    client.expire_silence(made)
    services.wait_until(lambda: _state(board, "LowPopulationDiversity") == "firing")
    client.close()


def test_without_an_alertmanager_silences_are_unknown(site):
    client = Prometheus(site[1].url)
    board = AlertBoard(client, refresh_seconds=0)
    seen = board.look()
    assert [finding.kind for finding in seen.findings] == ["no-alertmanager"]
    assert seen.silences is None
    assert all(entry.silenced is None for entry in seen.entries)
    board.close()
    client.close()


def test_an_alertmanager_that_is_gone_is_a_finding_and_the_list_stays(site):
    client, gone = Prometheus(site[1].url), Alertmanager("http://127.0.0.1:9")
    board = AlertBoard(client, [gone], refresh_seconds=0)
    seen = board.look()
    assert "alertmanager-unavailable" in {finding.kind for finding in seen.findings}
    assert seen.counts["firing"] == 1
    board.close()
    client.close()
    gone.close()


def test_no_prometheus_at_all_is_said():
    board = AlertBoard(None)
    seen = board.look()
    assert [finding.kind for finding in seen.findings] == ["no-prometheus", "no-alertmanager"]
    assert seen.entries == ()
    board.close()


def test_a_ticket_is_markdown_that_cannot_be_abused(board):
    low = _entry(board, "LowPopulationDiversity")
    text = ticket(low, now=time.time(), dashboard_url="https://moe.example.org")
    assert "<b>" not in text.replace("\\<b\\>", "")
    assert "javascript" not in text
    assert "[Runbook](https://moe.example.org/runbooks?alert=LowPopulationDiversity)" in text
    assert "| run\\_id | r1 |" in text


def test_the_story_of_an_alert_whose_source_vanishes_and_prometheus_too(board, site):
    """Last in this module: it stops things. Resolved, source gone and unreachable are three different words."""
    router, prometheus, _ = site
    began = time.time()
    low = _entry(board, "LowPopulationDiversity")

    router.status = 500  # the router dies: its series go stale
    services.wait_until(lambda: _state(board, "LowPopulationDiversity") == "source gone")
    gone = _entry(board, "LowPopulationDiversity")
    assert gone.fingerprint == low.fingerprint
    assert "not resolved" in gone.note
    assert "target-down" in {finding.kind for finding in board.look().findings}

    router.status, router.text = 200, LOW  # it comes back, and misbehaves still: a second episode
    services.wait_until(lambda: _state(board, "LowPopulationDiversity") == "firing")
    router.text = HIGH  # it recovers
    services.wait_until(
        lambda: (found := _entry(board, "LowPopulationDiversity")) is None or "prometheus" not in found.said
    )

    client = board._prometheus
    assert client is not None
    # an episode is over when an evaluation or two have gone without it
    past = services.wait_until(
        lambda: (
            (
                found := Past(client, matchers='alertname="LowPopulationDiversity"').between(
                    began - 60, time.time()
                )
            )
            and found.episodes[0].ended_at
            and found
        )
    )
    assert past.step_seconds is None
    newest, oldest = past.episodes
    assert oldest.since == pytest.approx(low.since, abs=1)
    assert oldest.ended_at is not None
    assert oldest.ended_at < newest.since
    assert newest.ended_at is not None
    assert newest.fired_at == pytest.approx(newest.since, abs=1)
    assert past.at(newest.fired_at) == (newest,)

    router.text = LOW
    services.wait_until(lambda: _state(board, "LowPopulationDiversity") == "firing")
    prometheus.stop()
    seen = board.look()
    assert "prometheus-unavailable" in {finding.kind for finding in seen.findings}
    assert _entry(board, "Waiting").state == "unknown"
    assert seen.prometheus_at < seen.looked_at
    assert not seen.quiet
    assert seen.counts["unknown"] == 2

    prometheus.start()
    services.wait_until(
        lambda: (
            (found := _entry(board, "LowPopulationDiversity")) is not None
            and found.said.get("prometheus") == "firing"
        ),
        30,
    )
    assert "prometheus-unavailable" not in {finding.kind for finding in board.look().findings}
