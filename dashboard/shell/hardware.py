"""Blocks of the Hardware page about this machine: what the sampler saw last, and in its last hour. Needs no Prometheus.

A counter the driver does not tell reads "not available" with NVML's reason, never 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from collectors import nvml
from collectors.host import Host
from collectors.nvml import Gpu
from collectors.unavailable import Unavailable
from collectors.xid import HARDWARE
from dashboard import sampler
from dashboard.catalogue import hardware as catalogue
from dashboard.catalogue.spec import Metric, Panel
from dashboard.catalogue.units import BYTES, CELSIUS, COUNT, HERTZ, JOULES, PERCENT, WATTS, Unit
from dashboard.figures import lines
from dashboard.shell import charts, states
from dashboard.shell.look import Look
from dashboard.shell.page import Block
from dashboard.shell.text import ago, clock, plain

NOT_AVAILABLE = "not available"
OLD_SECONDS = 10.0  # the sampler looks once a second: older than this it hangs

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


def host(look: Look) -> None:
    """Processor, memory, load and disks of this machine, now."""
    charts.heading("This machine, now", "Read from the kernel once a second, by this server itself.")
    seen = _latest(look)
    if seen is None:
        return
    if isinstance(seen.host, Unavailable):
        states.unavailable(seen.host)
        return
    _host_tiles(seen.host)
    _disks(seen.host)


def gpus(look: Look) -> None:
    """One row a GPU, what is not told as such, Xid errors, and who uses a GPU on request."""
    charts.heading("GPUs of this machine, now", UTILIZATION_MEANS)
    seen = look.sources.sampler.latest
    if seen is None:
        states.empty("No look at the GPUs yet.")
    elif isinstance(seen.gpus, Unavailable):
        if seen.gpus.kind == "no-library":  # a machine without a GPU is no fault
            states.empty(str(seen.gpus))
        else:
            states.unavailable(seen.gpus)
    elif not seen.gpus:
        states.empty("The NVIDIA driver is there and reports no GPU.")
    else:
        for gpu in seen.gpus:
            if gpu.trouble:
                st.error(plain(f"GPU {gpu.gpu_id} ({gpu.name or 'unnamed'}): {gpu.trouble}. Its counters mean nothing now."))  # fmt: skip
        st.dataframe(gpu_table(seen.gpus), hide_index=True, alt=f"{len(seen.gpus)} GPUs of this machine")
        st.caption(UTILIZATION_MEANS)
        _missing(seen.gpus)
        _xids(seen, look)
        for gpu in seen.gpus:
            _processes(gpu)


def last_hour(item: Panel, metric: Metric) -> Block:
    """The last hour of one metric of this machine, from the sampler's memory."""
    here = replace(
        item, key=f"here-{item.key}", title=f"{item.title}, this machine, last hour", series=item.series[:1]
    )

    def block(look: Look) -> None:
        _history(here, metric, look)

    return block


def gpu_last_hour(look: Look) -> None:
    """Utilization, memory, power and temperature of this machine's GPUs over the last hour; nothing where there is none."""
    shown = (
        (catalogue.GPU_UTILIZATION_PANEL, catalogue.GPU_UTILIZATION), (catalogue.GPU_MEMORY_PANEL, catalogue.GPU_MEMORY_PERCENT),
        (catalogue.GPU_POWER_PANEL, catalogue.GPU_POWER), (catalogue.GPU_TEMPERATURE_PANEL, catalogue.GPU_TEMPERATURE),
    )  # fmt: skip
    known = [(item, metric) for item, metric in shown if look.sources.sampler.series(metric)]
    for first in range(0, len(known), 2):
        pair = known[first : first + 2]
        for column, (item, metric) in zip(st.columns(2), pair, strict=False):
            with column:
                last_hour(item, metric)(look)


def fleet(_: Look) -> None:
    """What follows comes from Prometheus."""
    st.subheader("Every machine Prometheus scrapes", anchor=False)


def gpu_table(seen: Sequence[Gpu]) -> pd.DataFrame:
    """One row a GPU, every value as a person reads it."""
    return pd.DataFrame([_row(gpu) for gpu in seen])


