"""`moe-dashboard doctor` as a person runs it: with nothing, with the guide's rules, and against a real Prometheus."""

import json
from pathlib import Path

import pytest

from dashboard import cli
from tests import services
from tests.alerts.test_rule_doctor import GUIDE


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MOE_DASHBOARD_DATA_DIR", str(tmp_path / "data"))


def _doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = cli.main(["doctor", *words])
    return status, capsys.readouterr().out


def test_nothing_configured_is_said_and_our_rules_are_sound(capsys):
    status, out = _doctor(capsys)
    assert status == 0
    assert "Neither Prometheus nor a runs directory is configured" in out
    assert "40 of 40 rules are sound" in out


def test_the_guide_s_rules_are_trouble(capsys, tmp_path: Path):
    (tmp_path / "guide.yml").write_text(GUIDE, encoding="utf-8")
    status, out = _doctor(capsys, "--rules", str(tmp_path / "guide.yml"), "--json")
    assert status == 1
    found = json.loads(out)
    assert found["healthy"] is False
    assert [rule["name"] for rule in found["rules"] if rule["healthy"]] == []
    [imbalance] = [rule for rule in found["rules"] if rule["name"] == "ExpertImbalance"]
    assert "cannot-fire" in {symptom["kind"] for symptom in imbalance["symptoms"]}
    assert all(symptom["fix"] for rule in found["rules"] for symptom in rule["symptoms"])


def test_the_committed_rules_are_sound(capsys):
    status, _ = _doctor(capsys, "--rules", str(services.ROOT / "deploy" / "prometheus" / "rules.yml"))
    assert status == 0


def test_a_rule_file_that_cannot_be_read_is_a_sentence(capsys, tmp_path: Path):
    assert cli.main(["doctor", "--rules", str(tmp_path / "missing.yml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_source_that_does_not_answer_is_trouble_and_no_secret_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("MOE_DASHBOARD_PROMETHEUS_URL", "http://user:hunter2@127.0.0.1:9")
    monkeypatch.setenv("MOE_DASHBOARD_PROMETHEUS_BEARER_TOKEN", "hunter3")
    for flags in ((), ("--json",)):
        status, out = _doctor(capsys, *flags)
        assert status == 1
        assert "refused the connection" in out
        assert "hunter" not in out


@pytest.mark.services
def test_against_a_real_prometheus(
    capsys, monkeypatch, prometheus, alertmanager, scrape_target, tmp_path: Path
):
    target = scrape_target(
        'evolution_generation_current{run_id="r1"} 3\nevolution_fitness_best{run_id="r1"} 0.5\n'
    )
    server = prometheus(
        targets={"terragon-moe": target.target},
        rules=[services.ROOT / "deploy" / "prometheus" / "rules.yml", GUIDE],
    )
    server.wait_for("evolution_fitness_best")
    monkeypatch.setenv("MOE_DASHBOARD_PROMETHEUS_URL", server.url)
    monkeypatch.setenv("MOE_DASHBOARD_ALERTMANAGER_URL", alertmanager().url)
    monkeypatch.setenv("MOE_DASHBOARD_RUNS_DIR", str(tmp_path))
    status, out = _doctor(capsys, "--json")
    assert status == 1  # the guide's rules are loaded, and the job is called otherwise
    found = json.loads(out)
    states = {line["what"].partition(" ")[0]: line["state"] for line in found["sources"]}
    assert states == {
        "Prometheus": "ok", "Alertmanager": "ok", "runs": "ok", "store": "ok", "Loki": "off", "trace": "off",
    }  # fmt: skip
    metrics = {one["name"]: one["state"] for one in found["metrics"]}
    assert metrics["evolution_fitness_best"] == "present"
    assert metrics["training_loss"] == "never"
    kinds = {}
    for rule in found["rules"]:
        kinds.setdefault(rule["name"], set()).update(symptom["kind"] for symptom in rule["symptoms"])
    assert "label-never-matches" in kinds["ApplicationDown"]
    assert "metric-not-of-the-guide" in kinds["GPUMemoryHigh"]
    assert kinds["ExpertDead"] == set()
