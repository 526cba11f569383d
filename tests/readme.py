"""The generated part of the README: `python -m tests.readme` writes it anew, a test says when it is stale."""

import re
from pathlib import Path

from dashboard.settings import Settings
from tests.services import ROOT

README: Path = ROOT / "README.md"

_BLOCK = re.compile(r"(<!-- settings: begin.*?-->\n).*?(<!-- settings: end -->)", re.DOTALL)


def settings_table() -> str:
    """Every setting as a Markdown table."""
    rows = [("setting", "environment variable", "default", "meaning"), ("---",) * 4]
    for name, variable, default, about in Settings.table():
        rows.append((f"`{name}`", f"`{variable}`", f"`{default}`" if default else "", about))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def fresh(text: str) -> str:
    """The README with its generated part written anew."""
    written, times = _BLOCK.subn(lambda found: found[1] + settings_table() + found[2], text)
    if times != 1:
        raise ValueError("the README has no place, or more than one, for the settings")
    return written


if __name__ == "__main__":
    README.write_text(fresh(README.read_text(encoding="utf-8")), encoding="utf-8")
