"""The Overview: what runs, what fires, whether the monitoring is sound."""

from tests.pages.runs import directory, figures
from tests.pages.screen import words

WEEKS = {"from": "now-30d"}


def test_runs_are_shown_with_state_generation_and_best(open_page, tmp_path):
    app = open_page("overview", runs_dir=directory(tmp_path, "healthy", "mutation-zero", "nan"), query=WEEKS)
    shown = [(metric.label, metric.value) for metric in app.metric]
    assert ("Generation", "150") in shown
    assert ("Best fitness", "0.9075") in shown
    assert words(app).count("It says that it finished.") == 3
    assert "curves-fitness-now" in figures(app)


def test_without_prometheus_nothing_is_claimed_about_alerts(open_page):
    app = open_page("overview")
    assert "so no alert can fire" in words(app)
    assert "Nothing fires." not in words(app)


def test_a_prometheus_that_is_off_is_never_no_alerts(open_page):
    app = open_page("overview", prometheus_url="http://127.0.0.1:9")
    assert "refused" in words(app)
    assert "What fires now is not known" in words(app)
    assert "Nothing fires." not in words(app)
    assert not [metric for metric in app.metric if metric.label == "Firing"]


def test_what_fires_is_named_with_its_runbook_and_what_is_down_is_said(open_page, router):
    app = open_page("overview", prometheus_url=router.url)
    said = words(app)
    assert "LowPopulationDiversity" in said
    assert [
        link for link in app.get("page_link") if "alert=LowPopulationDiversity" in link.proto.query_string
    ]
    assert "1 of 2 targets are down: gone at 127.0.0.1:9." in said
    assert {metric.label: metric.value for metric in app.metric}["Firing"] != "0"
