"""The banner of every page: while the monitoring itself is not sound each page says so, once."""

import re
import threading
import time

import pytest

from dashboard.shell.pipeline import EVERYTHING
from dashboard.sitemap import ENTRIES
from dashboard.sources import current
from tests import services
from tests.pages.screen import words

pytestmark = pytest.mark.services

NOT_SOUND = "The monitoring itself is not sound."


@pytest.mark.parametrize("name", [entry.script for entry in ENTRIES])
def test_every_page_says_that_a_target_is_down(open_page, router, name):
    """The router's Prometheus has a target of the job "gone" that never answers."""
    app = open_page(name, prometheus_url=router.url)
    assert not app.exception
    text = words(app)
    assert re.search(r"targets? (is |are )?down: gone|Not: 127\.0\.0\.1:9\.", text)
    assert text.count("Alerts that stand on it are silent, not resolved.") <= 1
    assert (NOT_SOUND in text) == (name not in {"alerts", "overview", "health"})


def test_a_prometheus_that_is_down_is_said_once_on_a_page_without_charts(open_page):
    text = words(open_page("logs", prometheus_url="http://127.0.0.1:9"))
    assert text.count(NOT_SOUND) == 1
    assert "refused" in text
    charts = words(open_page("hardware", prometheus_url="http://127.0.0.1:9"))
    assert NOT_SOUND not in charts
    assert "refused" in charts


def test_a_site_without_prometheus_has_no_banner(open_page):
    assert NOT_SOUND not in words(open_page("logs"))


def test_a_watchdog_that_no_rule_lights_is_said(open_page, prometheus):
    server = prometheus(rules=["groups:\n- name: g\n  rules:\n  - {alert: Other, expr: vector(0) > 1}\n"])
    server.wait_for("prometheus_rule_group_last_evaluation_timestamp_seconds or vector(1)")
    assert "No rule called Watchdog is loaded" in words(open_page("training", prometheus_url=server.url))


def test_pages_that_tell_everything_tell_every_kind_there_is():
    """A new kind of finding must not be kept from a reader because a list forgot it."""
    import ast
    import inspect

    from dashboard.alerts import pipeline

    calls = [node for node in ast.walk(ast.parse(inspect.getsource(pipeline))) if isinstance(node, ast.Call)]
    kinds = {call.args[0].value for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Finding" and isinstance(call.args[0], ast.Constant)}  # fmt: skip
    assert kinds | {"watchdog-missing"} == EVERYTHING


def test_a_banner_never_waits_for_a_prometheus_that_hangs(open_page, monkeypatch):
    """The list is asked for behind the page: a slow answer holds up nobody who only wants the banner."""
    open_page("logs", prometheus_url="http://127.0.0.1:9", refresh_seconds=0.2)
    board = current().alerts
    asked = threading.Event()
    answer = threading.Event()

    def hang() -> list[dict[str, object]]:
        asked.set()
        answer.wait(10)
        return []

    monkeypatch.setattr(board._prometheus, "rules", hang)
    services.wait_until(lambda: board.glance() and asked.is_set(), 5, "a look behind the page")
    began = time.monotonic()
    board.glance()
    assert time.monotonic() - began < 0.1
    answer.set()
