"""Fewer rows that look the same on a screen. The download stays exact; only what is drawn is thinned. Pure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

_FIXED = ("time", "generation", "elapsed_seconds", "segment", "source", "hole_before")


def thin(frame: pd.DataFrame, points: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """At most about `points` rows: each bucket keeps the lowest, the highest and one missing value of every column.

    The first and last row of every segment stay, and "hole_before" is handed on to the next row that stays.
    `columns` are those that will be drawn (all metrics otherwise). A frame that is short enough is returned itself.
    """
    rows = len(frame)
    if rows <= points:
        return frame
    chosen = [name for name in (columns or frame.columns) if name in frame and name not in _FIXED]
    buckets = max(1, min(rows, points // (3 * max(1, len(chosen)))))
    edges = np.linspace(0, rows, buckets, endpoint=False).astype(int)
    bucket = np.repeat(np.arange(buckets), np.diff(np.append(edges, rows)))
    keep = np.zeros(rows, bool)
    keep[[0, -1]] = True
    if "segment" in frame:
        turns = np.flatnonzero(np.diff(frame["segment"].to_numpy()) != 0)
        keep[turns] = keep[turns + 1] = True
    for name in chosen:
        values = frame[name].to_numpy(dtype=float)
        missing = np.isnan(values)
        _keep_first(keep, missing, bucket)
        for edge in (np.where(missing, np.inf, values), np.where(missing, np.inf, -values)):
            _keep_first(keep, (edge == np.minimum.reduceat(edge, edges)[bucket]) & ~missing, bucket)
    thinned = frame[keep].copy()
    if "hole_before" in frame:
        holes = np.cumsum(frame["hole_before"].to_numpy())[keep]
        thinned["hole_before"] = np.append(False, np.diff(holes) > 0)
    return thinned


def _keep_first(keep: "np.ndarray[tuple[int], np.dtype[np.bool_]]", hits: object, bucket: object) -> None:
    """Keep the first hit of each bucket."""
    found = np.flatnonzero(np.asarray(hits))
    keep[found[np.unique(np.asarray(bucket)[found], return_index=True)[1]]] = True
