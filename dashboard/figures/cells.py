"""A heatmap as bytes: one a cell, with the load each byte means and its colour. For heatmaps too large for plotly."""

import json
import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.figures.heatmap import HOLE, SCALE, TOP

Floats = NDArray[np.float64]

HOLE_LEVEL = 0
SATURATED = (
    201  # levels 1 to 201 are load 0 to TOP in steps of 0.01; the rest rises to everything on one expert
)
TICKS = ((0.0, "0 dead"), (0.5, "0.5"), (1.0, "1 fair"), (1.5, "1.5"), (TOP, f"≥ {TOP:g}"))


def levels(load: Floats) -> NDArray[np.uint8]:
    """(experts, points) load ÷ fair load as one byte a cell; NaN is HOLE_LEVEL, which no load has."""
    most = max(load.shape[0], TOP * 1.01)
    low = 1 + np.round(np.clip(load, 0, TOP) / TOP * (SATURATED - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        high = SATURATED + np.round(np.log(load / TOP) / np.log(most / TOP) * (255 - SATURATED))
    return np.asarray(
        np.where(np.isnan(load), HOLE_LEVEL, np.where(load > TOP, np.clip(high, SATURATED, 255), low)),
        np.uint8,
    )


def loads(experts: int) -> list[float | None]:
    """What each of the 256 levels means as load ÷ fair load; None is a hole."""
    most = max(experts, TOP * 1.01)
    linear = [TOP * i / (SATURATED - 1) for i in range(SATURATED)]
    rest = [TOP * (most / TOP) ** (i / (255 - SATURATED)) for i in range(1, 256 - SATURATED)]
    return [None, *(round(value, 4) for value in linear + rest)]


def palette() -> list[str]:
    """The colour of each level as rrggbb."""
    stops = np.array([place for place, _ in SCALE])
    colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in SCALE], dtype=float)
    places = np.clip(np.array([0.0, *np.linspace(0, 1, SATURATED), *np.ones(255 - SATURATED)]), 0, 1)
    mixed = np.column_stack([np.interp(places, stops, colours[:, i]) for i in range(3)]).round().astype(int)
    return [HOLE[1:], *("".join(f"{part:02x}" for part in colour) for colour in mixed[1:])]


def document(
    load: Floats,
    experts: Sequence[str],
    across: Floats,
    *,
    title: str,
    kind: str,
    height: int,
    alt: str,
    revision: str,
) -> bytes:
    """Everything the browser needs: length of the head, the head as JSON, the cells row by row.

    Args:
        load: (experts, points), 1.0 is fair, NaN a hole.
        experts: one name a row.
        across: (points,) x values, NaN where unknown.
        title: of the x axis.
        kind: "generation", "elapsed" or "time": how x values are said.
        height: pixels.
        alt: the heatmap in words.
        revision: changes when zoom should be forgotten.
    """  # fmt: skip
    cells = levels(load).tobytes()
    head: dict[str, Any] = {
        "rows": list(experts), "x": [round(float(x), 1) if np.isfinite(x) else None for x in across], "loads": loads(load.shape[0]),
        "palette": palette(), "saturated": SATURATED, "ticks": TICKS, "of": load.shape[0], "title": title, "kind": kind,
        "height": height, "alt": alt, "revision": revision,
    }  # fmt: skip
    head["digest"] = sha256(json.dumps(head).encode() + cells).hexdigest()[:16]
    written = json.dumps(head, separators=(",", ":")).encode()
    return struct.pack("<I", len(written)) + written + cells
