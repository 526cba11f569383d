"""A heatmap as bytes: one a cell, with the load each byte means and its colour. The browser paints it (shell/browser/heatmap.js)."""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.figures.heatmap import HOLE, SCALE, TOP

Floats = NDArray[np.float64]

DIGEST = 16  # letters before the head: the browser need not read what it has drawn
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


@dataclass(frozen=True, slots=True)
class Words:
    """What stands around the cells and in a picture that is taken away."""

    title: str  # of the x axis
    kind: str  # "generation", "elapsed" or "time": how x values are said
    heading: str  # of the picture
    name: str  # of the picture's file, without its ending
    alt: str  # the heatmap in words
    layer: str = ""  # "" where there are no layers
    side: str = "Expert"  # title of the y axis
    scale: str = "load ÷ fair load"  # title of the colour bar


def document(
    load: Floats, experts: Sequence[str], across: Floats, generations: Floats, times: Floats, words: Words,
    *, height: int, revision: str, tokens: str | None = None,
) -> bytes:  # fmt: skip
    """Everything the browser needs: digest, length of the head, the head as JSON, the cells row by row.

    Args:
        load: (experts, points), 1.0 is fair, NaN a hole.
        experts: one name a row.
        across: (points,) x values, NaN where unknown.
        generations: (points,), NaN where unknown.
        times: (points,) milliseconds of the viewer's wall clock.
        words: what stands around them.
        height: pixels.
        revision: changes when zoom should be forgotten.
        tokens: where the browser may ask for the tokens of each cell; None where they are not known.
    """
    cells = levels(load).tobytes()
    head: dict[str, Any] = {
        "rows": list(experts), "x": _sent(across, 1), "generations": _sent(generations, 0), "times": _sent(times, 0),
        "loads": loads(load.shape[0]), "palette": palette(), "saturated": SATURATED, "ticks": TICKS, "hole": HOLE, "height": height,
        "revision": revision, "tokens": tokens, **asdict(words),
    }  # fmt: skip
    written = json.dumps(head, separators=(",", ":")).encode()
    same = json.dumps(head | {"tokens": None}).encode()  # where to ask changes, what is seen does not
    digest = sha256(same + cells).hexdigest()[:DIGEST].encode()
    return digest + struct.pack("<I", len(written)) + written + cells


def _sent(values: Floats, digits: int) -> list[float | int | None]:
    """Numbers as JSON has them: no more digits than are shown, null where unknown."""
    return [
        None if not np.isfinite(value) else round(float(value), digits) if digits else round(float(value))
        for value in values
    ]
