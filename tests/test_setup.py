"""`make` and what it stands on: what is missing is installed or named, and nothing is done twice.

The machine's own package manager is a fake here: a test must not install programs. So are `id` and `sudo`,
because a test cannot choose who runs it. Everything else is the real script in a folder of its own.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.services import ROOT

TOOLS = [
    "bash",
    "sed",
    "cat",
    "id",
    "sha256sum",
    "dirname",
    "uname",
    "tee",
    "grep",
    "env",
    "rm",
    "chmod",
    "fc-list",
    "tail",
    "awk",
    "make",
    "find",
]
PROGRAMS = [
    "prometheus",
    "prometheus-alertmanager",
    "promtool",
    "prometheus-pushgateway",
    "prometheus-node-exporter",
    "victoria-metrics",
    "chromium",
    "nginx",
    "initdb",
]

READY_PYTHON = """#!/bin/sh
# a virtual environment that has everything: says its version, and lets pip succeed
case "$*" in
    *"pip install"*) echo "Successfully installed everything"; echo "$*" >> pip.calls;;
    -VV) echo "Python 3.11.0";;
esac
"""


class Machine:
    """A checkout, a PATH of its own, and a record of what apt-get was asked for."""

    def __init__(self, directory: Path) -> None:
        self.checkout, self.bin = directory / "checkout", directory / "bin"
        self.policy = directory / "policy-rc.d"
        self.bin.mkdir()
        for name in TOOLS:
            found = shutil.which(name)
            if found:
                (self.bin / name).symlink_to(found)
        (self.checkout / ".ci").mkdir(parents=True)
        for name in (".ci/bootstrap", "Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.checkout / name)

    def program(self, name: str, script: str = "#!/bin/sh\n") -> None:
        (self.bin / name).unlink(missing_ok=True)
        self._write(self.bin / name, script)

    def environment(self, python: str = READY_PYTHON) -> None:
        self._write(self.checkout / ".venv/bin/python", python)
        self._write(self.checkout / ".venv/bin/moe-dashboard", '#!/bin/sh\necho started with: "$*"\n')

    def bootstrap(self, purpose: str = "demo") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", ".ci/bootstrap", purpose],
            cwd=self.checkout,
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def env(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "POLICY_RC_D": str(self.policy),
            "POSTGRESQL": "/nonexistent",
            "HOME": "/nonexistent",
        }

    def apt_calls(self) -> list[str]:
        calls = self.checkout / "apt.calls"
        return calls.read_text().splitlines() if calls.exists() else []

    @staticmethod
    def _write(path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def apt(machine: Machine, body: str) -> None:
    """An apt-get that writes down how it was called, and whether daemons were kept from starting."""
    machine.program("apt-get", f'#!/bin/sh\necho "$*" >> apt.calls\n{body}\n')


def as_root(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 0\n")


def test_without_apt_the_missing_programs_are_named(machine):
    machine.environment()
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "Missing: prometheus prometheus-alertmanager. There is no apt-get here" in done.stderr


def test_without_root_the_command_to_run_is_given(machine):
    machine.environment()
    machine.program("id", "#!/bin/sh\necho 1000\n")
    machine.program("sudo", "#!/bin/sh\nexit 1\n")
    apt(machine, "")
    done = machine.bootstrap("test")
    assert done.returncode == 1
    asked = re.search(r"As root: apt-get update && apt-get install --no-install-recommends (.*)", done.stderr)
    assert asked
    assert set(asked[1].split()) - {"fonts-dejavu-core"} == {
        "prometheus", "prometheus-alertmanager", "prometheus-pushgateway", "prometheus-node-exporter",
        "victoria-metrics", "chromium", "nginx-light", "postgresql",
    }  # fmt: skip
    assert machine.apt_calls() == []


def test_only_what_is_missing_is_installed_and_no_daemon_is_started(machine):
    machine.environment()
    as_root(machine)
    machine.program("prometheus")
    apt(machine, f'[ "$1" = update ] || {{ cat {machine.policy} > policy.seen; }}; exit 0')
    done = machine.bootstrap()
    assert done.returncode == 0, done.stderr
    [install] = [call for call in machine.apt_calls() if call.startswith("install")]
    assert install.split()[-1] == "prometheus-alertmanager"
    assert "exit 101" in (machine.checkout / "policy.seen").read_text()
    assert not machine.policy.exists(), "a policy left behind would keep every later package from starting"


def test_an_install_that_fails_refreshes_the_lists_and_tries_once_more(machine):
    machine.environment()
    as_root(machine)
    apt(machine, '[ "$1" = update ] && : > updated; [ -e updated ]')
    assert machine.bootstrap().returncode == 0
    assert [call.split()[0] for call in machine.apt_calls()][-2:] == ["update", "install"]


def test_when_apt_cannot_it_says_what_to_run_by_hand_and_leaves_no_policy(machine):
    machine.environment()
    as_root(machine)
    apt(machine, "exit 100")
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "apt-get could not install: prometheus prometheus-alertmanager" in done.stderr
    assert not machine.policy.exists()


def test_no_suitable_python_is_said_with_the_version_that_is_there(machine):
    machine.program("python3", '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2; exit 1\n')
    for name in PROGRAMS:
        machine.program(name)
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "No Python 3.11, 3.12 or 3.13 found (python3 is: Python 3.9.2)" in done.stderr


def test_a_python_without_venv_names_the_package_that_has_it(machine):
    machine.program(
        "python3",
        "#!/bin/sh\n"
        'case "$*" in *ensurepip*) exit 1;; *"%d.%d"*) echo 3.11;; *version_info*) exit 0;; esac\n',
    )
    for name in PROGRAMS:
        machine.program(name)
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "python3.11-venv" in done.stdout
    assert "Missing: python3.11-venv." in done.stderr


def test_a_missing_torch_wheel_is_explained(machine):
    machine.environment(
        READY_PYTHON.replace(
            'echo "Successfully installed everything"',
            'echo "ERROR: No matching distribution found for torch>=2.8"; exit 1',
        )
    )
    for name in PROGRAMS:
        machine.program(name)
    done = machine.bootstrap()
    assert done.returncode == 1
    assert re.search(r"There is no torch 2\.13\.0 for .* on Linux", done.stderr)
    assert "The dashboard runs without it" in done.stderr


def test_the_second_time_nothing_is_installed_until_the_requirements_change(machine):
    machine.environment()
    for name in PROGRAMS:
        machine.program(name)
    for _ in range(2):
        assert machine.bootstrap().returncode == 0
    calls = machine.checkout / "pip.calls"
    assert len(calls.read_text().splitlines()) == 1

    began = time.monotonic()
    assert machine.bootstrap().stdout == ""
    assert time.monotonic() - began < 10

    with (machine.checkout / "constraints.txt").open("a") as constraints:
        constraints.write("# newer\n")
    assert machine.bootstrap().returncode == 0
    assert len(calls.read_text().splitlines()) == 2


def test_a_failed_install_is_tried_again_the_next_time(machine):
    machine.environment(
        READY_PYTHON.replace('echo "Successfully installed everything"', "[ -e fixed ] || exit 1")
    )
    for name in PROGRAMS:
        machine.program(name)
    assert machine.bootstrap().returncode == 1
    (machine.checkout / "fixed").touch()
    assert machine.bootstrap().returncode == 0


def test_make_demo_passes_port_and_router_flags_on(machine):
    machine.environment()
    for name in PROGRAMS:
        machine.program(name)
    done = subprocess.run(
        ["make", "demo", "PORT=8601", "ROUTER_ARGS=--mutation-rate 0"],
        cwd=machine.checkout, env=machine.env(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == (
        "started with: demo --stop-with-parent --port 8601 --router-args=--mutation-rate 0"
    )


def test_make_help_names_every_target():
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert [line.split()[1] for line in done.stdout.splitlines()] == targets


def test_torch_is_pinned_and_every_pin_is_exact():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[\w.+!]+", pin) for pin in pins), (
        "a constraint is a name and a version"
    )


@pytest.mark.parametrize("script", [".ci/run", ".ci/bootstrap"])
def test_scripts_can_be_run_and_stop_at_the_first_error(script):
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
