"""The Runbooks page: the alert's page with its checks run, a template where there is none, a table of all."""

import pytest

from dashboard import catalogue
from dashboard.shell.runbooks import address_of
from tests.pages.screen import words


def test_a_firing_alert_opens_its_page_with_its_labels_and_evidence(open_page, router):
    app = open_page("runbooks", query={"alert": "LowPopulationDiversity"}, prometheus_url=router.url)
    text = words(app)
    assert "run_id=r1" in app.code[0].value
    assert "The evidence supports, the worst first:**\n- the population has converged too early" in text
    assert "firing since" in text
    assert "**0.04**" in text
    for heading in ("Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention"):
        assert f"#### {heading}" in text


def test_a_check_without_prometheus_could_not_tell_and_says_why(open_page):
    app = open_page("runbooks", query={"alert": "LowPopulationDiversity", "run_id": "r1"})
    text = words(app)
    assert "No check could tell anything" in text
    assert "Could not tell: No Prometheus is configured." in text


def test_labels_of_the_address_fill_the_checks_and_cannot_become_promql(open_page, router):
    hostile = 'r1"} or vector(1) or x{a="$run'
    app = open_page(
        "runbooks", query={"alert": "LowPopulationDiversity", "run_id": hostile}, prometheus_url=router.url
    )
    queries = [code.value for code in app.code[1:]]
    assert any('run_id="r1\\"} or vector(1) or x{a=\\"\\x24run"' in query for query in queries)
    assert "converged too early" not in words(app).partition("#### Meaning")[0]


@pytest.mark.parametrize("name", ["Nope", "../x", "A\nB"])
def test_an_alert_without_a_page_offers_one_to_copy_or_says_that_it_is_no_name(open_page, name):
    app = open_page("runbooks", query={"alert": name})
    assert not app.error
    assert len(app.info) >= 1
    assert [code.value for code in app.code if code.value.startswith("---\nalert: Nope")] or name != "Nope"


def test_without_a_choice_every_alert_is_in_the_table(open_page):
    table = open_page("runbooks").dataframe[0].value
    assert set(table["alert"]) >= {alert.name for alert in catalogue.ALERTS}
    assert set(table["runbook"]) == {"shipped"}


def test_a_label_that_means_something_else_in_the_address_is_kept_apart():
    assert address_of("X", {"alertname": "X", "run": "a", "from": "b", "gpu_id": "0"}) == {
        "alert": "X", "label.run": "a", "label.from": "b", "gpu_id": "0",
    }  # fmt: skip
