"""In which order the experts stand: what the viewer chose; the order by likeness is worked out where nobody waits for it."""

import threading
import time

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.figures import order

NAMES = {"id": "Number", "load": "Load now", "variance": "Variance", "similarity": "Similarity"}
HELD_SECONDS = 60.0  # rows that change places at every refresh cannot be followed
MOST = 32  # orders held

_lock = threading.Lock()
_held: dict[tuple[object, ...], tuple[float, list[int]]] = {}
_working: set[tuple[object, ...]] = set()


def picker() -> str:
    """Let the viewer choose; the address holds it."""
    return st.selectbox(
        "Order of experts", list(NAMES), format_func=NAMES.__getitem__, key="order", bind="query-params", width=150,
        help="Similarity puts experts beside each other whose load moves together: hierarchical clustering, average linkage "
        "on 1 − correlation.",
    )  # fmt: skip


def of(by: str, load: NDArray[np.float64], whose: tuple[object, ...]) -> list[int]:
    """Row numbers of `load` (experts, points) in this order.

    Likeness is worked out once for all viewers of `whose` and then anew at most once a minute, in a thread of its own:
    clustering 4 096 experts takes 0.7 s of a processor, and no refresh waits for it but the very first.
    """
    if by != "similarity":
        return order.of(by, load)
    with _lock:
        made_at, rows = _held.get(whose, (0.0, []))
        known = len(rows) == len(load)
        due = known and time.monotonic() - made_at > HELD_SECONDS and whose not in _working
        if due:
            _working.add(whose)
    if not known:
        return _worked_out(load, whose)
    if due:
        threading.Thread(target=_worked_out, args=(load, whose), name="likeness", daemon=True).start()
    return rows


def _worked_out(load: NDArray[np.float64], whose: tuple[object, ...]) -> list[int]:
    try:
        rows = order.alike(load)
        with _lock:
            _held[whose] = (time.monotonic(), rows)
            while len(_held) > MOST:
                _held.pop(next(iter(_held)))
    finally:
        with _lock:
            _working.discard(whose)
    return rows
