"""In which order the experts stand: by number, by newest load, by how much they vary, or like beside like."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

ORDERS = {"id": "Number", "load": "Load now", "variance": "Variance", "similarity": "Similarity"}


def picker() -> str:
    """Let the viewer choose."""
    return st.selectbox(
        "Order of experts", list(ORDERS), format_func=lambda name: ORDERS[name], key="order-picker", width=150,
        help="Similarity puts experts beside each other whose load moves together.",
    )  # fmt: skip


def of(by: str, load: NDArray[np.float64]) -> list[int]:
    """Row numbers of `load` (experts, points) in this order; rows that cannot be judged stand last."""
    rows = load.shape[0]
    if by == "load":
        known = np.flatnonzero(np.isfinite(load).any(axis=0))
        newest = load[:, known[-1]] if known.size else np.zeros(rows)
        return list(np.argsort(np.where(np.isnan(newest), np.inf, -newest), kind="stable"))
    if by == "variance":
        spread = np.array([np.var(row[np.isfinite(row)]) if np.isfinite(row).any() else -1.0 for row in load])
        return list(np.argsort(-spread, kind="stable"))
    if by == "similarity":
        return _alike(load)
    return list(range(rows))


def _alike(load: NDArray[np.float64]) -> list[int]:
    """By angle in the plane of the first two principal directions of the loads: neighbours move together."""
    filled = np.where(np.isnan(load), 1.0, load)
    centred = filled - filled.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    directions = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    if directions.shape[0] < 3 or not directions.any():
        return list(range(load.shape[0]))
    left, _, _ = np.linalg.svd(directions, full_matrices=False)
    angle = np.arctan2(left[:, 1], left[:, 0]) if left.shape[1] > 1 else left[:, 0]
    return list(np.argsort(angle, kind="stable"))
