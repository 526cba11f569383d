"""Recorded runs in a directory of their own, as a dashboard on this machine finds them."""

import json
import shutil
from pathlib import Path

from dashboard.shell.figure import DIGEST

RECORDED = Path(__file__).parents[1] / "recordings" / "runs"


def directory(parent: Path, *names: str) -> Path:
    """Copy recorded runs under their run ids; without names, all of them."""
    root = parent / "runs"
    for folder in sorted(RECORDED.iterdir()):
        if not names or folder.name in names:
            run_id = json.loads((folder / "run.json").read_text())["run_id"]
            shutil.copytree(folder, root / run_id)
    return root


def figures(app: object) -> dict[str, dict[str, object]]:
    """What stands on the page's figures: key -> the document that was sent to the browser."""
    found = {}
    for element in app.get("bidi_component"):  # type: ignore[attr-defined]  # AppTest
        if element.proto.component_name.endswith(".figure"):
            found[element.key] = json.loads(element.proto.bytes[DIGEST:])
    return found


def points(document: dict[str, object]) -> int:
    """Bytes of y or z values in a figure; 0 is an empty figure."""
    traces = document["figure"]["data"]  # type: ignore[index]
    return sum(
        len(values["bdata"])
        for trace in traces
        for name in ("y", "z")
        if isinstance(values := trace.get(name), dict) and "bdata" in values
    )
