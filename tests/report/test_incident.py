"""The report of a stretch of time: alerts, charts, logs, benchmark runs and people in one file, whatever is off."""

import json
import time
import zipfile

import pytest

from collectors.unavailable import Unavailable
from dashboard import cli
from dashboard.feed import Window
from dashboard.report import gather, incident, tables
from dashboard.settings import Settings
from dashboard.sources import Sources
from tests import services
from tests.pages.router import serving
from tests.report.conftest import HOSTILE
from tests.verdict.recorded import RUNS

BEFORE = Window("1795472800000", "1795473100000")  # around the recorded runs


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("incident") / "prometheus") as server:
        server.wait_for("count_over_time(inference_latency_seconds_count[30s]) > 9")  # points to draw
        yield server


@pytest.mark.services
@pytest.mark.browser
def test_an_incident_full_of_hostile_text_opens_without_network_and_runs_nothing(
    router, hostile, store, browser, tmp_path
):
    store.note("f1", alert=HOSTILE, who=HOSTILE, text=HOSTILE)
    store.acknowledge("f1", alert="LowPopulationDiversity", who="Ada", comment="on it")
    now = time.time()
    line = {"event": "Disk full", "level": "warning", "timestamp": now - 5, "extra": HOSTILE}
    old = {"event": "Long ago", "level": "warning", "timestamp": now - 50_000}
    log = tmp_path / "site.jsonl"
    log.write_text(f"{json.dumps(old)}\n{json.dumps(line)}\n")
    settings = Settings(
        prometheus_url=router.url, runs_dir=hostile.runs_dir, data_dir=hostile.data_dir, log_files=(str(log),)
    )
    sources = Sources(settings)
    try:
        found = gather.of_range(sources, Window("now-10m"))
        page, numbers = incident.page(found), incident.tables(found)
    finally:
        sources.feed.close()
        sources.store.close()
    assert {one.name for one in found.history.episodes} == {"LowPopulationDiversity", "HighInferenceLatency"}
    assert "Disk full" in page
    assert "Long ago" not in page
    assert "on it" in page
    out = tmp_path / "incident.html"
    out.write_text(page, encoding="utf-8")
    opened = browser.new_page()
    asked, trouble = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: trouble.append(message.text))
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.on("dialog", lambda dialog: trouble.append(dialog.message))
    opened.goto(out.as_uri())
    opened.wait_for_selector("html[data-drawn]", timeout=30_000)
    assert (
        int(opened.evaluate("document.documentElement.dataset.drawn")) >= 4
    )  # episodes, and panels that have data
    words = opened.locator("body").inner_text()
    assert "<img src=x onerror=alert(1)>" in words
    assert HOSTILE.split("\u202e")[0].strip() in words
    assert opened.evaluate("document.images.length") == 0
    assert opened.locator("[onerror], [onload]").count() == 0
    assert asked == [out.as_uri()]
    assert trouble == []
    opened.close()
    latency = next(table for table in numbers if table.name == "panel-latency-percentiles")
    assert latency.about["unit"] == "seconds"
    assert {"time_utc", "series", "value"} == set(latency.frame.columns)
    [people] = [table for table in numbers if table.name == "people"]
    assert [*people.frame["action"]] == ["note", "acknowledge"]


def test_who_may_not_read_the_audit_log_gets_what_everybody_sees(tmp_path, hostile, store):
    store.note("f1", alert="ExpertDead", who="Ada", text="looking")
    store.acknowledge("f1", alert="ExpertDead", who="Bo", comment="mine")
    store.record(who="Cy", action="start benchmark", subject="reference-moe")
    sources = Sources(hostile)
    try:
        found = gather.of_range(sources, Window("now-5m"), audit=False)
        page = incident.page(found)
    finally:
        sources.feed.close()
        sources.store.close()
    assert [(one.who, one.action, one.words) for one in found.said.deeds] == [
        ("Ada", "note", "looking"),
        ("Bo", "acknowledge", "mine"),
    ]
    assert "the audit log is for admins" in page
    assert "start benchmark" not in page


def test_without_prometheus_nothing_is_called_quiet(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MOE_DASHBOARD_RUNS_DIR", str(RUNS))
    monkeypatch.setenv("MOE_DASHBOARD_DATA_DIR", str(tmp_path))
    out = tmp_path / "incident.zip"
    assert (
        cli.main(["report", "--from", "2026-11-23T22:20", "--to", "2026-11-23T22:29Z", "-o", str(out)]) == 0
    )
    with zipfile.ZipFile(out) as archive:
        page = archive.read("report.html").decode()
        alerts = archive.read("alerts.csv").decode()
        points = archive.read("run-1.csv").decode().splitlines()
    assert "No Prometheus is configured, and it alone remembers what fired." in page
    assert "No alert" not in page
    assert json.loads(alerts.partition("\n")[0][2:])["unknown_because"] == "no Prometheus is configured"
    assert "Nobody wrote or did anything through the dashboard." in page
    assert "healthy" in page
    assert all("2026-11-23T22:2" in line for line in points[2:])  # no point outside the stretch


def test_a_prometheus_that_is_off_is_said_and_the_rest_is_there(tmp_path):
    settings = Settings(
        prometheus_url=f"http://127.0.0.1:{services.free_port()}", runs_dir=RUNS, data_dir=tmp_path
    )
    sources = Sources(settings)
    try:
        found = gather.of_range(sources, Window.parse("1795472790000", "1795473000000"))
        page = incident.page(found)
    finally:
        sources.feed.close()
        sources.store.close()
    assert isinstance(found.history.unavailable, Unavailable)
    assert "Not known: " in page
    assert "No alert" not in page
    assert "Prometheus has nothing on" not in page
    assert found.runs


def test_a_data_directory_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "data").write_text("in the way")
    sources = Sources(Settings(runs_dir=RUNS, data_dir=tmp_path / "data"))
    try:
        page = incident.page(gather.of_range(sources, BEFORE))
    finally:
        sources.feed.close()
    assert "The store" in page
    assert "The benchmark runs cannot be read" in page
    assert "No benchmark ran" not in page
    assert "Nobody wrote" not in page


def test_a_table_says_its_unit_and_holds_no_formula():
    import pandas as pd

    table = tables.Table(
        "t",
        pd.DataFrame({"=cmd": ["=1+1", "-3", "@x", "plain"], "seconds": [1.0, -2.0, None, 3.0]}),
        {"unit": "seconds"},
    )
    head, names, *rows = table.csv().splitlines()
    assert json.loads(head[2:]) == {"table": "t", "unit": "seconds", "times": "UTC"}
    assert names == "'=cmd,seconds"
    assert rows == ["'=1+1,1.0", "-3,-2.0", "'@x,", "plain,3.0"]
