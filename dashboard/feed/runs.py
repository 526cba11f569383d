"""Which runs there are and how each stands: what Prometheus saw and what the runs directory holds, as one list."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from collectors.prometheus import Matrix
from collectors.runs import RunRecord
from collectors.unavailable import Unavailable
from dashboard.catalogue import application, evolution
from dashboard.catalogue.units import SECONDS
from dashboard.feed import query

State = Literal["running", "paused", "finished", "failed", "unknown"]
# What is read of every run: who it is, how it stands, how far it came.
METRICS = (
    evolution.RUN_INFO,
    evolution.RUN_STATE,
    evolution.RUN_ACTIVE,
    evolution.GENERATION,
    evolution.BEST,
    application.PUSHED,
)
_NOT_CONFIG = frozenset({"__name__", "run_id", "run_name", "job", "instance"})


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are unix seconds; None is not known.

    `run_id` is the label, or the instance where the run is instrumented without one; `reason` says in words why the
    state is what it is; `active` is whether it evolves now.
    """

    run_id: str
    name: str
    state: State = "unknown"
    reason: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    last_seen: float | None = None
    generations: int | None = None
    best_fitness: float | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    sources: frozenset[Literal["prometheus", "log"]] = frozenset()
    instance: str | None = None
    active: bool = False
    labelled: bool = True  # False: Prometheus knows it by its instance alone, there is no run_id label

    @property
    def matchers(self) -> str:
        """What selects the run's series in PromQL."""
        who = query.quoted(self.run_id)
        return f"run_id={who}" if self.labelled else f'run_id="",instance={who}'


@dataclass(frozen=True, slots=True)
class RunList:
    """Runs, newest first, and the sources that could not be read."""

    runs: tuple[Run, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()


def from_matrix(matrix: Matrix, now: float, fresh_seconds: float) -> dict[str, Run]:
    """Runs in a range answer over METRICS. Seen within `fresh_seconds` is seen now.

    A Pushgateway says a group's last state for ever: what came through one was seen when it was pushed.
    """
    runs: dict[str, Run] = {}
    states: dict[str, tuple[float, str]] = {}
    active: dict[str, tuple[float, bool]] = {}
    pushes = _pushes(matrix)
    pushed: dict[str, bool] = {}  # whether the newest that is known of a run came through a gateway
    for labels, values in zip(matrix.labels, matrix.values, strict=True):
        run_id = labels.get("run_id") or labels.get("instance")
        there = np.flatnonzero(~np.isnan(values))
        if not run_id or not len(there):
            continue
        first, last = float(matrix.times[there[0]]), float(matrix.times[there[-1]])
        value = float(values[there[-1]])
        if (
            labels.get("__name__") == application.PUSHED
        ):  # the gateway's word about a group, which may be anybody's
            continue
        at_gateway = pushes.get(_group(labels))
        if at_gateway is not None:
            last = min(last, at_gateway)
            first = min(first, last)
        run = runs.get(run_id) or Run(run_id, run_id, labelled=bool(labels.get("run_id")))
        if run.last_seen is None or last >= run.last_seen:
            pushed[run_id] = at_gateway is not None
        run = replace(
            run,
            started_at=first if run.started_at is None else min(first, run.started_at),
            last_seen=last if run.last_seen is None else max(last, run.last_seen),
            instance=labels.get("instance")
            if run.last_seen is None or last >= run.last_seen
            else run.instance,
            sources=frozenset({"prometheus"}),
        )
        name = labels.get("__name__")
        if name == str(evolution.RUN_INFO):
            config = {key: text for key, text in labels.items() if key not in _NOT_CONFIG}
            run = replace(run, name=labels.get("run_name") or run_id, config=config)
        elif name == str(evolution.RUN_STATE) and value == 1 and last >= states.get(run_id, (0, ""))[0]:
            states[run_id] = (last, labels.get("state", ""))
        elif name == str(evolution.RUN_ACTIVE) and last >= active.get(run_id, (0, False))[0]:
            active[run_id] = (last, value == 1)
        elif name == str(evolution.GENERATION):
            run = replace(run, generations=max(int(value), run.generations or 0))
        elif name == str(evolution.BEST):
            best = float(np.nanmax(values))
            run = replace(run, best_fitness=best if run.best_fitness is None else max(best, run.best_fitness))
        runs[run_id] = run
    return {
        run_id: _judged(
            run, states.get(run_id), active.get(run_id), now, fresh_seconds, pushed=pushed[run_id]
        )
        for run_id, run in runs.items()
    }


def _pushes(matrix: Matrix) -> dict[tuple[str, ...], float]:
    """When each group of a Pushgateway was pushed last, in unix seconds."""
    return {
        _group(labels): float(np.nanmax(values))
        for labels, values in zip(matrix.labels, matrix.values, strict=True)
        if labels.get("__name__") == application.PUSHED
        and labels.get("run_id")
        and not np.isnan(values).all()
    }


def _group(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in ("job", "instance", "run_id"))


def _judged(
    run: Run,
    state: tuple[float, str] | None,
    active: tuple[float, bool] | None,
    now: float,
    fresh_seconds: float,
    *,
    pushed: bool,
) -> Run:
    """Finished is not down, and silence is not a state: only a run that is seen now can be called running."""
    last = run.last_seen or 0.0
    seen_now = now - last <= (max(fresh_seconds, application.PUSH_LATE_SECONDS) if pushed else fresh_seconds)
    said = state[1] if state else ("running" if active and active[1] else "")
    ended = last if pushed or not seen_now else None
    if said == "finished":
        return replace(run, state="finished", reason="It said that it finished.", ended_at=ended)
    if said == "failed":
        return replace(run, state="failed", reason="It said that it failed.", ended_at=ended)
    if seen_now:
        if said == "paused":
            return replace(run, state="paused", reason="It says that it is paused.")
        reason = "It says that it is running." if said else "Prometheus sees it now; it reports no state."
        return replace(run, state="running", reason=reason, active=active[1] if active else True)
    ago = _ago(now - last)
    seen = "It was last pushed" if pushed else "Prometheus last saw it"
    reason = f"{seen} {ago} ago" + (f"; it said {said} then." if said else " and it reported no state.")
    return replace(run, state="unknown", reason=reason)


def from_record(record: RunRecord, now: float, fresh_seconds: float) -> Run:
    """A run as its folder tells it."""
    state, reason, active = record.state, "", False
    if record.problem:
        reason = record.problem
    elif state == "running":
        quiet = now - record.written_at if record.written_at is not None else None
        if record.alive:
            reason, active = "Its process holds the lock of the run.", True
        elif record.alive is False:
            state, reason = (
                "failed",
                "Its process is gone without a word: run.json says running, nobody holds the lock.",
            )
        elif quiet is not None and quiet <= max(60.0, fresh_seconds):
            reason, active = f"It writes on {record.host}.", True
        else:
            since = f"; its last generation is {_ago(quiet)} old" if quiet is not None else ""
            state, reason = (
                "unknown",
                f"It runs on {record.host}, whose processes cannot be seen from here{since}.",
            )
    elif state == "failed":
        reason = f"It failed: {record.error}" if record.error else "It said that it failed."
    elif state != "unknown":
        reason = f"It says that it {'is paused' if state == 'paused' else state}."
    return Run(
        run_id=record.run_id,
        name=record.name,
        state=state,
        reason=reason,
        started_at=record.started_at,
        ended_at=record.ended_at,
        last_seen=record.written_at,
        config=record.config | ({"git_sha": record.git_sha} if record.git_sha else {}),
        sources=frozenset({"log"}),
        active=active,
    )


def united(seen: Mapping[str, Run], written: Mapping[str, Run]) -> tuple[Run, ...]:
    """One list of both, newest first. The folder knows start, end and state exactly; Prometheus may be the fresher of the two."""
    runs = []
    for run_id in seen.keys() | written.keys():
        metric, log = seen.get(run_id), written.get(run_id)
        if metric is None or log is None:
            runs.append(metric or log or Run(run_id, run_id))
            continue
        known = log.state in {"finished", "failed", "paused"} or log.active
        judge = log if known or metric.state == "unknown" else metric
        runs.append(
            Run(
                run_id=run_id,
                name=log.name if log.name != run_id else metric.name,
                state=judge.state,
                reason=judge.reason,
                started_at=log.started_at if log.started_at is not None else metric.started_at,
                ended_at=log.ended_at if log.ended_at is not None else metric.ended_at,
                last_seen=max(log.last_seen or 0.0, metric.last_seen or 0.0) or None,
                generations=max(
                    (item for item in (log.generations, metric.generations) if item is not None), default=None
                ),
                best_fitness=max(
                    (item for item in (log.best_fitness, metric.best_fitness) if item is not None),
                    default=None,
                ),
                config={**metric.config, **log.config},
                sources=frozenset({"prometheus", "log"}),
                instance=metric.instance,
                active=judge.active,
                labelled=metric.labelled,
            )
        )
    return tuple(
        sorted(runs, key=lambda run: (run.active, run.started_at or run.last_seen or 0.0), reverse=True)
    )


def _ago(seconds: float) -> str:
    return SECONDS.format(max(0.0, round(seconds)))
