"""The Health page: checks in words, targets with their errors, metrics there and missing, what observers swallowed."""

import math

import pytest

from dashboard.shell.health import moment
from tests import services
from tests.pages.screen import words


def test_checks_targets_metrics_and_failures_are_each_said(open_page, router):
    app = open_page("health", prometheus_url=router.url)
    checks, past, targets, metrics, failures = (table.value for table in app.dataframe)
    assert past["check"].tolist() == ["looks at this machine"]  # nothing starts the sampler here
    state = checks.set_index("check")["state"]
    assert state["Prometheus"] == "well"
    assert state["Alertmanager"] == "does not apply"
    assert set(targets["state"]) == {"up", "down"}
    assert targets.iloc[0]["job"] == "gone"
    assert "refused" in targets.iloc[0]["error"]
    assert "1 of 2 targets answer" in words(app)
    known = metrics.set_index("metric")["state"]
    assert known["inference_latency_seconds"] == "present"
    assert known["training_loss"] == "never seen"
    assert failures[["error", "times"]].to_numpy().tolist() == [["OSError", 2]]


def test_without_prometheus_its_parts_say_so_and_the_checks_still_stand(open_page):
    app = open_page("health")
    assert len(app.dataframe[0].value) >= 10
    assert words(app).count("No Prometheus is configured") >= 2


def test_a_check_that_failed_and_recovered_is_remembered(open_page, tmp_path):
    """Prometheus starts after the first look: the second finds it, and the page still says that it was away."""
    port = services.free_port()
    app = open_page("health", prometheus_url=f"http://127.0.0.1:{port}")
    assert "Prometheus" in app.dataframe[1].value["check"].tolist()
    with services.prometheus(tmp_path / "prometheus", port=port):
        services.wait_until(
            lambda: app.run().dataframe[0].value.set_index("check").loc["Prometheus", "state"] == "well", 15
        )
    away = app.dataframe[1].value.set_index("check").loc["Prometheus"]
    assert away["failed"].startswith("1 of ")
    assert "refused" in away["said last"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:00:00.123456789Z", 1795428000.123456),
        ("2026-11-23T11:00:00+01:00", 1795428000.0),
        ("0001-01-01T00:00:00Z", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_a_time_of_prometheus_becomes_unix_seconds_and_never_is_none(text, expected):
    found = moment(text)
    assert found is expected or math.isclose(found, expected, abs_tol=1e-5)
