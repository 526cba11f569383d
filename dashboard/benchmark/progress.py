"""How far a run is, from its events: what a person waiting wants to know. Pure."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dashboard.benchmark.directory import TERMINAL, State
from dashboard.benchmark.spec import Spec

_LAUNCH_OVERHEAD_SECONDS = 6.0  # a first guess for starting a process with torch, until one was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Counts, the queue, and the newest numbers. None is not known yet."""

    phase: str  # "waiting for the device", "starting", "warming", "measuring", "analysing" or "over"
    cells_done: int
    cells_total: int | None  # over all launches
    launch: int | None  # 0-based
    launches_total: int
    cell: str  # being measured now; "" between cells
    p50_seconds: float | None  # of that cell, live, with its 95 % interval
    p50_low: float | None
    p50_high: float | None
    n: int | None
    queue_position: int | None  # 1 is next; only while waiting
    queue_holder: Mapping[str, Any] | None  # run_id, owner, since (unix seconds) of who has the device
    seconds_left: float | None  # an estimate, never more than the time limit leaves
    seconds_to_start: float | None = None  # an estimate of the wait for the device; only while waiting
    sm_clock_hertz: float | None = None  # of the GPU now, as the last look said
    power_watts: float | None = None

    @property
    def share(self) -> float | None:
        """Cells done of all, 0 to 1."""
        return None if not self.cells_total else min(1.0, self.cells_done / self.cells_total)


def follow(
    spec: Spec, events: Sequence[Mapping[str, Any]], state: State, monotonic_seconds: float
) -> Progress:
    """Read the progress out of a run's events.

    Args:
        monotonic_seconds: CLOCK_MONOTONIC now, which all processes of a host share.
    """
    seen = _Seen(planned=None if spec.cells is None else len(spec.cells))
    for event in events:
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # damaged: those around it still tell
            seen.take(event)
    if state in TERMINAL:
        seen.phase, seen.cell, seen.live, seen.queue = "over", "", {}, None
    plain = spec.profile.launches * max(1, len(spec.sides))
    launches = plain + seen.again
    total = None if seen.planned is None else seen.planned * plain + seen.again * seen.suspects
    done = seen.cells_before + seen.finished
    left = None
    if state == "running" and seen.leased_at is not None:
        left = _seconds_left(spec, monotonic_seconds - seen.leased_at, done, total, launches)
    return Progress(
        phase=seen.phase,
        cells_done=done,
        cells_total=total,
        launch=seen.launch,
        launches_total=launches,
        cell=seen.cell,
        p50_seconds=_number(seen.live.get("p50_seconds")),
        p50_low=_number(seen.live.get("low")),
        p50_high=_number(seen.live.get("high")),
        n=None if (n := _number(seen.live.get("n"))) is None else int(n),
        queue_position=None if seen.queue is None else int(seen.queue["position"]),
        queue_holder=None if seen.queue is None else seen.queue.get("holder"),
        seconds_left=left,
        seconds_to_start=None if seen.queue is None else _seconds_to_start(seen.queue, monotonic_seconds),
    )


@dataclass(slots=True)
class _Seen:
    """What the events so far add up to."""

    planned: int | None
    phase: str = "waiting for the device"
    finished: int = 0  # cells of this launch
    cells_before: int = 0  # in launches that are over
    launch: int | None = None
    cell: str = ""
    live: Mapping[str, Any] = field(default_factory=dict)
    queue: Mapping[str, Any] | None = None
    leased_at: float | None = None
    suspects: int = 0  # cells that are measured again
    again: int = 0  # launches in which they are
    before_again: int = 0  # launches before those

    def take(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "queued":
                int(event["position"])
                self.queue = event
            case "leased":
                self.leased_at, self.queue, self.phase = float(event["monotonic_seconds"]), None, "starting"
            case "planned":
                self.planned = len(event["cells"])
            case "launch started":
                launch = int(event["launch"])
                if launch != self.launch:
                    self.launch, self.finished = launch, 0
                    plain = min(launch, self.before_again) if self.again else launch
                    self.cells_before = plain * (self.planned or 0) + (launch - plain) * self.suspects
                self.phase = self._doing("starting")
            case "suspects":
                self.suspects, self.again = len(event["cells"]), int(event["launches"])
                self.before_again = -1 if self.launch is None else self.launch + 1
            case "cell started":
                self.cell, self.live, self.phase = str(event.get("key", "")), {}, self._doing("warming")
            case "cell progress":
                self.live = event
                self.phase = self._doing("warming" if event.get("measuring") == "warming" else "measuring")
            case "cell finished":
                self.finished, self.cell, self.live = self.finished + 1, "", {}
            case "analysing":
                self.phase = "analysing"

    def _doing(self, word: str) -> str:
        return f"{word} again what looked changed" if self.again else word


def _seconds_to_start(queued: Mapping[str, Any], monotonic_seconds: float) -> float | None:
    said, at = _number(queued.get("wait_seconds")), _number(queued.get("monotonic_seconds"))
    return None if said is None or at is None else max(0.0, said - (monotonic_seconds - at))


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _seconds_left(spec: Spec, elapsed: float, done: int, total: int | None, launches: int) -> float:
    limit = max(0.0, spec.profile.limit_seconds - elapsed)
    if not total:
        return limit
    if done == 0:
        starting = max(0.0, launches * _LAUNCH_OVERHEAD_SECONDS - elapsed)
        guess = starting + total * spec.profile.cell_seconds
    else:
        guess = elapsed * (total - done) / done
    return min(limit, max(0.0, guess))
