"""The exported rules, played by promtool: each alert fires in its story and stays silent in the others."""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from dashboard import catalogue
from dashboard.catalogue.spec import Alert
from dashboard.export.rules import rules, runbook_url
from dashboard.settings import Settings
from tests import services
from tests.alerts.cases import CASES, Case

SETTINGS = Settings()
BY_NAME: dict[str, list[Alert]] = defaultdict(list)
for declared in catalogue.ALERTS:
    BY_NAME[declared.name].append(declared)

Assertion = Callable[[Case], dict[str, object]]


def _fires_or_not(case: Case) -> dict[str, object]:
    """The count of firing alerts at one moment, or silence until the end. promtool names no test, so a comment does."""
    firing = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    if case.fires_at:
        samples = [{"labels": "{}", "value": case.count}]
        check = {
            "expr": f"count({firing}) # {case.story}",
            "eval_time": case.fires_at,
            "exp_samples": samples,
        }
    else:
        ever = f"count(count_over_time({firing}[{case.until}])) # {case.story}"
        check = {"expr": ever, "eval_time": case.until, "exp_samples": []}
    return {"promql_expr_test": [check]}


def _expects_none(case: Case) -> dict[str, object]:
    """An assertion that is wrong on purpose: promtool's complaint shows the alert as it was rendered."""
    return {"alert_rule_test": [{"alertname": case.alert, "eval_time": case.fires_at, "exp_alerts": []}]}


def _played(
    folder: Path, cases: Sequence[Case], text: str, assertion: Assertion = _fires_or_not
) -> subprocess.CompletedProcess[str]:
    files = []
    for name, evaluation in sorted({(case.alert, case.evaluation) for case in cases}):
        rules_file = folder / f"{name}.rules.yml"
        rules_file.write_text(_only(name, text), encoding="utf-8")
        tests = [
            {
                "name": f"{case.alert}: {case.story}",
                "interval": case.interval,
                "input_series": [
                    {"series": series, "values": points} for series, points in case.series.items()
                ],
                **assertion(case),
            }
            for case in cases
            if (case.alert, case.evaluation) == (name, evaluation)
        ]
        document = {"rule_files": [str(rules_file)], "evaluation_interval": evaluation, "tests": tests}
        files.append(folder / f"{name}-{evaluation}.yml")
        files[-1].write_text(yaml.safe_dump(document, sort_keys=False, width=10_000))
    command = [services.program("promtool"), "test", "rules", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _only(name: str, text: str) -> str:
    """The rules of one alert and the recordings it stands on: the others would only cost time."""
    groups = yaml.safe_load(text)["groups"]
    every = [rule for group in groups for rule in group["rules"]]
    kept = [rule for rule in every if rule.get("alert") == name]
    wanted = " ".join(rule["expr"] for rule in kept)
    for recording in reversed(
        [rule for rule in every if "record" in rule]
    ):  # a recording stands on earlier ones
        if recording["record"] in wanted:
            kept.insert(0, recording)
            wanted += recording["expr"]
    return yaml.safe_dump({"groups": [{"name": "one", "rules": kept}]})


def test_every_alert_fires_in_its_story_and_stays_silent_in_the_others(tmp_path: Path):
    played = _played(tmp_path, CASES, rules(SETTINGS))
    assert played.returncode == 0, played.stdout + played.stderr


def test_the_stories_can_fail(tmp_path: Path):
    """With the guide's own expression the noisy plateau is missed and the finished run fires."""
    document = yaml.safe_load(rules(SETTINGS))
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        if rule.get("alert") == "EvolutionStagnation":
            rule["expr"] = "(evolution_fitness_best - evolution_fitness_best offset 10m) < 0.001"
    stories = [case for case in CASES if case.alert == "EvolutionStagnation"]
    played = _played(tmp_path, stories, yaml.safe_dump(document))
    assert played.returncode == 1
    complaint = played.stdout + played.stderr
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


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """Test name -> labels and annotations, together, of the alerts that fire in it."""
    told = [case for case in CASES if case.says[0]]
    played = _played(tmp_path_factory.mktemp("rendered"), told, rules(SETTINGS), _expects_none)
    found = {}
    for part in (played.stdout + played.stderr).split("    name: ")[1:]:
        name = part.partition(",\n")[0]
        words = zip(re.findall(r"Labels:(.*)", part), re.findall(r"Annotations:(.*)", part), strict=True)
        found[name] = [_pairs(labels) | _pairs(annotations) for labels, annotations in words]
    return found


def _pairs(text: str) -> dict[str, str]:
    return {name: json.loads(value) for name, value in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', text)}


@pytest.mark.parametrize("case", [case for case in CASES if case.says[0]], ids=lambda case: case.alert)
def test_what_an_alert_says_is_what_a_person_should_read(
    case: Case, rendered: dict[str, list[dict[str, str]]]
):
    alerts = rendered[f"{case.alert}: {case.story}"]
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
