"""Two commits in one lease: a slow-down that is really there is called one, and nothing is left behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.benchmark import rebaseline
from dashboard.benchmark.starting import CannotStart

ROOT = Path(__file__).resolve().parents[2]

TARGET = """
import time
from dashboard.benchmark.workload import Workload

def spin(x):
    until = time.thread_time_ns() + {nanoseconds}
    while time.thread_time_ns() < until:
        pass

def factory(cell, device, arguments):
    return Workload(call=spin, make_input=lambda seed: seed, samples=1, tokens=1)

factory.cells = lambda profile, device: [{{"case": "spin"}}]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose second commit is 10 % slower, and whose third changes nothing."""
    path = tmp_path / "repository"
    path.mkdir()
    for package in ("dashboard", "collectors"):
        shutil.copytree(ROOT / package, path / package, ignore=shutil.ignore_patterns("__pycache__"))
    git(path, "init", "-q")
    for nanoseconds in (1_000_000, 1_100_000):
        (path / "measured.py").write_text(TARGET.format(nanoseconds=nanoseconds))
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", f"{nanoseconds} ns")
    git(path, "commit", "-q", "--allow-empty", "-m", "nothing")
    return path


def git(path: Path, *words: str) -> str:
    names = {
        f"GIT_{who}_{what}": "test@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", *words], cwd=path, env=os.environ | names, check=True, capture_output=True, text=True
    )
    return done.stdout


def measure(repository: Path, against: str) -> tuple[int, dict]:
    done = subprocess.run(
        [
            sys.executable, "-m", "dashboard.cli", "benchmark", "run", "measured:factory",
            "--device", "cpu", "--against", against, "--pairs", "8", "--json",
        ],
        cwd=repository,
        env=os.environ
        | {
            "MOE_DASHBOARD_DATA_DIR": str(repository.parent / "data"),
            "MOE_DASHBOARD_BENCHMARK_TARGETS": "measured:factory",
            "TMPDIR": str(repository.parent),
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_real_slow_down_between_two_commits_is_called_regressed(repository: Path):
    status, document = measure(repository, "HEAD~2")
    [verdict] = document["comparison"]["verdicts"]
    assert (verdict["word"], status) == ("regressed", 1), verdict
    assert 1.05 < verdict["ratio"] < 1.15
    sides = document["report"]["sides"]
    assert sides["base"]["revision"] == git(repository, "rev-parse", "HEAD~2").strip()
    launches = [launch["side"] for launch in document["report"]["launches"]]
    assert launches == ["base", "candidate", "candidate", "base"] * 4  # A B, B A: drift cancels
    assert git(repository, "worktree", "list").count("\n") == 1  # only its own


def test_a_revision_without_a_benchmark_is_refused_and_nothing_is_left(tmp_path: Path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "before there was anything")
    with pytest.raises(CannotStart, match="cannot measure itself"), rebaseline.worktrees(tmp_path, "HEAD"):
        pass
    assert git(tmp_path, "worktree", "list").count("\n") == 1
