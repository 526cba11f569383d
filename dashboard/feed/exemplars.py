"""Exemplars of a panel: single requests behind a histogram's curve, each with the id of its trace.

Prometheus keeps one a bucket and scrape, in memory alone, and only where it runs with
`--enable-feature=exemplar-storage`; VictoriaMetrics keeps none and says so by an empty answer.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.traces import trace_id_of
from collectors.unavailable import Unavailable

MOST = 300  # of a window: more dots than this hide the curve
TRACE_LABELS = ("trace_id", "traceID", "TraceID")  # as instrumentations spell it


@dataclass(frozen=True, eq=False)
class Exemplars:
    """Requests with a trace id, by their time. The same object until they are looked at again, so identity tells."""

    times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # (n,) unix seconds
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # (n,) in the histogram's unit
    trace_ids: tuple[str, ...] = ()  # (n,) 32 hex digits
    labels: tuple[Mapping[str, str], ...] = ()  # (n,) of the series they belong to
    left_out: int = 0  # quicker ones near a slower one
    unavailable: Unavailable | None = None

    def __len__(self) -> int:
        return len(self.trace_ids)


def read(answer: Iterable[Mapping[str, Any]], start: float, end: float) -> Exemplars:
    """Decode an answer of /api/v1/query_exemplars, and thin it: of a stretch of the window the highest stays.

    What has no trace id, or one that is none, is left out: nobody could open it.
    """
    found: dict[tuple[str, float], tuple[float, Mapping[str, str]]] = {}
    for series in answer:
        labels = {name: value for name, value in (series.get("seriesLabels") or {}).items() if name != "le"}
        for exemplar in series.get("exemplars") or []:
            carried = exemplar.get("labels") or {}
            said = next((carried[name] for name in TRACE_LABELS if name in carried), None)
            trace_id = trace_id_of(said) if isinstance(said, str) else None
            when, value = _number(exemplar.get("timestamp")), _number(exemplar.get("value"))
            if trace_id is not None and math.isfinite(when) and math.isfinite(value):
                found[trace_id, when] = value, labels
    rows = [(when, value, trace_id, labels) for (trace_id, when), (value, labels) in found.items()]
    kept = sorted(_thinned(rows, start, end), key=lambda row: row[0])
    return Exemplars(
        times=np.array([row[0] for row in kept], dtype=np.float64),
        values=np.array([row[1] for row in kept], dtype=np.float64),
        trace_ids=tuple(row[2] for row in kept),
        labels=tuple(row[3] for row in kept),
        left_out=len(rows) - len(kept),
    )


Row = tuple[float, float, str, Mapping[str, str]]


def _thinned(rows: list[Row], start: float, end: float) -> list[Row]:
    if len(rows) <= MOST:
        return rows
    width = max(end - start, 1e-9) / MOST
    highest: dict[int, Row] = {}
    for row in rows:
        stretch = int((row[0] - start) / width)
        if stretch not in highest or row[1] > highest[stretch][1]:
            highest[stretch] = row
    return list(highest.values())


def _number(said: object) -> float:
    try:
        return float(said) if isinstance(said, str | int | float) else math.nan
    except ValueError:
        return math.nan
