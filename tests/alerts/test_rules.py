"""The exported rules, played by promtool: each alert fires in its story and stays silent in the others."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from dashboard import catalogue
from dashboard.catalogue.spec import Alert
from dashboard.export.rules import rules, runbook_url
from dashboard.settings import Settings
from tests.alerts import playing
from tests.alerts.cases import CASES
from tests.alerts.story import Case

SETTINGS = Settings()
BY_NAME: dict[str, list[Alert]] = defaultdict(list)
for declared in catalogue.ALERTS:
    BY_NAME[declared.name].append(declared)


def _fires_or_not(case: Case) -> dict[str, object]:
    """The count of firing alerts at one moment, or silence until the end. promtool names no test, so a comment does."""
    firing = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    if case.fires_at:
        samples = [{"labels": "{}", "value": case.count}]
        return {"expr": f"count({firing}) # {case.story}", "eval_time": case.fires_at, "exp_samples": samples}
    ever = f"count(count_over_time({firing}[{case.until}])) # {case.story}"
    return {"expr": ever, "eval_time": case.until, "exp_samples": []}


def _played(folder: Path, cases: Sequence[Case], text: str) -> tuple[bool, str]:
    """Whether every case went as it should, and what promtool says."""
    files = []
    for name, evaluation in sorted({(case.alert, case.evaluation) for case in cases}):
        rules_file = folder / f"{name}.rules.yml"
        rules_file.write_text(playing.only(name, text), encoding="utf-8")
        chosen = [case for case in cases if (case.alert, case.evaluation) == (name, evaluation)]
        content = playing.document(
            {case: {"promql_expr_test": [_fires_or_not(case)]} for case in chosen}, rules_file
        )
        files.append(folder / f"{name}-{evaluation}.yml")
        files[-1].write_text(json.dumps(content), encoding="utf-8")
    told = playing.played(*files)
    return told.returncode == 0, told.stdout + told.stderr


def test_every_alert_fires_in_its_story_and_stays_silent_in_the_others(tmp_path: Path):
    fine, complaint = _played(tmp_path, CASES, rules(SETTINGS))
    assert fine, complaint


def test_the_stories_can_fail(tmp_path: Path):
    """With the guide's own expression the noisy plateau is missed, and a restart and a finished run fire."""
    document = yaml.safe_load(rules(SETTINGS))
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        if rule.get("alert") == "EvolutionStagnation":
            rule["expr"] = "(evolution_fitness_best - evolution_fitness_best offset 10m) < 0.001"
    stories = [case for case in CASES if case.alert == "EvolutionStagnation"]
    fine, complaint = _played(tmp_path, stories, yaml.safe_dump(document))
    assert not fine
    assert "a plateau on which the best of the generation jitters" in complaint
    assert "finished run" in complaint
    assert "restart" in complaint


@pytest.mark.parametrize("name", BY_NAME)
def test_every_alert_has_a_story_that_fires_it_and_one_that_does_not(name: str):
    stories = [case for case in CASES if case.alert == name]
    assert any(case.fires_at for case in stories)
    if name == "Watchdog":  # firing always is what it is for
        return
    silent = " ".join(case.story for case in stories if not case.fires_at)
    component = BY_NAME[name][0].component
    assert "start" in silent
    if component in {"evolution", "routing", "training", "inference", "application"}:
        assert "restart" in silent
        assert "finished run" in silent
    if component in {"routing", "inference"}:
        assert "no traffic" in silent


@pytest.mark.parametrize("case", [case for case in CASES if case.says[0]], ids=lambda case: case.alert)
def test_what_an_alert_says_is_what_a_person_should_read(case: Case, tmp_path: Path):
    """Templates are rendered by Prometheus's own engine."""
    alerts = playing.rendered(case, tmp_path, rules(SETTINGS))
    wanted = {
        "summary": case.says[0],
        "description": case.says[1],
        "runbook_url": runbook_url(case.alert, SETTINGS),
        **dict(case.labels),
    }
    assert wanted in [{key: alert.get(key) for key in wanted} for alert in alerts]
    assert all(alert["dashboard"].startswith(SETTINGS.dashboard_url + "/") for alert in alerts)


def test_every_alert_has_its_words_checked():
    assert {case.alert for case in CASES if case.says[0]} == set(BY_NAME)
