"""From series to a panel's frame: legends, order, one column a series. Pure."""

import contextlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from dashboard.feed.answer import Answer, Asked, no_frame
from dashboard.feed.ranges import Known
from dashboard.feed.window import Grid

_DIGITS = re.compile(r"(\d{1,18})")  # a label may hold thousands of them
_HOLE = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")


def answer(parts: Sequence[tuple[str, str, Known]]) -> Answer:
    """One Answer of several (legend, promql, what is known) on the same grid, or on grids one step apart after a failure."""
    columns: list[str] = []
    labels: list[dict[str, str]] = []
    pieces = []
    for legend, _, known in parts:
        if not known.labels:
            continue
        names = _named(legend, known.labels)
        order = _order(names)
        columns += [names[row] for row in order]
        labels += [known.labels[row] for row in order]
        values = known.values if order == list(range(len(order))) else known.values[order]
        pieces.append((values.T, _index(known.grid)))
    named = _columns(tuple(_unique(columns, labels)))
    if len(pieces) == 1:
        frame = pd.DataFrame(*pieces[0], named, copy=False)
    elif pieces:
        frame = pd.concat([pd.DataFrame(*piece, copy=False) for piece in pieces], axis=1)
        frame.columns = named
    else:
        frame = no_frame()
    looks = [known.looked_at for _, _, known in parts]
    return Answer(
        frame=frame,
        labels=tuple(labels),
        step_seconds=float(max(known.grid.step for _, _, known in parts)),
        looked_at=None if None in looks else min(look for look in looks if look is not None),
        unavailable=next((known.unavailable for _, _, known in parts if known.unavailable is not None), None),
        asked=tuple(
            Asked(promql, float(known.grid.step), known.samples, known.seconds, known.warnings)
            for _, promql, known in parts
        ),
    )


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key in which 2 stands before 10."""
    return [
        (0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in _DIGITS.split(text) if piece
    ]


def _order(names: list[str]) -> list[int]:
    """Rows in natural order."""
    if len(names) == 1:
        return [0]
    heads = [name.rstrip("0123456789") for name in names]
    if len(set(heads)) == 1:  # one word and a number: the number alone tells
        cut = len(heads[0])
        with contextlib.suppress(ValueError):
            numbers = [int(name[cut:]) for name in names]
            return sorted(range(len(names)), key=numbers.__getitem__)
    keys = [natural(name) for name in names]
    return sorted(range(len(names)), key=keys.__getitem__)


@lru_cache(64)
def _index(grid: Grid) -> pd.DatetimeIndex:
    """The grid's times; one object for all frames on it."""
    return pd.DatetimeIndex(np.arange(grid.start, grid.end + 1, grid.step).astype("datetime64[s]"), tz="UTC")


@lru_cache(256)
def _columns(names: tuple[str, ...]) -> pd.Index:
    """A frame's columns; a refresh seldom has other ones."""
    return pd.Index(names, dtype=object)


def _named(legend: str, labels: Sequence[dict[str, str]]) -> list[str]:
    """The legend of each series, its {label} holes filled."""
    pieces = _HOLE.split(legend)  # text, label, text, …
    if len(pieces) == 3 and not pieces[0].strip() and not pieces[2].strip():
        texts = [series.get(pieces[1], "") for series in labels]
    else:
        texts = [
            "".join([series.get(piece, "") if at % 2 else piece for at, piece in enumerate(pieces)])
            for series in labels
        ]
    return [
        " ".join(text.split()) or series.get("__name__", "value")
        for text, series in zip(texts, labels, strict=True)
    ]


def _unique(names: list[str], labels: list[dict[str, str]]) -> list[str]:
    """Tell apart series with the same legend by the labels in which they differ, and by a number where they do not."""
    if len(set(names)) == len(names):
        return names
    groups: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        groups.setdefault(name, []).append(at)
    unique = list(names)
    for name, places in groups.items():
        if len(places) == 1:
            continue
        keys = sorted({key for at in places for key in labels[at]})
        differing = [key for key in keys if len({labels[at].get(key) for at in places}) > 1]
        if differing:
            for at in places:
                said = ", ".join(f"{key}={labels[at].get(key, '')}" for key in differing)
                unique[at] = f"{name} ({said})"
    taken: set[str] = set()
    for at, name in enumerate(unique):
        number = 2
        while unique[at] in taken:
            unique[at] = f"{name} #{number}"
            number += 1
        taken.add(unique[at])
    return unique
