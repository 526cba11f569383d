"""Recorded runs in a directory of their own, as a dashboard on this machine finds them."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson

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


def wide(parent: Path, *, experts: int, generations: int, layers: int = 0, dead: tuple[str, str] = ("", "")) -> Path:  # fmt: skip
    """A runs directory with one finished run of that many experts, its tokens counted. `dead`: (layer, expert) without load from half way on.

    Expert e of generation g served (7 e + 3 g) mod 50 + 50 tokens more than in the generation before; shares are of these.
    """
    folder = parent / "runs" / "wide"
    folder.mkdir(parents=True)
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=generations + 60)
    names = [str(expert) for expert in range(experts)]
    total = np.zeros((max(layers, 1), experts), np.int64)
    with (folder / "generations.jsonl").open("wb") as log:
        for generation in range(1, generations + 1):
            counted = np.tile((7 * np.arange(experts) + 3 * generation) % 50 + 50, (max(layers, 1), 1))
            if dead[1] and generation > generations // 2:
                counted[int(dead[0] or 0), int(dead[1])] = 0
            total += counted
            share = counted / counted.sum(axis=1, keepdims=True)

            def labelled(values: np.ndarray) -> dict[str, object]:
                rows = [dict(zip(names, row, strict=True)) for row in values.tolist()]
                return {str(i): row for i, row in enumerate(rows)} if layers else rows[0]

            when = began + timedelta(seconds=generation)
            line = {
                "event": "Evolution generation completed", "timestamp": when.isoformat().replace("+00:00", "Z"), "run_id": "wide",
                "generation": generation, "elapsed_time_seconds": float(generation), "best_fitness": 1 - 1 / (generation + 1),
                "average_fitness": 0.5, "expert_utilization_ratio": labelled(share), "expert_tokens_total": labelled(total),
            }  # fmt: skip
            log.write(orjson.dumps(line) + b"\n")
    record = {
        "schema": 1, "run_id": "wide", "run_name": "wide", "state": "finished", "started_at": began.isoformat(),
        "ended_at": when.isoformat(), "error": None, "pid": 1, "host": "recorded", "git_sha": None,
        "config": {"num_experts": experts, "top_k": 2},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    return folder.parent