def _row(gpu: Gpu) -> dict[str, str]:
    memory = f"{_of(BYTES, gpu.memory_used_bytes)} of {_of(BYTES, gpu.memory_total_bytes)}"
    power = f"{_of(WATTS, gpu.power_watts)} of {_of(WATTS, gpu.power_limit_watts)}"
    return {
        "GPU": gpu.gpu_id,
        "name": gpu.name or NOT_AVAILABLE,
        "utilization": _of(PERCENT, gpu.utilization_percent),
        "memory used": NOT_AVAILABLE if gpu.memory_used_bytes is None else memory,
        "power": NOT_AVAILABLE if gpu.power_watts is None else power,
        "temperature": _of(CELSIUS, gpu.temperature_celsius),
        "SM clock": _of(HERTZ, gpu.sm_clock_hertz),
        "memory clock": _of(HERTZ, gpu.memory_clock_hertz),
        "clocks held back by": reasons(gpu.clock_reasons),
        "energy": _of(JOULES, gpu.energy_joules),
        "uncorrected ECC errors": _of(COUNT, gpu.ecc_uncorrected),
        "MIG": NOT_AVAILABLE if gpu.mig_enabled is None else f"{len(gpu.mig_slices)} slices" if gpu.mig_enabled else "off",
        "UUID": gpu.uuid or NOT_AVAILABLE,
        "driver": gpu.driver_version or NOT_AVAILABLE,
    }  # fmt: skip


def reasons(words: Sequence[str] | None) -> str:
    """Why clocks are not at their highest, as text."""
    if words is None:
        return NOT_AVAILABLE
    return ", ".join(REASONS.get(word, word) for word in words) or "nothing"


def _of(unit: Unit, value: float | None) -> str:
    return NOT_AVAILABLE if value is None else unit.format(float(value))


def _latest(look: Look) -> sampler.Look | None:
    """The sampler's last look; says when there is none, or when it is old."""
    seen = look.sources.sampler.latest
    if seen is None:
        states.empty("This machine has not been looked at yet. The first look comes within a second of the server's start.")  # fmt: skip
        return None
    age = look.now - seen.time
    if age > OLD_SECONDS:
        st.warning(
            f"The last look at this machine was {ago(seen.time, look.now)}: the sampler hangs or was stopped. These are its last values.",
            icon=":material/history:",
        )  # fmt: skip
    else:
        st.caption(f"looked at {clock(seen.time, look.view.zone)}")
    return seen


def _host_tiles(seen: Host) -> None:
    tiles = st.columns(4)
    cores = f"{seen.cpu_count} logical cores" if seen.cpu_count else "number of cores not available"
    load = "load " + " / ".join("–" if value is None else f"{value:.2f}" for value in (seen.load_1m, seen.load_5m, seen.load_15m))  # fmt: skip
    _tile(tiles[0], "CPU", _of(PERCENT, seen.cpu_percent), cores)
    _tile(
        tiles[1],
        "Load, 1 minute",
        NOT_AVAILABLE if seen.load_1m is None else f"{seen.load_1m:.2f}",
        f"{load} (1, 5, 15 min)",
    )
    _tile(
        tiles[2], "Memory used", _of(BYTES, seen.memory_used_bytes),
        f"of {_of(BYTES, seen.memory_total_bytes)}, {_of(BYTES, seen.memory_available_bytes)} available",
    )  # fmt: skip
    swap = NOT_AVAILABLE if seen.swap_used_bytes is None else _of(BYTES, seen.swap_used_bytes)
    own = f"this dashboard holds {_of(BYTES, seen.process_resident_bytes)}"
    _tile(tiles[3], "Swap used", swap, f"of {_of(BYTES, seen.swap_total_bytes)} · {own}")


def _tile(column: "st.delta_generator.DeltaGenerator", name: str, value: str, below: str) -> None:
    with column.container(border=True):
        st.metric(name, value)
        st.caption(plain(below))


def _disks(seen: Host) -> None:
    rows = [
        {
            "file system": disk.mount_point,
            "device": disk.device,
            "used": None if disk.used_bytes is None or not disk.total_bytes else 100 * disk.used_bytes / disk.total_bytes,
            "in words": f"{NOT_AVAILABLE} ({disk.trouble})" if disk.used_bytes is None
            else f"{_of(BYTES, disk.used_bytes)} of {_of(BYTES, disk.total_bytes)}, {_of(BYTES, disk.free_bytes)} free",
        }
        for disk in seen.disks
    ]  # fmt: skip
    if rows:
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, alt="File systems of this machine",
            column_config={"used": st.column_config.ProgressColumn("used", min_value=0, max_value=100, format="%.0f %%")},
        )  # fmt: skip


