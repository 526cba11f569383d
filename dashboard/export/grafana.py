"""Grafana: the catalogue's panels as one dashboard, a row per domain, to import or to provision.

Dashboard schema version 41 (Grafana 11.6 and later), plain dictionaries: the file is what Grafana would save.
"""

import json
import re
from typing import Any

from dashboard import catalogue
from dashboard.catalogue import experts, inference
from dashboard.catalogue.spec import Panel, Series
from dashboard.catalogue.units import FAIR_LOAD
from dashboard.export.rules import objective_of
from dashboard.settings import Settings

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_TYPES = {
    "lines": "timeseries",
    "steps": "timeseries",
    "stat": "stat",
    "bars": "barchart",
    "heatmap": "heatmap",
}
_WIDTH, _HEIGHT = 12, 8  # Grafana's grid is 24 wide

UTILIZATION = Panel(
    key="expert-load",
    title="Load of each expert ÷ fair load",
    why="1.0 is fair, 0 is dead. Shares of routed load, so the scale the router reports in does not matter.",
    unit=FAIR_LOAD,
    series=(
        Series(
            "expert {expert_id} {layer}",
            f'{experts.SHARE}{{run_id=~"$run"}} * ignoring (expert_id) group_left () {experts.EXPERTS}{{run_id=~"$run"}}',
        ),
    ),
    floor_zero=True,
)
BUCKETS = Panel(
    key="latency-buckets",
    title="Requests by latency",
    why="Where the requests are, bucket by bucket; a percentile hides two humps.",
    unit=inference.LATENCY.unit,
    series=(
        Series("{le}", f'sum by (le) (increase({inference.LATENCY}_bucket{{instance=~"$instance"}}[$rate]))'),
    ),
    chart="heatmap",
)
_EXTRA = {"experts": (UTILIZATION,), "inference": (BUCKETS,)}


def grafana(settings: Settings) -> str:
    """moe-router.json: a dashboard document (not the body of an API call, so no "dashboard" wrapper)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for domain in catalogue.DOMAINS:
        name = domain.__name__.rpartition(".")[2]
        drawn = (
            *(curves.panel() for curves in getattr(domain, "CURVES", ())),
            *(
                inference.panels(objective_of(settings))
                if domain is inference
                else getattr(domain, "PANELS", ())
            ),
            *_EXTRA.get(name, ()),
        )
        if not drawn:
            continue
        panels.append(_row(name.capitalize(), y, number=len(panels) + 1))
        y += 1
        for i, panel in enumerate(drawn):
            x = _WIDTH * (i % 2)
            panels.append(_panel(panel, x, y + _HEIGHT * (i // 2), number=len(panels) + 1))
        y += _HEIGHT * ((len(drawn) + 1) // 2)
    document = {
        "uid": "moe-router",
        "title": "Self-evolving MoE router",
        "description": "Written by `moe-dashboard export grafana` from dashboard/catalogue. Change it there and export again.",
        "tags": ["moe", "evolution", "router"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": []},
        "links": [
            {
                "title": "Dashboard",
                "type": "link",
                "url": settings.dashboard_url,
                "targetBlank": True,
                "icon": "external link",
                "tags": [],
            }
        ],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                _variable("run", "Run", "label_values(evolution_generation_current, run_id)"),
                _variable("instance", "Instance", "label_values(up, instance)"),
            ]
        },
        "panels": panels,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _panel(panel: Panel, x: int, y: int, *, number: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit.grafana}
    if panel.floor_zero:
        defaults["min"] = 0
    if panel.empty:
        defaults["noValue"] = panel.empty
    custom: dict[str, Any] = {}
    if panel.chart == "steps":
        custom["lineInterpolation"] = "stepAfter"
    if panel.thresholds:
        steps = [{"color": "red", "value": value} for value, _ in panel.thresholds]
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"color": "green", "value": None}, *steps]}
        custom["thresholdsStyle"] = {"mode": "line"}
    if custom:
        defaults["custom"] = custom
    return {
        "id": number,
        "type": _TYPES[panel.chart],
        "title": panel.title,
        "description": panel.why,
        "datasource": _DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": [_target(series, i, panel) for i, series in enumerate(panel.series)],
    }


def _target(series: Series, i: int, panel: Panel) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + i),
        "datasource": _DATASOURCE,
        "editorMode": "code",
        "expr": series.promql.replace("$rate", "$__rate_interval"),
        "legendFormat": re.sub(r"\{(\w+)\}", r"{{\1}}", series.legend),
        "format": "heatmap" if panel.chart == "heatmap" else "time_series",
        "range": True,
    }


def _row(title: str, y: int, *, number: int) -> dict[str, Any]:
    grid = {"x": 0, "y": y, "w": 2 * _WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []}


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }
