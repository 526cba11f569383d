"""The model behind the router, in three numbers."""

import streamlit as st

from dashboard.catalogue import training
from dashboard.catalogue.units import Unit
from dashboard.shell import states
from dashboard.shell.look import Look

SCALED = Unit("large number", "", "", "short")  # 1.2 M instead of 1,234,567


def model(look: Look) -> None:
    """Parameters, floating point operations and size, as the run last reported them; what it does not is said once."""
    if look.evolution is None:
        return
    frame = look.evolution.frame
    known, silent = [], []
    for metric, label, unit in (
        (training.PARAMETERS, "Parameters", SCALED),
        (training.FLOPS, "FLOPs per forward pass", SCALED),
        (training.SIZE, "Size", training.SIZE.unit),
    ):
        if metric.name in frame and frame[metric.name].notna().any():
            known.append((label, unit.format(float(frame[metric.name].dropna().iloc[-1])), metric.help))
        else:
            silent.append(label if label[1].isupper() else label.lower())
    if known:
        with st.container(horizontal=True, gap="large"):
            for label, value, about in known:
                st.metric(label, value, help=about, width="content")
    if silent and look.evolution.frame.shape[0]:
        states.quiet(f"This run does not report: {', '.join(silent)}.")
