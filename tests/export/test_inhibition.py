"""The exported inhibitions in a real Alertmanager: a consequence is muted, its neighbour is not."""

import json

import pytest
import yaml

from dashboard.export.alertmanager import alertmanager as configuration
from tests import services

pytestmark = pytest.mark.services
ROUTER = {"job": "moe-router", "instance": "router:9100"}


@pytest.fixture(scope="module")
def suppressed(tmp_path_factory: pytest.TempPathFactory):
    """(alertname, instance, severity) -> muted by another alert?"""
    run = {**ROUTER, "run_id": "r1"}
    alerts = [
        {"alertname": "ApplicationDown", "severity": "critical", **ROUTER},
        {"alertname": "MetricsMissing", "severity": "warning", **ROUTER},
        {"alertname": "MetricsMissing", "severity": "warning", **ROUTER, "instance": "other:9100"},
        {"alertname": "DiskWillFill", "severity": "warning", **ROUTER, "mountpoint": "/data"},
        {"alertname": "RouterCollapse", "severity": "critical", **run, "layer": "0"},
        {"alertname": "ExpertDead", "severity": "warning", **run, "layer": "0"},
        {"alertname": "ExpertImbalance", "severity": "warning", **run, "layer": "1"},
        {"alertname": "InferenceLatencySLOBurn", "severity": "critical", "job": "moe-router", "window": "1h"},
        {"alertname": "InferenceLatencySLOBurn", "severity": "warning", "job": "moe-router", "window": "3d"},
    ]
    folder = tmp_path_factory.mktemp("alertmanager")
    with services.alertmanager(folder, config=yaml.safe_load(configuration())) as server:
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        server.post("/api/v2/alerts", body, **{"Content-Type": "application/json"})
        seen = services.wait_until(
            lambda: (
                found := server.get("/api/v2/alerts")
            ) and len(found) == len(alerts) and any(one["status"]["inhibitedBy"] for one in found) and found
        )  # fmt: skip
        return {
            (one["labels"]["alertname"], one["labels"].get("instance"), one["labels"]["severity"]): bool(
                one["status"]["inhibitedBy"]
            )
            for one in seen
        }


@pytest.mark.parametrize(
    ("alert", "muted"),
    [
        (("ApplicationDown", "router:9100", "critical"), False),
        (("MetricsMissing", "router:9100", "warning"), True),
        (("MetricsMissing", "other:9100", "warning"), False),
        (("DiskWillFill", "router:9100", "warning"), False),
        (("RouterCollapse", "router:9100", "critical"), False),
        (("ExpertDead", "router:9100", "warning"), True),
        (("ExpertImbalance", "router:9100", "warning"), False),
        (("InferenceLatencySLOBurn", None, "critical"), False),
        (("InferenceLatencySLOBurn", None, "warning"), True),
    ],
)
def test_only_the_consequence_is_muted(suppressed, alert, muted):
    assert suppressed[alert] is muted
