"""What failed in a run, by error type: evaluations that raised, as counted, and steps that failed, as logged. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from collectors.run_events import RunEvent
from dashboard.catalogue import evolution

STEP_FAILED = "Evolution step failed"  # the guide's event
UNTOLD = "untold"  # a line without an error type
Where = Literal["evaluation", "step"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One error type of one place. Times are unix seconds; a generation or time that is not known is None."""

    error_type: str
    where: Where
    count: int
    first_generation: float | None
    last_generation: float | None
    first_time: float | None
    last_time: float | None


def new(frame: pd.DataFrame) -> pd.DataFrame:
    """Evaluations that failed at each point of a run, a column an error type: what its counter rose by since the point before.

    A counter that began anew counts from 0; one that was not told yet stood at 0, but at the first point of a window
    that is not the run's first: what came before it is not known to be of that point.
    """
    found = {}
    segment = frame["segment"].to_numpy() if len(frame) else np.empty(0)
    from_start = bool(len(frame)) and frame["generation"].iloc[0] <= 1
    for error_type, column in evolution.FAILURES.parts(frame.columns).items():
        total = frame[column].groupby(segment).ffill().fillna(0.0).to_numpy(np.float64)
        step = np.diff(total, prepend=0.0 if from_start or not len(total) else total[:1])
        found[error_type] = np.where(step < 0, total, step)
    return pd.DataFrame(found, index=frame.index)


def of(frame: pd.DataFrame, events: Iterable[RunEvent]) -> tuple[Failure, ...]:
    """All of them, the most frequent first."""
    return tuple(
        sorted(
            (*_evaluations(frame), *_steps(events)), key=lambda one: (-one.count, one.where, one.error_type)
        )
    )


def table(frame: pd.DataFrame, events: Iterable[RunEvent]) -> pd.DataFrame:
    """A row for each point and error type with failures, and for each failed step."""
    counted = new(frame)
    rows = [
        {"time": frame["time"].iloc[at], "generation": frame["generation"].iloc[at], "where": "evaluation", "error_type": error_type,
         "failures": counted[error_type].iloc[at], "message": ""}
        for error_type in counted for at in np.flatnonzero(counted[error_type].to_numpy() > 0)
    ] + [
        {"time": one.time, "generation": _generation(one), "where": "step", "error_type": _type(one), "failures": 1,
         "message": str(one.fields.get("error_message", ""))[:2000]}
        for one in events
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=["time", "generation", "where", "error_type", "failures", "message"])
    when = pd.to_datetime(found.pop("time").astype("float64"), unit="s", utc=True)
    found.insert(0, "time_utc", when)
    return found.sort_values("time_utc", kind="stable", ignore_index=True)


def _evaluations(frame: pd.DataFrame) -> list[Failure]:
    counted = new(frame)
    found = []
    for error_type in map(str, counted.columns):
        total = frame[evolution.FAILURES.part(error_type)]
        there = np.flatnonzero(counted[error_type].to_numpy() > 0)
        count = round(counted[error_type].sum())
        if not there.size and not (total > 0).any():
            continue
        if not there.size:  # all of them before the window
            found.append(Failure(error_type, "evaluation", round(total.max()), None, None, None, None))
            continue
        rows = frame.iloc[there[[0, -1]]]
        generations, times = (rows[name].to_numpy(np.float64) for name in ("generation", "time"))
        found.append(
            Failure(
                error_type,
                "evaluation",
                count,
                _known(generations[0]),
                _known(generations[1]),
                _known(times[0]),
                _known(times[1]),
            )
        )
    return found


def _steps(events: Iterable[RunEvent]) -> list[Failure]:
    kinds: dict[str, list[RunEvent]] = {}
    for one in events:
        kinds.setdefault(_type(one), []).append(one)
    found = []
    for error_type, members in kinds.items():
        generations = _sorted(_generation(one) for one in members)
        times = _sorted(one.time for one in members)
        ends = [values[end] if values else None for values in (generations, times) for end in (0, -1)]
        found.append(Failure(error_type, "step", len(members), *ends))
    return found


def _type(event: RunEvent) -> str:
    return str(event.fields.get("error_type") or UNTOLD)[:200]


def _generation(event: RunEvent) -> float | None:
    said = event.fields.get("generation")
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) else None


def _sorted(values: Iterable[float | None]) -> Sequence[float]:
    return sorted(value for value in values if value is not None)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
