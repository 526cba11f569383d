"""What deploy/ and docs/ hold is what the catalogue exports, and the programs it is for accept it."""

import subprocess
from pathlib import Path

import pytest

from dashboard import cli
from dashboard.export.cli import WHAT, write
from dashboard.settings import Settings
from tests import services

FOLDERS = {
    "rules": services.ROOT / "deploy" / "prometheus",
    "alertmanager": services.ROOT / "deploy" / "alertmanager",
    "grafana": services.ROOT / "deploy" / "grafana",
    "kubernetes": services.ROOT / "deploy" / "kubernetes",
    "metrics": services.ROOT / "docs",
}


@pytest.mark.parametrize("what", FOLDERS)
def test_the_committed_export_is_fresh(what: str):
    """After a change in the catalogue: `moe-dashboard export WHAT -o FOLDER`."""
    for name, document in WHAT[what].items():
        committed = FOLDERS[what] / name
        assert committed.read_text(encoding="utf-8") == document(Settings()), f"{committed} is stale"


def test_prometheus_accepts_the_rules_and_the_example_configuration(tmp_path: Path):
    write("rules", tmp_path, Settings(job='odd "job"\\ name'))
    promtool = services.program("promtool")
    for command in (["check", "rules", "rules.yml"], ["check", "config", "prometheus.yml"]):
        checked = subprocess.run(
            [promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_job_of_the_settings_is_the_job_of_the_rules(tmp_path: Path):
    write("rules", tmp_path, Settings(job='odd "job"'))
    text = (tmp_path / "rules.yml").read_text(encoding="utf-8")
    assert 'up{job="odd \\"job\\""} == 0' in text
    assert "$job" not in text


def test_alertmanager_accepts_its_configuration(tmp_path: Path):
    write("alertmanager", tmp_path, Settings())
    command = [services.program("amtool"), "check-config", "alertmanager.yml"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("", "https://moe.example.org/runbooks?alert=ExpertDead"),
        ("https://wiki.example.org/runbooks/", "https://wiki.example.org/runbooks/ExpertDead.md"),
    ],
)
def test_a_runbook_is_found_by_the_alert_s_name(tmp_path: Path, base: str, url: str):
    write("rules", tmp_path, Settings(dashboard_url="https://moe.example.org", runbook_base_url=base))
    assert f"runbook_url: {url}\n" in (tmp_path / "rules.yml").read_text(encoding="utf-8")


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["export", "rules", "-o", str(tmp_path / "new" / "folder")]) == 0
    written = capsys.readouterr().out.split()
    assert [Path(path).name for path in written] == ["rules.yml", "prometheus.yml"]
    assert all(Path(path).stat().st_size for path in written)


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["export", "rules", "-o", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_metric_table_names_every_metric_and_alert():
    from dashboard import catalogue
    from dashboard.export.metrics import metrics

    table = metrics()
    for item in (*catalogue.METRICS, *catalogue.RECORDINGS, *catalogue.ALERTS):
        assert f"| `{item.name}` |" in table