def _missing(seen: Sequence[Gpu]) -> None:
    """Why a value is not available, as the driver said it."""
    told = {f"GPU {gpu.gpu_id}": dict(gpu.missing) for gpu in seen if gpu.missing}
    if told:
        with st.expander("Why some values are not available"):
            for name, missing in told.items():
                st.text(f"{name}: " + "; ".join(f"{field}: {why}" for field, why in missing.items()))


def _xids(seen: sampler.Look, look: Look) -> None:
    if isinstance(seen.xids, Unavailable):
        st.caption(plain(f"Xid errors: {NOT_AVAILABLE}. {seen.xids}"))
        return
    came = [xid for xid in seen.xids if xid.count]
    if not came:
        st.caption("Xid errors: none since this server began to watch.")
        return
    rows = [
        {
            "GPU": xid.gpu_id,
            "Xid": xid.code,
            "means": HARDWARE.get(xid.code, "see NVIDIA's list of Xid errors"),
            "count": xid.count,
            "first seen": clock(xid.first_seen, look.view.zone),
            "last seen": clock(xid.last_seen, look.view.zone),
        }
        for xid in came
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Xid errors")


def _processes(gpu: Gpu) -> None:
    """Who uses this GPU; asked only on request, since the driver may hold its lock meanwhile."""
    if not st.toggle(f"Who uses GPU {gpu.gpu_id}?", key=f"gpu-processes-{gpu.gpu_id}"):
        return
    try:
        found = nvml.processes(gpu.gpu_id)
    except Unavailable as why:
        states.unavailable(why)
        return
    if not found:
        states.empty(f"No process holds GPU {gpu.gpu_id}.")
        return
    rows = [
        {
            "pid": process.pid,
            "name": process.name or NOT_AVAILABLE,
            "owner": process.owner or NOT_AVAILABLE,
            "kind": process.kind,
            "memory": _of(BYTES, process.memory_used_bytes),
        }
        for process in found
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=f"Processes on GPU {gpu.gpu_id}")


def _history(item: Panel, metric: Metric, look: Look) -> None:
    with st.container(border=True):
        charts.heading(item.title, item.why)
        frame = history_frame(look.sources.sampler, metric)
        if frame.empty:
            states.empty("Nothing was measured on this machine yet.")
            return
        figure = lines.draw(item, frame, zone=look.view.zone, revision="here")
        last = "; ".join(f"{name} {item.unit.format(float(value))}" for name, value in frame.iloc[-1].items())
        charts.show(figure, key=item.key, alt=f"{item.title}. Now: {last}.")


def history_frame(source: sampler.Sampler, metric: Metric, points: int = 720) -> pd.DataFrame:
    """The last hour of every series of a metric as a wide frame (UTC DatetimeIndex × one column a series).

    At most about `points` rows: every n-th second is kept, aligned to the clock, so that a refresh does not shift them.
    """
    columns: dict[str, pd.Series] = {}
    for labels in source.series(metric):
        times, values = source.history(metric, labels)
        known = pd.Series(values, index=pd.to_datetime(np.round(times), unit="s", utc=True))
        columns[_name(labels, metric)] = known[~known.index.duplicated(keep="last")]
    if not columns:
        return pd.DataFrame()
    frame = pd.DataFrame(columns)
    every = max(1, -(-len(frame) // points))
    if every > 1:
        seconds = frame.index.as_unit("s").asi8  # type: ignore[attr-defined]  # a DatetimeIndex has it; its stubs do not
        frame = frame[seconds % every == 0]
    return frame


_LABEL: dict[str, Callable[[str], str]] = {"gpu_id": lambda index: f"GPU {index}"}


def _name(labels: dict[str, str], metric: Metric) -> str:
    words = [_LABEL.get(name, str)(value) for name, value in labels.items()]
    return " ".join(words) or metric.name.removesuffix("_percent").replace("_", " ")
