"""The command line: what it imports, how it says that a setting is wrong, how it ends."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard import __version__, cli
from tests.services import ROOT


def moe_dashboard(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dashboard.cli", *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_version_is_the_packages():
    done = moe_dashboard("--version")
    assert (done.returncode, done.stdout) == (0, f"moe-dashboard {__version__}\n")


def test_help_names_every_command_and_imports_none_of_them():
    """A first look must cost neither Streamlit nor torch, nor need what an extra installs."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dashboard.cli", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert set(cli.COMMANDS) <= set(done.stdout.split())
    assert not re.search(r"\| +(streamlit|torch|pandas|plotly|dashboard\.feed)$", done.stderr, re.MULTILINE)


def test_without_a_command_it_says_which_there_are():
    done = moe_dashboard()
    assert done.returncode == 2
    assert "serve" in done.stderr


def test_a_wrong_value_in_the_environment_is_one_sentence():
    done = moe_dashboard("serve", env={"MOE_DASHBOARD_PORT": "eighty"})
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("moe-dashboard: MOE_DASHBOARD_PORT: 'eighty' is not usable as int")


@pytest.mark.parametrize(
    "words", [["--config", "{}", "serve"], ["serve", "--config", "{}"], ["serve", "--config={}"]]
)
def test_a_configuration_file_may_be_named_before_or_after_the_command(tmp_path, words):
    config = tmp_path / "serve"  # a file may even be called like a command
    config.write_text("prot = 8501\n")
    done = moe_dashboard(*[word.format(config) for word in words])
    assert done.returncode == 2
    assert done.stderr.startswith(f"moe-dashboard: {config}: unknown setting 'prot'. Known: ")


def test_a_missing_configuration_file_is_named(tmp_path):
    done = moe_dashboard("serve", "--config", str(tmp_path / "absent.toml"))
    assert (done.returncode, done.stderr) == (2, f"moe-dashboard: {tmp_path}/absent.toml: no such file.\n")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name):
    done = moe_dashboard(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"moe-dashboard {name}" in done.stdout


def test_the_entry_point_is_this_module():
    text = (Path(ROOT) / "pyproject.toml").read_text(encoding="utf-8")
    assert 'moe-dashboard = "dashboard.cli:main"' in text
