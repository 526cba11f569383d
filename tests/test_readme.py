"""What the README says must be so: its settings, its commands, its five lines, its files."""

import json
import re
import shlex
import urllib.request

import pytest

from dashboard import cli
from tests import readme, services
from tests.services import ROOT

TEXT = readme.README.read_text(encoding="utf-8")


def test_the_settings_of_the_readme_are_fresh():
    assert readme.fresh(TEXT) == TEXT, "run `make generate`"


def test_every_command_is_named():
    assert {name for name in cli.COMMANDS if f"`moe-dashboard {name}" not in TEXT} == set()


def test_every_command_line_names_a_command_that_exists():
    lines = re.findall(r"moe-dashboard ([a-z]+)", TEXT)
    assert lines
    assert set(lines) <= set(cli.COMMANDS)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", TEXT))
def test_a_linked_file_exists(target: str):
    assert (ROOT / target).is_file()


def test_every_make_target_that_is_named_exists():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[
        1
    ].split()
    assert set(re.findall(r"(?<![\w-])make ([a-z]+)", TEXT)) - {"an"} <= set(targets)


def test_the_five_lines_make_a_loop_visible(tmp_path, monkeypatch):
    """The block is run as it stands, but for the port: what it serves and writes is what the README promises."""
    block = re.search(r"<!-- five lines: begin -->\n```python\n(.*?)```", TEXT, re.DOTALL)[1]
    port = services.free_port()
    assert "port=9100" in block
    monkeypatch.chdir(tmp_path)
    served = []

    def evolve():
        for best in (0.5, 0.75):
            yield best, 0.4, {0: 0.25, 1: 0.75}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            served.append(answer.read().decode())

    exec(block.replace("port=9100", f"port={port}"), {"evolve": evolve})
    assert re.search(r'^evolution_fitness_best\{run_id="[^"]+"\} 0\.75$', served[0], re.MULTILINE)
    [log] = tmp_path.glob("runs/*/generations.jsonl")
    assert [json.loads(line)["best_fitness"] for line in log.read_text().splitlines()] == [0.5, 0.75]


def test_the_five_lines_are_five():
    """Beside the loop itself: import, observer, run, and what is logged."""
    block = re.search(r"<!-- five lines: begin -->\n```python\n(.*?)```", TEXT, re.DOTALL)[1]
    lines = [line for line in block.splitlines() if line.strip() and "evolve()" not in line]
    assert len(lines) <= 5


def test_shell_lines_can_be_read_by_a_shell():
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL):
        for line in block.splitlines():
            shlex.split(line, comments=True)
