"""Prometheus: recording and alerting rules of the catalogue, and an example configuration that loads them.

Written for Prometheus 2.42 and later and for vmalert; so no `keep_firing_for`, which older ones refuse.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from dashboard import catalogue
from dashboard.catalogue import inference
from dashboard.catalogue.objective import Objective
from dashboard.catalogue.spec import Alert, Recording
from dashboard.export.document import dump
from dashboard.settings import Settings

_Rule = TypeVar("_Rule", Alert, Recording)

_ORIGIN = (
    "Written by `moe-dashboard export rules` from dashboard/catalogue. Change it there and export again."
)


def rules(settings: Settings) -> str:
    """rules.yml: every recording rule first, then the alerts by group."""
    groups: dict[str, list[dict[str, Any]]] = {}
    objective = objective_of(settings)
    for recording in _with(inference.recordings(objective), inference.RECORDINGS, catalogue.RECORDINGS):
        groups.setdefault(recording.group, []).append(_recording(recording))
    for alert in _with(inference.alerts(objective), inference.ALERTS, catalogue.ALERTS):
        groups.setdefault(alert.group or f"{alert.component}.rules", []).append(_alert(alert, settings))
    document = {"groups": [{"name": name, "rules": group} for name, group in groups.items()]}
    header = (
        f"{_ORIGIN}\nThe router's scrape job is {settings.job!r} (setting: job).\n"
        f"The latency objective is {objective.words} (settings: latency_objective_seconds, latency_objective_ratio)."
        + (f"\n{objective.moved}" if objective.moved else "")
    )
    return dump(document, header=header)


def objective_of(settings: Settings) -> Objective:
    """The latency objective of the settings, where the guide's histogram can tell it."""
    return Objective.among(
        settings.latency_objective_seconds, settings.latency_objective_ratio, inference.BOUNDS
    )


def _with(ours: Sequence[_Rule], instead_of: Sequence[_Rule], every: Sequence[_Rule]) -> list[_Rule]:
    """Every rule of the catalogue, with some in the place of others."""
    at = every.index(instead_of[0])
    found = list(every[:at])
    found.extend(ours)
    found.extend(every[at + len(instead_of) :])
    return found


def prometheus(settings: Settings) -> str:
    """prometheus.yml: an example that scrapes a router and a GPU host, and loads rules.yml beside it."""
    this_host = "127.0.0.1"
    document = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "15s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{this_host}:9093"]}]}]},
        "scrape_configs": [
            _scrape(settings.job, f"{this_host}:9100"),
            _scrape("moe-exporter", f"{this_host}:{settings.exporter_port}"),
            _scrape("moe-dashboard", f"{this_host}:{settings.port}"),
            _scrape("prometheus", f"{this_host}:9090"),
            _scrape("alertmanager", f"{this_host}:9093"),
        ],
    }
    header = (
        f"{_ORIGIN}\n"
        "An example to copy from: put in where your router, exporter and Alertmanager are.\n"
        "Scrape at least twice a generation where you can: what happens between two scrapes is not seen."
    )
    return dump(document, header=header)


def expression(alert: Alert, settings: Settings) -> str:
    """The alert's PromQL with the scrape job filled in, escaped as the inside of a double-quoted string."""
    job = settings.job.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return alert.when.replace("$job", job)


def runbook_url(name: str, settings: Settings) -> str:
    """Where the runbook of the alert `name` is read: the operator's pages, else this dashboard's."""
    if settings.runbook_base_url:
        return f"{settings.runbook_base_url.rstrip('/')}/{name}.md"
    return f"{settings.dashboard_url.rstrip('/')}/runbooks?alert={name}"


def _recording(recording: Recording) -> dict[str, Any]:
    return {"record": recording.name, "expr": recording.promql}


def _alert(alert: Alert, settings: Settings) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": expression(alert, settings)}
    if alert.lasting != "0s":
        rule["for"] = alert.lasting
    rule["labels"] = {"severity": alert.severity, "component": alert.component, **dict(alert.labels)}
    rule["annotations"] = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook_url(alert.name, settings),
        "dashboard": f"{settings.dashboard_url.rstrip('/')}{alert.page}",
    }
    return rule


def _scrape(job: str, target: str) -> dict[str, Any]:
    return {"job_name": job, "static_configs": [{"targets": [target]}]}
