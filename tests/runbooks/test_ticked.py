"""Ticks belong to an occurrence of an alert: one that Prometheus was restarted in is the same, one that ended is not."""

import time
from pathlib import Path

from collectors.prometheus import Prometheus
from dashboard.alerts.board import AlertBoard
from dashboard.alerts.entry import Entry
from dashboard.alerts.episodes import Episode
from dashboard.alerts.past import Past
from dashboard.ports import free_port
from dashboard.runbooks.ticked import key
from dashboard.store import Store
from tests import services

NAME = {"alertname": "ExpertDead"}


def entry(since: float | None, fired_at: float | None = None) -> Entry:
    return Entry("ExpertDead", "firing", NAME, {}, "f00d", since=since, fired_at=fired_at)


def episode(since: float, ended_at: float | None = None) -> Episode:
    return Episode("ExpertDead", NAME, "f00d", since, since, ended_at)


def test_the_key_is_the_alert_and_its_beginning():
    assert key(entry(1000.4), {}, ()) == "f00d@1000"


def test_what_was_ticked_before_a_restart_is_found_by_the_record_and_by_alertmanager():
    ticked = {"f00d@1000": 1200.0}
    assert key(entry(2000), ticked, [episode(1000)]) == "f00d@1000"
    assert key(entry(2000, fired_at=1060), ticked, ()) == "f00d@1000"


def test_what_was_ticked_in_an_earlier_episode_is_not_this_ones():
    ticked = {"f00d@1000": 1200.0}
    assert key(entry(2000), ticked, [episode(2000), episode(1000, ended_at=1500)]) == "f00d@2000"
    assert key(entry(2000), ticked, ()) == "f00d@2000", "where nobody knows, a new one is the likelier story"


def test_two_restarts_end_at_the_same_key():
    ticked = {"f00d@1000": 1200.0, "f00d@500": 600.0}
    assert key(entry(3000), ticked, [episode(1000), episode(500, ended_at=700)]) == "f00d@1000"


def test_the_store_tells_in_which_episodes_of_an_alert_something_is_ticked(tmp_path: Path):
    now = iter([100.0, 200.0, 300.0, 400.0])
    store = Store(tmp_path / "store.sqlite", clock=lambda: next(now))
    store.tick("f00d@1", "look", who="Ada")
    store.tick("f00d@1", "act", who="Ada")
    store.tick("f00d@9", "look", who="Ada")
    store.tick("f00dbeef@1", "look", who="Ada")
    assert store.ticked("f00d") == {"f00d@1": 200.0, "f00d@9": 300.0}
    assert store.ticked("%") == {}
    store.close()


RULES = """
groups:
- {name: aaa, rules: [{alert: ExpertDead, expr: vector(1), for: 2s, labels: {severity: warning}}]}
- {name: monitoring.rules, rules: [{alert: Watchdog, expr: vector(1), labels: {severity: none}}]}
"""


def test_ticks_survive_a_restart_of_a_real_prometheus(tmp_path: Path):
    """Its rules stand in several groups, as the exported ones do; the restart gives the alert another beginning."""
    port = free_port()
    store = Store(tmp_path / "store.sqlite")

    def look(url: str) -> tuple[Entry, str]:
        prometheus = Prometheus(url)
        board = AlertBoard(prometheus, refresh_seconds=0.0)
        found = [one for one in board.look().entries if one.name == "ExpertDead"]
        board.close()
        assert found
        past = Past(prometheus).between(time.time() - 600, time.time())
        return found[0], key(found[0], store.ticked(found[0].fingerprint), past.episodes)

    firing = 'ALERTS{alertname="ExpertDead",alertstate="firing"}'
    running = {"rules": [RULES], "port": port, "evaluation_seconds": 1.0}
    with services.prometheus(tmp_path / "prometheus", **running) as server:
        server.wait_for(f"count_over_time({firing}[1m]) > 3")
        before, first = look(server.url)
        store.tick(first, "look", who="Ada")
    with services.prometheus(tmp_path / "prometheus", **running) as server:
        server.wait_for(
            f"{firing} and on () count_over_time(ALERTS_FOR_STATE{{alertname='ExpertDead'}}[2s]) > 0"
        )
        services.wait_until(
            lambda: any(one.name == "ExpertDead" for one in _entries(server.url)), what="the alert to be back"
        )
        after, now = look(server.url)
    assert after.since != before.since, "Prometheus calls it new"
    assert after.episode != before.episode
    assert now == first
    assert set(store.ticks(now)) == {"look"}
    store.close()


def _entries(url: str) -> tuple[Entry, ...]:
    board = AlertBoard(Prometheus(url), refresh_seconds=0.0)
    try:
        return board.look().entries
    finally:
        board.close()
