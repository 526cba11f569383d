"""Blocks of the Hardware page about this machine: what the sampler saw last, and in its last hour. Needs no Prometheus.

A counter the driver does not tell reads "not available" with NVML's reason, never 0.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from collectors.host import Host
from collectors.unavailable import Unavailable
from dashboard import sampler
from dashboard.catalogue import hardware as catalogue
from dashboard.catalogue.spec import Metric, Panel
from dashboard.catalogue.units import BYTES, PERCENT
from dashboard.figures import lines
from dashboard.shell import charts, states
from dashboard.shell.hardware_gpus import NOT_AVAILABLE, told
from dashboard.shell.look import Look
from dashboard.shell.page import Block
from dashboard.shell.text import ago, clock, plain

OLD_SECONDS = 10.0  # the sampler looks once a second: older than this it hangs


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
    _tile(tiles[0], "CPU", told(PERCENT, seen.cpu_percent), cores)
    _tile(
        tiles[1],
        "Load, 1 minute",
        NOT_AVAILABLE if seen.load_1m is None else f"{seen.load_1m:.2f}",
        f"{load} (1, 5, 15 min)",
    )
    _tile(
        tiles[2], "Memory used", told(BYTES, seen.memory_used_bytes),
        f"of {told(BYTES, seen.memory_total_bytes)}, {told(BYTES, seen.memory_available_bytes)} available",
    )  # fmt: skip
    swap = NOT_AVAILABLE if seen.swap_used_bytes is None else told(BYTES, seen.swap_used_bytes)
    own = f"this dashboard holds {told(BYTES, seen.process_resident_bytes)}"
    _tile(tiles[3], "Swap used", swap, f"of {told(BYTES, seen.swap_total_bytes)} · {own}")


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
            else f"{told(BYTES, disk.used_bytes)} of {told(BYTES, disk.total_bytes)}, {told(BYTES, disk.free_bytes)} free",
        }
        for disk in seen.disks
    ]  # fmt: skip
    if rows:
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, alt="File systems of this machine",
            column_config={"used": st.column_config.ProgressColumn("used", min_value=0, max_value=100, format="%.0f %%")},
        )  # fmt: skip


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
