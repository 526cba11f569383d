"""The Grafana file is what Grafana itself would save: its structure is checked part by part, for want of a Grafana here."""

import json
import re
from itertools import combinations

import pytest

from dashboard import catalogue
from dashboard.alerts import promql
from dashboard.export.grafana import grafana
from dashboard.settings import Settings


@pytest.fixture(scope="module")
def document():
    return json.loads(grafana(Settings(dashboard_url="https://moe.example.org")))


@pytest.fixture(scope="module")
def panels(document):
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_it_is_a_dashboard_and_not_the_body_of_an_api_call(document):
    assert document["schemaVersion"] == 41
    assert "dashboard" not in document
    assert {"uid", "title", "panels", "time", "templating", "timezone"} <= document.keys()
    assert document["timezone"] in {"browser", "utc"}
    assert document["links"][0]["url"] == "https://moe.example.org"


def test_every_panel_of_the_catalogue_is_there_once(panels):
    wanted = [panel.title for panel in (*catalogue.PANELS, *(curves.panel() for curves in catalogue.CURVES))]
    titles = [panel["title"] for panel in panels]
    assert set(wanted) <= set(titles)
    assert len(titles) == len(set(titles))


def test_there_is_a_row_for_every_domain_that_draws(document):
    rows = [panel["title"] for panel in document["panels"] if panel["type"] == "row"]
    assert rows == ["Evolution", "Experts", "Inference", "Training", "Hardware", "Monitoring"]


def test_ids_are_unique_and_panels_do_not_overlap(document):
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    boxes = [panel["gridPos"] for panel in document["panels"]]
    assert all(box["x"] + box["w"] <= 24 and box["h"] > 0 for box in boxes)
    for one, other in combinations(boxes, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart


def test_only_panel_types_that_grafana_still_has(panels):
    """`graph` went with Angular."""
    assert {panel["type"] for panel in panels} <= {"timeseries", "stat", "heatmap", "barchart"}


def test_every_query_parses_and_names_only_variables_there_are(document, panels):
    variables = {variable["name"] for variable in document["templating"]["list"]}
    for panel in panels:
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            used = set(re.findall(r"\$(\w+)", target["expr"]))
            assert used <= variables | {"__rate_interval"}
            promql.parse(target["expr"].replace("$__rate_interval", "5m"))


def test_a_quantile_is_taken_over_rates(panels):
    for panel in panels:
        for target in panel["targets"]:
            if "histogram_quantile" in target["expr"]:
                assert "rate(" in target["expr"]
                assert "by (le" in target["expr"]


def test_a_legend_is_filled_from_labels_in_grafana_s_way(panels):
    legends = [target["legendFormat"] for panel in panels for target in panel["targets"]]
    assert "GPU {{gpu_id}} {{instance}}" in legends
    assert not any(re.search(r"(?<!\{)\{\w+\}(?!\})", legend) for legend in legends)
