"""When alerts fired before: episodes from Prometheus's own ALERTS and ALERTS_FOR_STATE, at the samples' own times.

ALERTS_FOR_STATE holds the time at which the condition became true, so each value is one episode, and a raw range
selector loses none, however short. Past `RAW_SECONDS` the samples are asked for at a step, and what is lost is said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collectors.prometheus import Prometheus
from collectors.prometheus.answers import RawSeries
from collectors.unavailable import Unavailable
from dashboard.alerts import merge
from dashboard.alerts.pipeline import WATCHDOG

RAW_SECONDS = 2 * 86_400.0
CHUNK_SECONDS = 6 * 3600.0
STEP_SECONDS = 300.0
MISSED = 2.5  # evaluations that may be missing before an episode is over

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Episode:
    """One time an alert was pending or firing. Unix seconds; None: it did not fire, or has not ended."""

    name: str
    labels: Mapping[str, str]
    fingerprint: str
    since: float  # the condition became true
    fired_at: float | None
    ended_at: float | None
    restarts: int = 0  # how often a restart of Prometheus interrupted it

    @property
    def firing_seconds(self) -> float | None:
        """How long it fired; None while it does, or where it never did."""
        return None if self.fired_at is None or self.ended_at is None else self.ended_at - self.fired_at


@dataclass(frozen=True, slots=True)
class History:
    """Episodes, newest first. `step_seconds` is not None where episodes shorter than it may be missing."""

    episodes: tuple[Episode, ...]
    step_seconds: float | None
    unavailable: Unavailable | None = None

    def at(self, moment: float) -> tuple[Episode, ...]:
        """What was pending or firing at a moment."""
        return tuple(
            episode
            for episode in self.episodes
            if episode.since <= moment and (episode.ended_at is None or moment <= episode.ended_at)
        )


def history(prometheus: Prometheus, start: float, end: float, *, matchers: str = "") -> History:
    """The episodes of all alerts that were pending or firing between two unix times.

    `matchers` is PromQL to narrow it: 'alertname="ExpertDead"'. Watchdog is left out: it has one episode, for ever.
    """
    narrowed = ",".join(filter(None, (f'alertname!="{WATCHDOG}"', matchers)))
    raw = end - start <= RAW_SECONDS
    read = _raw if raw else _stepped
    try:
        states = read(prometheus, f"ALERTS_FOR_STATE{{{narrowed}}}", start, end)
        firing = read(prometheus, f'ALERTS{{alertstate="firing",{narrowed}}}', start, end)
        heartbeat = read(prometheus, f'ALERTS{{alertname="{WATCHDOG}",alertstate="firing"}}', start, end)
    except Unavailable as why:
        return History((), None, why)
    beats = np.unique(np.concatenate([series.times for series in heartbeat] or [np.empty(0)]))
    fired = {_identity(series.labels): series.times for series in firing}
    found: list[Episode] = []
    for series in states:
        times = fired.get(_identity(series.labels), np.empty(0))
        found.extend(_episodes(series, times, beats, end))
    found.sort(key=lambda episode: (-episode.since, episode.name))
    return History(tuple(found), None if raw else STEP_SECONDS)


def _raw(prometheus: Prometheus, selector: str, start: float, end: float) -> list[RawSeries]:
    """Every sample, asked for in pieces that Prometheus can hold."""
    parts: dict[tuple[tuple[str, str], ...], list[RawSeries]] = {}
    at = end
    while at > start:
        seconds = min(CHUNK_SECONDS, at - start)
        for series in prometheus.raw(selector, seconds, at):
            parts.setdefault(tuple(sorted(series.labels.items())), []).append(series)
        at -= seconds
    return [_joined(pieces) for pieces in parts.values()]


def _stepped(prometheus: Prometheus, selector: str, start: float, end: float) -> list[RawSeries]:
    matrix = prometheus.range(selector, start, end, STEP_SECONDS)
    found = []
    for labels, values in zip(matrix.labels, matrix.values, strict=True):
        known = ~np.isnan(values)
        found.append(RawSeries(labels, matrix.times[known], values[known]))
    return found


def _joined(pieces: list[RawSeries]) -> RawSeries:
    times = np.concatenate([piece.times for piece in pieces])
    values = np.concatenate([piece.values for piece in pieces])
    times, first = np.unique(times, return_index=True)  # a sample on the edge of two pieces comes twice
    return RawSeries(pieces[0].labels, times, values[first])


def _episodes(series: RawSeries, fired: Floats, beats: Floats, end: float) -> Iterable[Episode]:
    """The episodes of one alert, with those that only a restart of Prometheus parted joined again."""
    if not series.times.size:
        return
    labels = {name: value for name, value in series.labels.items() if name not in {"__name__", "alertstate"}}
    interval = _interval(series.times, beats)
    borders = np.flatnonzero(np.diff(series.values)) + 1  # each value is one episode's beginning
    pieces = zip(np.split(series.times, borders), np.split(series.values, borders), strict=True)
    waiting: Episode | None = None
    for times, values in pieces:
        first, last = float(times[0]), float(times[-1])
        shots = fired[(fired >= first - interval / 2) & (fired <= last + interval / 2)]
        episode = Episode(
            name=labels.get("alertname", ""),
            labels=labels,
            fingerprint=merge.fingerprint(labels),
            since=float(values[0]),
            fired_at=float(shots[0]) if shots.size else None,
            ended_at=last,
        )
        if waiting is not None and _alive_between(beats, waiting.ended_at or first, first, interval):
            yield waiting
        elif waiting is not None:
            fired_at = episode.fired_at if waiting.fired_at is None else waiting.fired_at
            episode = replace(episode, since=waiting.since, fired_at=fired_at, restarts=waiting.restarts + 1)
        waiting = episode
    if waiting is not None:
        lasts = end - (waiting.ended_at or end) <= MISSED * interval
        yield replace(waiting, ended_at=None) if lasts else waiting


def _alive_between(beats: Floats, ended: float, began: float, interval: float) -> bool:
    """Whether Prometheus evaluated rules between two episodes: if so the alert really ended.

    Without a Watchdog nobody knows, and a real end is the likelier story.
    """
    if not beats.size:
        return True
    inside = beats[(beats > ended + interval / 10) & (beats < began - interval / 10)]
    return bool(inside.size) or began - ended <= MISSED * interval


def _interval(times: Floats, beats: Floats) -> float:
    """Seconds between two evaluations, from the samples themselves."""
    gaps = np.diff(beats if beats.size > 2 else times)
    return float(np.median(gaps)) if gaps.size else 60.0


def _identity(labels: Mapping[str, str]) -> str:
    return merge.fingerprint(
        {name: value for name, value in labels.items() if name not in {"__name__", "alertstate"}}
    )
