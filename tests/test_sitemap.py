"""The table of pages and the folder of pages are one and the same."""

import ast
from pathlib import Path

import pytest

from dashboard.sitemap import ENTRIES, ICON, script

PAGES = Path(__file__).parents[1] / "pages"


def test_every_script_is_in_the_site_map_and_every_entry_has_its_script():
    assert {entry.script for entry in ENTRIES} == {path.stem for path in PAGES.glob("*.py")} - {"__init__"}


def test_addresses_are_told_apart_and_one_is_the_start_page():
    assert len({entry.url for entry in ENTRIES}) == len(ENTRIES)
    assert [entry.url for entry in ENTRIES].count("") == 1


def test_the_icon_is_a_file_of_ours():
    assert ICON.is_file()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.script)
def test_a_page_is_a_docstring_imports_and_one_call(entry):
    """What a page does is said in the shell; a page only says what stands on it."""
    body = ast.parse(Path(script(entry)).read_text(encoding="utf-8")).body
    docstring, *rest = body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    calls = [node for node in rest if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert [type(node) for node in calls] == [ast.Expr]
