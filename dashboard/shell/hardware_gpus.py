"""Blocks of the Hardware page about this machine's GPUs: load, faults with when they came, slices, and who uses them.

A counter the driver does not tell reads "not available" with NVML's reason, never 0. A GPU that was here and is gone
is named until it is back.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from collectors import nvml
from collectors.gpuwatch import Errors, Gone
from collectors.nvml import Gpu
from collectors.unavailable import Unavailable
from collectors.xid import HARDWARE, Xid
from dashboard import sampler
from dashboard.catalogue.units import BYTES, CELSIUS, COUNT, HERTZ, JOULES, PERCENT, WATTS, Unit
from dashboard.shell import charts, states
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, plain

NOT_AVAILABLE = "not available"

UTILIZATION_MEANS = (
    "NVML's utilization is the share of its last sample period (1/6 to 1 s) in which at least one kernel ran. "
    "100 % says busy, not well used: one small kernel after another reads 100 % too. Power and clocks say more."
)
# What the driver's reasons for lower clocks mean to a person; the keys are those of collectors.nvml.
REASONS = {
    "gpu_idle": "idle",
    "applications_clocks": "application clocks set",
    "sw_power_cap": "at its power limit",
    "hw_slowdown": "hardware slowdown",
    "sync_boost": "in step with other GPUs",
    "sw_thermal": "too hot (driver)",
    "hw_thermal": "too hot (hardware)",
    "hw_power_brake": "power brake",
    "display_clocks": "display clocks",
    "board_limit": "board limit",
    "reliability": "reliability limit",
}


def gpus(look: Look) -> None:
    """What each GPU does now, what is wrong with it, and on request who uses it."""
    charts.heading("GPUs of this machine, now", UTILIZATION_MEANS)
    seen = look.sources.sampler.latest
    if seen is None:
        states.empty("No look at the GPUs yet.")
        return
    for gone in seen.gone:
        _gone(gone, look)
    if isinstance(seen.gpus, Unavailable):
        if seen.gpus.kind == "no-library":  # a machine without a GPU is no fault
            states.empty(str(seen.gpus))
        else:
            states.unavailable(seen.gpus)
        return
    if not seen.gpus:
        if not seen.gone:
            states.empty("The NVIDIA driver is there and reports no GPU.")
        return
    named = {gone.gpu_id for gone in seen.gone}
    for gpu in seen.gpus:
        if gpu.trouble and gpu.gpu_id not in named:
            st.error(plain(f"GPU {gpu.gpu_id} ({gpu.name or 'unnamed'}): {gpu.trouble}. Its counters mean nothing now."))  # fmt: skip
    st.dataframe(gpu_table(seen.gpus), hide_index=True, alt=f"{len(seen.gpus)} GPUs of this machine: load")
    st.caption(UTILIZATION_MEANS)
    _slices(seen.gpus)
    st.markdown("**Faults, energy and identity**")
    st.dataframe(
        fault_table(seen.gpus, seen.errors, look.view.zone),
        hide_index=True,
        alt="Faults and identity of the GPUs",
    )
    _missing(seen.gpus)
    _xids(seen, look)
    _processes(seen.gpus)


def _gone(gone: Gone, look: Look) -> None:
    st.error(
        plain(
            f"GPU {gone.gpu_id} ({gone.name or 'unnamed'}, {gone.uuid}): {gone.why}. It was last well at"
            f" {clock(gone.last_well, look.view.zone)}, {ago(gone.last_well, look.now)}."
        ),
        icon=":material/error:",
    )


def gpu_table(seen: Sequence[Gpu]) -> pd.DataFrame:
    """What each GPU does, every value as a person reads it."""
    return pd.DataFrame([_row(gpu) for gpu in seen])


def _row(gpu: Gpu) -> dict[str, str]:
    memory = f"{told(BYTES, gpu.memory_used_bytes)} of {told(BYTES, gpu.memory_total_bytes)}"
    power = f"{told(WATTS, gpu.power_watts)} of {told(WATTS, gpu.power_limit_watts)}"
    return {
        "GPU": gpu.gpu_id,
        "name": gpu.name or NOT_AVAILABLE,
        "utilization": told(PERCENT, gpu.utilization_percent),
        "memory used": NOT_AVAILABLE if gpu.memory_used_bytes is None else memory,
        "power": NOT_AVAILABLE if gpu.power_watts is None else power,
        "temperature": told(CELSIUS, gpu.temperature_celsius),
        "SM clock": told(HERTZ, gpu.sm_clock_hertz),
        "memory clock": told(HERTZ, gpu.memory_clock_hertz),
        "clocks held back by": reasons(gpu.clock_reasons),
    }


def fault_table(seen: Sequence[Gpu], errors: Sequence[Errors], zone: str) -> pd.DataFrame:
    """What is wrong with each GPU and since when, what it consumed, and which card it is."""
    by_gpu = {one.gpu_id: one for one in errors}
    return pd.DataFrame([_fault_row(gpu, by_gpu.get(gpu.gpu_id), zone) for gpu in seen])


def _fault_row(gpu: Gpu, errors: Errors | None, zone: str) -> dict[str, str]:
    return {
        "GPU": gpu.gpu_id,
        "state": gpu.trouble or "answers",
        "uncorrected ECC errors": told(COUNT, gpu.ecc_uncorrected),
        "first seen": _seen(errors, errors.first_seen if errors else None, zone),
        "last seen": _seen(errors, errors.last_seen if errors else None, zone),
        "energy": told(JOULES, gpu.energy_joules),
        "MIG": NOT_AVAILABLE if gpu.mig_enabled is None else f"{len(gpu.mig_slices)} slices" if gpu.mig_enabled else "off",
        "driver": gpu.driver_version or NOT_AVAILABLE,
        "UUID": gpu.uuid or NOT_AVAILABLE,
    }  # fmt: skip


def _seen(errors: Errors | None, at: float | None, zone: str) -> str:
    """When errors came; those that were there before this server looked have no time."""
    if errors is None:
        return NOT_AVAILABLE
    if at is not None:
        return clock(at, zone)
    return "before this server began" if errors.before else "never"


def reasons(words: Sequence[str] | None) -> str:
    """Why clocks are not at their highest, as text."""
    if words is None:
        return NOT_AVAILABLE
    return ", ".join(REASONS.get(word, word) for word in words) or "nothing"


def told(unit: Unit, value: float | None) -> str:
    """A value as a person reads it; what is unknown is not available, never 0."""
    return NOT_AVAILABLE if value is None else unit.format(float(value))


def _slices(seen: Sequence[Gpu]) -> None:
    """The MIG slices with their own memory; load, power and clocks belong to the whole board."""
    rows = [
        {
            "GPU": gpu.gpu_id,
            "slice": part.name or NOT_AVAILABLE,
            "memory used": NOT_AVAILABLE if part.memory_used_bytes is None
            else f"{told(BYTES, part.memory_used_bytes)} of {told(BYTES, part.memory_total_bytes)}",
            "UUID": part.uuid or NOT_AVAILABLE,
        }
        for gpu in seen
        for part in gpu.mig_slices
    ]  # fmt: skip
    if rows:
        st.markdown("**MIG slices**")
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="MIG slices")


def _missing(seen: Sequence[Gpu]) -> None:
    """Why a value is not available, as the driver said it."""
    silent = {f"GPU {gpu.gpu_id}": dict(gpu.missing) for gpu in seen if gpu.missing}
    if silent:
        with st.expander("Why some values are not available"):
            for name, missing in silent.items():
                st.text(f"{name}: " + "; ".join(f"{field}: {why}" for field, why in missing.items()))


def _xids(seen: sampler.Look, look: Look) -> None:
    if isinstance(seen.xids, Unavailable):
        st.caption(plain(f"Xid errors: {NOT_AVAILABLE}. {seen.xids}"))
        return
    came = [xid for xid in seen.xids if xid.count]
    if not came:
        st.caption("Xid errors: none since this server began to watch.")
        return
    st.markdown("**Xid errors since this server began to watch**")
    st.dataframe(pd.DataFrame([_xid(xid, look.view.zone) for xid in came]), hide_index=True, alt="Xid errors")


def _xid(xid: Xid, zone: str) -> dict[str, object]:
    return {
        "GPU": xid.gpu_id,
        "Xid": xid.code,
        "means": HARDWARE.get(xid.code, "see NVIDIA's list of Xid errors"),
        "count": xid.count,
        "first seen": clock(xid.first_seen, zone),
        "last seen": clock(xid.last_seen, zone),
    }


def _processes(seen: Sequence[Gpu]) -> None:
    """Who uses the GPUs; asked only on request, since the driver may hold its lock meanwhile."""
    if not st.toggle("Who uses these GPUs?", key="gpu-processes"):
        return
    rows = []
    for gpu in seen:
        try:
            rows += [_process(process) for process in nvml.processes(gpu.gpu_id)]
        except Unavailable as why:
            st.caption(plain(f"GPU {gpu.gpu_id}: {NOT_AVAILABLE}. {why}"))
    if not rows:
        states.empty("No process is known to hold memory of these GPUs.")
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Processes on the GPUs, with owner and memory")
    if any(row["owner"] == NOT_AVAILABLE for row in rows):
        st.caption(
            "The driver names processes by their number on the host: inside a container, or once one has ended, name and"
            " owner are not available."
        )


def _process(process: nvml.GpuProcess) -> dict[str, object]:
    return {
        "GPU": process.gpu_id,
        "pid": process.pid,
        "name": process.name or NOT_AVAILABLE,
        "owner": process.owner or NOT_AVAILABLE,
        "kind": process.kind,
        "memory": told(BYTES, process.memory_used_bytes),
    }
