"""What the benchmark runs kept here are asked from a runbook. Starts nothing: that is an action, and a person's."""

from collections.abc import Iterable, Mapping
from statistics import median

import numpy as np

from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.index import RunSummary
from dashboard.catalogue.units import COUNT, RATIO, SECONDS
from dashboard.runbooks.calls import Parameter
from dashboard.runbooks.questions.spec import Found, Origins, Point, Question, Trace

EARLIER = 20  # runs that the newest one is compared with at most

_TARGET: Mapping[str, Parameter] = {
    "target": Parameter("a configured target; empty: every target that has run")
}

Given = Mapping[str, str]


def _by_target(origins: Origins, given: Given) -> dict[str, list[RunSummary]]:
    """Runs newest first, of the target that is asked about or of each."""
    found: dict[str, list[RunSummary]] = {}
    for run in origins.benchmarks.runs():
        if given["target"] in ("", run.target):
            found.setdefault(run.target, []).append(run)
    return found


def _done(runs: Iterable[RunSummary]) -> list[RunSummary]:
    return [run for run in runs if run.state == "done" and run.p50_seconds is not None]


def _named(run: RunSummary) -> str:
    return f"{run.target}: run {run.run_id} on {run.device_name or run.device}"


def _traced(target: str, runs: Iterable[RunSummary]) -> Trace:
    """Medians of finished runs over time, oldest first."""
    known = [(run.created_at.timestamp(), run.p50_seconds) for run in runs][::-1]
    return {target: (np.array([at for at, _ in known]), np.array([p50 for _, p50 in known], dtype=np.float64))}  # fmt: skip


def _age(origins: Origins, given: Given) -> Found:
    points, words, trace = [], [], dict(_NOTHING)
    for target, runs in _by_target(origins, given).items():
        done = _done(runs)
        if done:
            ended = done[0].ended_at or done[0].created_at
            points.append(Point({"target": target}, max(0.0, origins.now - ended.timestamp())))
            words.append(_named(done[0]))
            trace |= _traced(target, done)
    return Found(tuple(points), origins.now, "; ".join(words), trace)


def _latency(origins: Origins, given: Given) -> Found:
    points, words, trace = [], [], dict(_NOTHING)
    for target, runs in _by_target(origins, given).items():
        done = _done(runs)
        if done and done[0].p50_seconds is not None:
            points.append(Point({"target": target}, done[0].p50_seconds))
            words.append(_named(done[0]))
            trace |= _traced(target, done)
    return Found(tuple(points), origins.now, "; ".join(words), trace)


def _against(origins: Origins, given: Given) -> Found:
    """The newest median ÷ the median of earlier runs that were asked the same on the same machine."""
    points, words, trace = [], [], dict(_NOTHING)
    for target, runs in _by_target(origins, given).items():
        done = _done(runs)
        same = [
            run for run in done[1:] if (run.spec_hash, run.env_key) == (done[0].spec_hash, done[0].env_key)
        ]
        earlier = [run.p50_seconds for run in same[:EARLIER] if run.p50_seconds]
        if done and done[0].p50_seconds is not None and earlier:
            points.append(Point({"target": target}, done[0].p50_seconds / median(earlier)))
            words.append(f"{_named(done[0])}, against {len(earlier)} earlier")
            trace |= _traced(target, [done[0], *same])
    return Found(tuple(points), origins.now, "; ".join(words), trace)


def _under_way(origins: Origins, given: Given) -> Found:
    going = [run for runs in _by_target(origins, given).values() for run in runs if run.state not in TERMINAL]
    words = "; ".join(f"{_named(run)}, {run.shown_state}" for run in going)
    return Found((Point({}, float(len(going))),), origins.now, words)


_NOTHING: Trace = {}

QUESTIONS = (
    Question("benchmark", "last-run-seconds", SECONDS, "time since the last finished run kept here", _age, _TARGET),
    Question("benchmark", "latency-seconds", SECONDS, "median latency of the last finished run", _latency, _TARGET),
    Question("benchmark", "latency-against-earlier-ratio", RATIO, "median latency of the last run ÷ that of earlier equal runs", _against, _TARGET),
    Question("benchmark", "runs-under-way-count", COUNT, "runs that wait or measure now", _under_way, _TARGET),
)  # fmt: skip
