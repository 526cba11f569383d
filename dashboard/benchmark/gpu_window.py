"""The GPU while one cell was measured: clocks, power, throttling with its reason, energy where the window can carry it.

From the sampler's lines and the run's events; pure. Power, clocks and energy are the whole board's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# NVML's counter of energy ticks every 10 to 100 ms and its utilization looks back up to a second: less says nothing.
LEAST_SECONDS = 2.0
_REASONS = {
    0x08: "hardware slowdown",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}
_POWER_CAP = 0x04
_OFTEN = 0.05  # share of the samples from which on a reason is named
_CLOCK_FELL = 0.97  # of the run's median clock

Sample = Mapping[str, Any]


def window(
    key: str, finished: Sequence[Sample], events: Sequence[Sample], samples: Sequence[Sample]
) -> dict[str, Any] | None:
    """What the sampler saw of a cell over all its launches; None where nothing was sampled.

    Args:
        finished: the cell's "cell finished" events, one a launch.
    """
    if not samples:
        return None
    energy, integrated, tokens = 0.0, 0.0, 0
    inside: list[Sample] = []
    long: list[Sample] = []
    for event in finished:
        begin = next(
            (
                e["monotonic_seconds"]
                for e in events
                if e["event"] == "cell started" and e.get("key") == key and e["launch"] == event["launch"]
            ),
            None,
        )
        if begin is None:
            continue
        seen = [s for s in samples if begin <= s["monotonic_seconds"] <= event["monotonic_seconds"]]
        inside += seen
        if event["monotonic_seconds"] - begin < LEAST_SECONDS:
            continue
        long += seen
        counted = [s["energy_joules"] for s in seen if s.get("energy_joules") is not None]
        if len(counted) > 1:
            energy += counted[-1] - counted[0]
            integrated += _integral(seen)
            tokens += event["calls"] * event["tokens"]
    reasons = _values(inside, "throttle_reasons")
    clock, usual = _mean(inside, "sm_clock_hertz"), _values(samples, "sm_clock_hertz")
    return {
        "samples": len(inside),
        "sm_clock_hertz": clock,
        "clock_share": None if clock is None else clock / float(np.median(usual)),  # of the run's median
        "power_watts": _mean(inside, "power_watts"),
        "temperature_celsius": _mean(inside, "temperature_celsius"),
        "utilization_ratio": None if (used := _mean(long, "utilization_percent")) is None else used / 100,
        "memory_used_bytes": max(
            _values(inside, "memory_used_bytes"), default=None
        ),  # the board's, by whomever
        "throttled_share": _share(reasons, sum(_REASONS)),
        "throttled_by": [name for bit, name in _REASONS.items() if (_share(reasons, bit) or 0) > _OFTEN],
        "power_capped_share": _share(reasons, _POWER_CAP),
        "joules_per_token": energy / tokens if tokens and energy > 0 else None,  # gross: idle power included
        "energy_against_power": energy / integrated
        if energy > 0 and integrated > 0
        else None,  # 1: they agree
    }


def flags(found: Mapping[str, Any] | None) -> list[str]:
    """What a reader of a cell should know of its clocks. A power cap under a large product is normal: a label."""
    if found is None:
        return []
    said = [f"throttled: {reason}" for reason in found["throttled_by"]]
    if (found["clock_share"] or 1.0) < _CLOCK_FELL:
        said.append(f"clock {found['clock_share']:.0%} of the run's")
    if (found["power_capped_share"] or 0) > _OFTEN:
        said.append("power-capped")
    if abs((found["energy_against_power"] or 1.0) - 1) > 0.1:
        said.append("energy counter and power disagree")
    return said


def notes(samples: Sequence[Sample]) -> list[str]:
    """What is to be said of the whole run: NVML stopped answering before its end."""
    answered = [
        s["monotonic_seconds"]
        for s in samples
        if any(v is not None for k, v in s.items() if k != "monotonic_seconds")
    ]
    if not answered or samples[-1]["monotonic_seconds"] == answered[-1]:
        return []
    silent = samples[-1]["monotonic_seconds"] - answered[-1]
    return [f"NVML stopped answering {silent:.0f} s before the end: clocks and power are of the time before."]


def _values(samples: Sequence[Sample], name: str) -> list[float]:
    return [s[name] for s in samples if s.get(name) is not None]


def _mean(samples: Sequence[Sample], name: str) -> float | None:
    values = _values(samples, name)
    return float(np.mean(values)) if values else None


def _share(reasons: Sequence[float], bits: int) -> float | None:
    return float(np.mean([bool(int(r) & bits) for r in reasons])) if reasons else None


def _integral(samples: Sequence[Sample]) -> float:
    """Watts over time, by trapezes, in joules; 0 where power is not known."""
    known = [(s["monotonic_seconds"], s["power_watts"]) for s in samples if s.get("power_watts") is not None]
    if len(known) < 2:
        return 0.0
    times, watts = np.array(known).T
    return float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(times)))
