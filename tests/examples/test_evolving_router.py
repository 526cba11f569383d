"""The example as people start it: a process with a port, a run directory and signals."""

import fcntl
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from examples.evolving_router.__main__ import arguments

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started(tmp_path):
    processes = []

    def start(*options: str) -> tuple[subprocess.Popen, int, Path]:
        command = [
            sys.executable,
            "-m",
            "examples.evolving_router",
            "--port",
            "0",
            "--population",
            "8",
            "--runs-dir",
            str(tmp_path),
        ]
        process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        found = re.fullmatch(r"run (\S+) in (.+), metrics on port (\d+)\n", process.stdout.readline())
        return process, int(found[3]), Path(found[2])

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def state(run: Path) -> str:
    return json.loads((run / "run.json").read_text())["state"]


def test_it_evolves_serves_its_metrics_and_finishes_on_sigterm(started):
    process, port, run = started("--pace", "0.2", "--requests", "200")
    for _ in range(3):
        assert process.stdout.readline().startswith("generation ")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for name in (
        "evolution_fitness_best",
        "expert_utilization_ratio",
        "inference_latency_seconds_bucket",
        "training_loss",
    ):
        assert f"\n{name}{{" in text
    assert state(run) == "running"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert state(run) == "finished"


def test_kill_leaves_a_run_that_reads_as_died(started):
    process, _, run = started("--pace", "0")
    process.stdout.readline()
    process.kill()
    process.wait(timeout=10)
    assert state(run) == "running"
    with (run / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # nobody holds it


def test_a_given_number_of_generations_ends_by_itself_and_keeps_its_pace(started):
    process, _, run = started("--generations", "3", "--pace", "0.7", "--requests", "100")
    assert process.wait(timeout=60) == 0
    lines = [json.loads(line) for line in (run / "generations.jsonl").read_text().splitlines()]
    assert [line["generation"] for line in lines] == [1, 2, 3]
    assert lines[-1]["evolution_generation_duration_seconds"] >= 0.65
    assert state(run) == "finished"


def test_the_loop_is_instrumented_in_five_marked_lines():
    sources = "".join(
        path.read_text() for path in sorted((ROOT / "examples" / "evolving_router").glob("*.py"))
    )
    assert sorted(re.findall(r"\S.*# observer (\d)/5$", sources, re.MULTILINE)) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--freeze-expert", "8"],
        ["--population", "1"],
        ["--train-every", "0"],
        ["--experts", "2", "--freeze-expert", "0", "--freeze-expert", "1"],
    ],
)
def test_options_that_cannot_work_are_refused_with_a_sentence(wrong, capsys):
    with pytest.raises(SystemExit):
        arguments(wrong)
    assert "error: " in capsys.readouterr().err
