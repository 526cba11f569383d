"""docs/systems.md names a proof for every system of the guide, and every proof is a test that exists."""

import ast
import re
from functools import cache

import pytest

from tests.services import ROOT

TEXT = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| ")][1:]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))

SYSTEMS = (
    "Metrics", "Health", "Kubernetes", "Logging", "Alert rules", "Grafana", "Benchmark suite", "HTML report",
    "Runbook: evolution convergence problems", "Runbook: out of memory errors", "Tracing", "Pushgateway", "Datadog",
)  # fmt: skip


@cache
def functions(path: str) -> frozenset[str]:
    """The tests of a file, read without running it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_system_of_the_guide_has_its_row():
    assert tuple(row[0].removeprefix("| ") for row in ROWS) == SYSTEMS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].removeprefix("| "))
def test_every_row_names_a_proof(row: list[str]):
    assert len(row) == 3
    assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+` ?)+\|", row[2])


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: str(part))
def test_every_proof_exists(path: str, name: str):
    assert (ROOT / path).is_file()
    assert name in functions(path)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", TEXT))
def test_every_linked_document_exists(target: str):
    assert (ROOT / "docs" / target).is_file()
