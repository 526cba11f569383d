"""From a run's events and raw samples to its report: plain data with units in its names. Numpy, no torch.

Report schema 1. A cell's `p50_seconds` is the geometric mean over launches of the launch medians, with a
t interval over launches where there are three or more; p95 and p99 come from all calls together, with
order-statistic intervals, and are null where n cannot bound them.
"""

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from dashboard.benchmark import environment, gpu_window, quantiles
from dashboard.benchmark.directory import RunDirectory
from dashboard.benchmark.distributions import t_quantile
from dashboard.benchmark.spec import Side

SCHEMA = 1

Event = Mapping[str, Any]

_PEAK_OF = {
    "float32": "matmul_float32",
    "bfloat16": "matmul_bfloat16",
    "float16": "matmul_bfloat16",
}


def report(run: RunDirectory) -> dict[str, Any] | None:
    """The report of everything measured; None when no cell gave a result."""
    spec = run.spec()
    events, _ = run.events()
    facts: dict[str, Any] = {}
    for event in events:
        if event["event"] == "environment":
            facts.update(event["environment"])
    planned: list[dict[str, Any]] = next(
        (event["cells"] for event in events if event["event"] == "planned"), []
    )
    samples = _gpu_samples(run)
    sides: dict[str, Side] = {side.name: side for side in spec.sides}
    groups: list[tuple[str | None, list[dict[str, Any]]]] = []
    for side in (*sides,) if sides else (None,):
        mine = [event for event in events if event.get("side") == side]
        groups.append(
            (side, [_cell(run, index, params, mine, samples) for index, params in enumerate(planned)])
        )
    cells = groups[-1][1]
    if not any(cell["status"] == "ok" for cell in cells):
        return None
    launches = [
        event
        for event in events
        if event["event"] == "launch finished" and event["launch"] not in _again(events)
    ]
    time_of = {event["event"]: event["time"] for event in events}
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "run_id": spec.run_id,
        "target": spec.target,
        "profile": spec.profile.name,
        "owner": spec.owner,
        "device": {
            "kind": spec.device.kind,
            "uuid": spec.device.uuid,
            "name": _device_name(spec.device.name, facts),
        },
        "created_at": spec.created_at,
        "started_time": time_of.get("leased"),  # unix seconds
        "ended_time": events[-1]["time"],
        "measured_seconds": events[-1]["monotonic_seconds"] - _monotonic(events, "leased"),
        "spec_hash": spec.hash(),
        "environment": facts,
        "env_key": environment.key(facts),
        "launches_planned": spec.profile.launches * max(1, len(spec.sides)),
        "launches_done": len(launches),
        "launches": _launches(events),
        "cells": cells,
        "headline": _headline(cells),
        "gpu_sampling": next(
            (
                {"available": e["available"], "reason": e["reason"]}
                for e in events
                if e["event"] == "sampling"
            ),
            None,
        ),
        "notes": _notes(cells, spec.profile.launches, events) + gpu_window.notes(samples),
    }
    if spec.sides:
        found["sides"] = {
            name: {"revision": sides[name].revision, "cells": side_cells}
            for name, side_cells in groups
            if name is not None
        }
    return found


def _device_name(named: str, facts: Mapping[str, Any]) -> str:
    return named or str(facts.get("gpu_name") or facts.get("cpu_model") or "")


def _monotonic(events: Iterable[Event], name: str) -> float:
    return float(next((e["monotonic_seconds"] for e in events if e["event"] == name), math.nan))


