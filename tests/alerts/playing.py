"""Playing series through the exported rules with promtool, and reading what it says. JSON is YAML, and quicker to write."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from tests import services
from tests.alerts.story import Case


@dataclass(frozen=True)
class Got:
    """One sample as promtool prints it."""

    value: float
    labels: dict[str, str] = field(default_factory=dict)


@cache
def only(name: str, text: str, *, also: str = "") -> str:
    """The rules of one alert and the recordings it (or the PromQL in `also`) stands on: the others only cost time."""
    groups = yaml.safe_load(text)["groups"]
    every = [rule for group in groups for rule in group["rules"]]
    kept = [rule for rule in every if rule.get("alert") == name]
    wanted = also + " ".join(rule["expr"] for rule in kept)
    for recording in reversed([rule for rule in every if "record" in rule]):  # each stands on earlier ones
        if recording["record"] in wanted:
            kept.insert(0, recording)
            wanted += recording["expr"]
    return json.dumps({"groups": [{"name": "one", "rules": kept}]})


Assertions = Mapping[str, Sequence[object]]


def document(cases: Mapping[Case, Assertions], rules_file: Path) -> dict[str, object]:
    """A promtool test file of cases that are evaluated equally often, each with its assertions."""
    [evaluation] = {case.evaluation for case in cases}
    tests = [
        {
            "name": f"{case.alert}: {case.story}",
            "interval": case.interval,
            "input_series": [{"series": name, "values": points} for name, points in case.series.items()],
            **assertions,
        }
        for case, assertions in cases.items()
    ]
    return {"rule_files": [str(rules_file)], "evaluation_interval": evaluation, "tests": tests}


def played(*files: Path) -> subprocess.CompletedProcess[str]:
    """promtool's verdict on test files."""
    command = [services.program("promtool"), "test", "rules", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def rendered(case: Case, folder: Path, rules_text: str) -> list[dict[str, str]]:
    """Labels and annotations, together, of the alerts that fire in a case.

    promtool renders templates only to compare them: it is told to expect none, and its complaint is read.
    """
    rules_file = folder / f"{case.alert}.rules.yml"
    rules_file.write_text(only(case.alert, rules_text), encoding="utf-8")
    expectation = {"alertname": case.alert, "eval_time": case.fires_at, "exp_alerts": []}
    file = folder / f"{case.alert}.yml"
    file.write_text(
        json.dumps(document({case: {"alert_rule_test": [expectation]}}, rules_file)), encoding="utf-8"
    )
    told = played(file)
    complaint = told.stdout + told.stderr
    words = zip(
        re.findall(r"Labels:(.*)", complaint), re.findall(r"Annotations:(.*)", complaint), strict=True
    )
    return [_pairs(labels) | _pairs(annotations) for labels, annotations in words]


def answers(case: Case, folder: Path, rules_text: str, queries: Sequence[str]) -> list[list[Got]]:
    """What each query gives at the moment at which the alert fires in a case."""
    rules_file = folder / "rules.yml"
    rules_file.write_text(only(case.alert, rules_text, also=" ".join(queries)), encoding="utf-8")
    impossible = [{"labels": '{nothing="like this"}', "value": 0}]  # so that every answer is a complaint
    asked = [{"expr": query, "eval_time": case.fires_at, "exp_samples": impossible} for query in queries]
    file = folder / "queries.yml"
    file.write_text(json.dumps(document({case: {"promql_expr_test": asked}}, rules_file)), encoding="utf-8")
    told = played(file)
    parts = (told.stdout + told.stderr).split("    expr: ")[1:]
    assert len(parts) == len(queries), told.stdout + told.stderr
    return [_samples(part.partition("got:")[2]) for part in parts]


def _samples(text: str) -> list[Got]:
    found = re.findall(r"(\{(?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*\}) ([-+0-9.eE]+|NaN|[+-]?Inf)", text)
    return [Got(float(value), _pairs(labels)) for labels, value in found]


def _pairs(text: str) -> dict[str, str]:
    return {name: json.loads(value) for name, value in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', text)}