def _launches(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per launch: the canary heard at its start and between its cells, as one median per kernel."""
    found = []
    for number in sorted({e["launch"] for e in events if "launch" in e}):
        mine = [e for e in events if e.get("launch") == number]
        heard: dict[str, list[float]] = {}
        for event in mine:
            kernels = event.get("kernels") if event["event"] == "canary" else event.get("canary")
            for name, said in (kernels or {}).items():
                heard.setdefault(name, []).append(said["p50_seconds"])
        peaks: dict[str, dict[str, float]] = next((e["kernels"] for e in mine if e["event"] == "canary"), {})
        found.append(
            {
                "launch": number,
                "side": mine[0].get("side"),
                "again": number in _again(mine),
                "seconds": mine[-1]["monotonic_seconds"] - mine[0]["monotonic_seconds"],
                "finished": any(e["event"] == "launch finished" for e in mine),
                "canary_seconds": {name: float(np.median(values)) for name, values in heard.items()},
                "peaks": {
                    name: {k: v for k, v in said.items() if k != "p50_seconds"}
                    for name, said in peaks.items()
                },
            }
        )
    return found


def _cell(
    run: RunDirectory,
    index: int,
    params: dict[str, Any],
    events: list[dict[str, Any]],
    samples: list[dict[str, Any]],
) -> dict[str, Any]:
    key = " ".join(f"{name}={value}" for name, value in params.items())
    every = [e for e in events if e["event"] == "cell finished" and e.get("key") == key]
    second = _again(events)
    said = [e for e in every if e["launch"] not in second]
    good = [e for e in said if e["status"] == "ok" and e["p50"]["value"] is not None]
    bad = [e for e in said if e["status"] not in ("ok", "skipped")]
    cell: dict[str, Any] = {"key": key, "params": params, "k": len(good)}
    if bad:
        cell |= {
            "status": bad[0]["status"],
            "reason": f"{bad[0]['reason']} (in {len(bad)} of {len(said)} launches)",
        }
    elif not good:
        reason = said[0]["reason"] if said else "the run ended before its turn"
        cell |= {"status": "skipped", "reason": reason}
    else:
        cell |= {"status": "ok", "reason": ""}
    if cell["status"] != "ok":
        return cell
    medians = np.array([e["p50"]["value"] for e in good])
    pooled = _raw(run, index, good)
    first = good[0]
    watched = gpu_window.window(key, good, events, samples)
    cell |= {
        "clock": first["clock"],
        "p50_seconds": _centre(medians, first),
        "p95_seconds": quantiles.quantile(pooled, 0.95).as_json(),
        "p99_seconds": quantiles.quantile(pooled, 0.99).as_json(),
        "host_p50_seconds": _typical(good, "host_p50_seconds"),
        "cpu_p50_seconds": _typical(good, "cpu_p50_seconds"),
        "samples_per_second": _typical(good, "samples_per_second"),
        "tokens_per_second": _typical(good, "tokens_per_second"),
        "enqueue_seconds": _typical(good, "enqueue_seconds"),
        "replay_p50_seconds": _typical(good, "replay_p50_seconds"),
        "replay_reason": next((e["replay_reason"] for e in good if e.get("replay_reason")), ""),
        "first_call_seconds": _typical(good, "first_call_seconds"),
        "compiled": _compiled(good),
        "peak_memory": _peak(good),
        "error_relative": _worst(good, "error_relative"),
        "error_limit": first["error_limit"],
        "preempted_share": _typical(good, "preempted_share"),
        "steady": all(e["steady"] for e in good),
        "samples": first["samples"],
        "tokens": first["tokens"],
        "details": first["details"],
        "roofline": _roofline(params, first, float(np.exp(np.log(medians).mean())), events),
        "gpu": watched,
        "flags": _flags(good) + gpu_window.flags(watched),
        "launches": [_launch(e) for e in good],
    }
    again = [
        _launch(e)
        for e in every
        if e["launch"] in second and e["status"] == "ok" and e["p50"]["value"] is not None
    ]
    return cell | ({"again": again} if again else {})


def _again(events: Iterable[Event]) -> set[int]:
    """Numbers of the launches that measured suspects again; they are told apart, see `judging`."""
    return {e["launch"] for e in events if e["event"] == "launch started" and e.get("again")}


def _launch(event: Event) -> dict[str, Any]:
    return {
        "launch": event["launch"],
        "p50_seconds": event["p50"]["value"],
        "host_p50_seconds": event["host_p50_seconds"],
        "cpu_p50_seconds": event["cpu_p50_seconds"],
        "n": event["p50"]["n"],
        "preempted_share": event["preempted_share"],
        "canary_seconds": {name: heard["p50_seconds"] for name, heard in event.get("canary", {}).items()},
    }


def _centre(medians: quantiles.Seconds, only: Event) -> dict[str, Any]:
    """Value, 95 % interval, and what the interval speaks about: launches, or the calls of a single one."""
    k = len(medians)
    logs = np.log(medians)
    value = float(np.exp(logs.mean()))
    if k < 3:
        inside = only["p50"]
        alone = k == 1
        return {
            "value": value,
            "low": inside["low"] if alone else None,
            "high": inside["high"] if alone else None,
            "n": inside["n"],
            "k": k,
            "of": "calls of one launch" if alone else "two launches: too few for an interval",
            "between_launches": None,
        }
    spread = float(logs.std(ddof=1))
    reach = t_quantile(0.975, k - 1) * spread / math.sqrt(k)
    return {
        "value": value,
        "low": value * math.exp(-reach),
        "high": value * math.exp(reach),
        "n": int(only["p50"]["n"]),
        "k": k,
        "of": "launches",
        "between_launches": spread,  # standard deviation of log medians: 0.01 is one per cent
    }


def _raw(run: RunDirectory, index: int, events: list[dict[str, Any]]) -> quantiles.Seconds:
    """All calls of a cell on its primary clock, launch after launch, in seconds."""
    parts = []
    for event in events:
        path = run.path / "samples" / f"launch-{event['launch']:02d}.cell-{index:03d}.npz"
        with suppress(OSError, KeyError, ValueError), np.load(path) as file:
            parts.append(file[event["clock"]] / 1e9)
    return np.concatenate(parts) if parts else np.array([])


def _typical(events: list[dict[str, Any]], name: str) -> float | None:
    values = [e[name] for e in events if e.get(name) is not None]
    return float(np.median(values)) if values else None


def _worst(events: list[dict[str, Any]], name: str) -> float | None:
    values = [e[name] for e in events if e.get(name) is not None]
    return float(max(values)) if values else None


def _peak(events: list[dict[str, Any]]) -> dict[str, int | None]:
    names = events[0]["peak_memory"]
    found: dict[str, int | None] = {}
    for name in names:
        values = [e["peak_memory"][name] for e in events if e["peak_memory"].get(name) is not None]
        found[name] = max(values) if values else None
    return found


def _compiled(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Of the launches that compiled: the typical time, the most graphs and graph breaks; None where none did."""
    said = [e["compiled"] for e in events if e.get("compiled")]
    if not said:
        return None
    return {
        "seconds": _typical(said, "seconds"),
        "graphs": max(one["graphs"] for one in said),
        "graph_breaks": max(one["graph_breaks"] for one in said),
        "break_reasons": max((one["break_reasons"] for one in said), key=len),
    }


def _flags(events: list[dict[str, Any]]) -> list[str]:
    """What a reader should know before believing the number."""
    flags = []
    if not all(e["steady"] for e in events):
        flags.append("not steady after warm-up")
    if any(e.get("drift") for e in events):
        flags.append("drifts within a launch")
    if any(e.get("two_modes") for e in events):
        flags.append("two modes")
    if any((e.get("preempted_share") or 0) > 0.1 for e in events):
        flags.append("preempted")
    if any(e.get("launch_bound") for e in events):
        flags.append("launch-bound")
    if any(e["stopped_by"] == "time" for e in events):
        flags.append("interval wider than asked: out of time")
    return flags


def _roofline(
    params: Mapping[str, Any], first: Event, p50: float, events: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Least time by arithmetic, memory and launches at rates measured in the same launch, and which one binds."""
    heard = next(
        (e["kernels"] for e in events if e["event"] == "canary" and e["launch"] == first["launch"]), None
    )
    if heard is None or first.get("flops") is None:
        return None
    peak = (heard.get(_PEAK_OF.get(str(params.get("dtype")), "")) or {}).get("flops_per_second")
    bandwidth = (heard.get("copy") or {}).get("bytes_per_second")
    kernels = (first.get("details") or {}).get("kernels")
    floors = {
        "compute": first["flops"] / peak if peak else None,
        "memory": first["bytes_moved"] / bandwidth if bandwidth and first.get("bytes_moved") else None,
        "launch": kernels * heard["small"]["p50_seconds"] if kernels else None,
    }
    known = {name: floor for name, floor in floors.items() if floor is not None}
    return {
        "flops": first["flops"],
        "bytes_moved": first["bytes_moved"],
        "flops_per_second": first["flops"] / p50,
        "peak_flops_per_second": peak,
        "bytes_per_second": bandwidth,
        "share_of_peak": first["flops"] / p50 / peak if peak else None,
        "floor_seconds": max(known.values()) if known else None,
        "share_of_floor": max(known.values()) / p50 if known else None,
        "bound": max(known, key=lambda name: known[name]) if known else None,
    }


def _gpu_samples(run: RunDirectory) -> list[dict[str, Any]]:
    found = []
    with suppress(FileNotFoundError), (run.path / "gpu.jsonl").open(encoding="utf-8") as file:
        for line in file:
            with suppress(ValueError):
                found.append(json.loads(line))
    return found


def _headline(cells: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one cell a list of runs shows: the largest that worked, in the first dtype."""
    working = [cell for cell in cells if cell["status"] == "ok"]
    if not working:
        return None
    dtype = working[0]["params"].get("dtype")
    cell = max((c for c in working if c["params"].get("dtype") == dtype), key=lambda c: c["tokens"])
    return {
        "key": cell["key"],
        "p50_seconds": cell["p50_seconds"]["value"],
        "samples_per_second": cell["samples_per_second"],
    }


def _notes(cells: list[dict[str, Any]], launches: int, events: list[dict[str, Any]]) -> list[str]:
    notes = []
    if launches == 1:
        notes.append("One launch: fit to look at, not to judge by. The standard profile measures five.")
    if any(event["event"] == "out of time" for event in events):
        notes.append("Fewer launches than planned: the time limit was near.")
    failed = [cell for cell in cells if cell["status"] not in ("ok", "skipped")]
    for event in events:
        if event["event"] == "suspects":
            count = f"{len(event['cells'])} cells looked changed"
            notes.append(
                f"{count} and were measured again in {event['launches']} launches of their own."
                if event["launches"]
                else f"{count}; no time was left to measure them again."
            )
    if failed:
        notes.append(
            f"{len(failed)} of {len(cells)} cells failed; a cell that fails is not left out of comparisons."
        )
    skipped = [cell for cell in cells if cell["status"] == "skipped"]
    if skipped:
        notes.append(f"{len(skipped)} of {len(cells)} cells were not measured.")
    return notes
