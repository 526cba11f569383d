"""Reading what Prometheus recorded of alerts, so that no sample is read twice: ten thousand alerts stay usable.

ALERTS_FOR_STATE holds the time at which the condition became true, so each value is one episode, and a raw range
selector loses none, however short. Of all those samples only the first and the last of each value are kept, and the
next look reads what came since. Past `RAW_SECONDS` the samples are asked for at a step, and what is lost is said.
"""

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from collectors.prometheus import Prometheus
from collectors.prometheus.answers import RawSeries
from collectors.unavailable import Unavailable
from dashboard.alerts.episodes import Episode, Floats, History, Stretch, of_alert
from dashboard.alerts.pipeline import WATCHDOG

RAW_SECONDS = 2 * 86_400.0
STEP_SECONDS = 300.0
AGAIN_SECONDS = 60.0  # read once more at the newest edge: a sample is written a moment after its own time
FIRST_PIECE_SECONDS = 900.0
LONGEST_PIECE_SECONDS = 6 * 3600.0
SAMPLES_A_PIECE = 1_000_000  # what one answer may hold: some 25 MB

_Identity = tuple[tuple[str, str], ...]


class Past:
    """What is known of one Prometheus's alerts. Safe to share between threads.

    Args:
        prometheus: asked for samples only.
        matchers: PromQL to narrow it: 'alertname="ExpertDead"'. Watchdog is left out: it has one episode, for ever.
    """

    def __init__(self, prometheus: Prometheus, *, matchers: str = "") -> None:
        self._prometheus = prometheus
        self._narrowed = ",".join(filter(None, (f'alertname!="{WATCHDOG}"', matchers)))
        self._lock = threading.Lock()
        self._kept = _Kept()

    def between(self, start: float, end: float) -> History:
        """The episodes of all alerts that were pending or firing between two unix times.

        Never raises for the source: where it cannot be asked, `unavailable` says why and there are no episodes.
        """
        try:
            if end - start > RAW_SECONDS:
                return self._at_a_step(start, end)
            with self._lock:
                kept = self._kept
                if not kept.empty and end < kept.start:  # long ago: read for this once
                    kept = _Kept()
                elif kept.empty or start > kept.end:
                    kept = self._kept = _Kept()
                self._read(kept, start, end)
                return _history(kept, start, end, None)
        except Unavailable as why:
            return History((), None, why)

    def _read(self, kept: "_Kept", start: float, end: float) -> None:
        """Extend what is kept until it holds the window; what was read before a failure stays."""
        if kept.empty:
            piece = min(FIRST_PIECE_SECONDS, end - start)
            self._piece(kept, end - piece, end)
        elif end > kept.end:
            self._piece(kept, max(kept.start, kept.end - AGAIN_SECONDS), end)
        seconds = FIRST_PIECE_SECONDS
        while start < kept.start:
            at = max(start, kept.start - seconds)
            samples = self._piece(kept, at, kept.start)
            seconds = SAMPLES_A_PIECE * seconds / samples if samples else LONGEST_PIECE_SECONDS
            seconds = min(max(seconds, AGAIN_SECONDS), LONGEST_PIECE_SECONDS)
        kept.forget(kept.end - 2 * RAW_SECONDS)

    def _piece(self, kept: "_Kept", start: float, end: float) -> int:
        """Read every sample between two times and return how many there were."""
        seconds = end - start
        states = self._prometheus.raw(f"ALERTS_FOR_STATE{{{self._narrowed}}}", seconds, end)
        pending = self._prometheus.raw(f'ALERTS{{alertstate="pending",{self._narrowed}}}', seconds, end)
        beats = self._prometheus.raw(f'ALERTS{{alertname="{WATCHDOG}",alertstate="firing"}}', seconds, end)
        kept.add(states, pending, beats)
        kept.covers(start, end)
        return sum(series.times.size for series in (*states, *pending))

    def _at_a_step(self, start: float, end: float) -> History:
        def read(selector: str) -> list[RawSeries]:
            matrix = self._prometheus.range(selector, start, end, STEP_SECONDS)
            found = []
            for labels, values in zip(matrix.labels, matrix.values, strict=True):
                known = ~np.isnan(values)
                found.append(RawSeries(labels, matrix.times[known], values[known]))
            return found

        kept = _Kept()
        kept.add(
            read(f"ALERTS_FOR_STATE{{{self._narrowed}}}"),
            read(f'ALERTS{{alertstate="pending",{self._narrowed}}}'),
            read(f'ALERTS{{alertname="{WATCHDOG}",alertstate="firing"}}'),
        )
        kept.covers(start, end)
        return _history(kept, start, end, STEP_SECONDS)


class _Kept:
    """Stretches by alert, over one time without a hole in it."""

    def __init__(self) -> None:
        self.start, self.end = np.inf, -np.inf
        self.stretches: dict[_Identity, dict[float, Stretch]] = {}
        self.beats: Floats = np.empty(0)
        self._gaps: list[float] = []  # between two samples, of the first series of each piece

    @property
    def empty(self) -> bool:
        return self.end < self.start

    @property
    def interval(self) -> float:
        """Seconds between two evaluations, from the samples themselves."""
        gaps = np.diff(self.beats) if self.beats.size > 2 else np.array(self._gaps)
        return float(np.median(gaps)) if gaps.size else 60.0

    def covers(self, start: float, end: float) -> None:
        self.start, self.end = min(self.start, start), max(self.end, end)

    def add(
        self, states: Sequence[RawSeries], pending: Iterable[RawSeries], beats: Iterable[RawSeries]
    ) -> None:
        self.beats = np.unique(np.concatenate([self.beats, *(series.times for series in beats)]))
        longest = max(states, key=lambda series: series.times.size, default=None)
        if longest is not None and longest.times.size > 1:
            self._gaps = [*self._gaps[-9:], float(np.median(np.diff(longest.times)))]
        waited = {_identity(series.labels): series.times for series in pending}
        nobody = np.empty(0)
        for series in states:
            if not series.times.size:
                continue
            identity = _identity(series.labels)
            own = self.stretches.setdefault(identity, {})
            for one in stretches(series, waited.get(identity, nobody)):
                known = own.get(one.since)
                own[one.since] = one if known is None else known.joined(one)

    def forget(self, before: float) -> None:
        """Drop what ended before a time, and say that it is not known any more."""
        if self.start >= before:
            return
        self.start = before
        self.beats = self.beats[self.beats >= before]
        for identity, own in list(self.stretches.items()):
            left = {since: one for since, one in own.items() if one.last >= before}
            if left:
                self.stretches[identity] = left
            else:
                del self.stretches[identity]


def stretches(series: RawSeries, pending: Floats) -> Iterable[Stretch]:
    """The stretches of one series of ALERTS_FOR_STATE; `pending` are the times at which the alert was so."""
    times, values = series.times, series.values
    borders = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), times.size]
    waiting = np.isin(times, pending) if pending.size else None
    for first, after in itertools.pairwise(borders):
        shot = first
        if waiting is not None:
            held = np.flatnonzero(waiting[first:after])
            shot = first + int(held[-1]) + 1 if held.size else first
        fired = float(times[shot]) if shot < after else None
        yield Stretch(float(values[first]), float(times[first]), float(times[after - 1]), fired)


def _history(kept: _Kept, start: float, end: float, step: float | None) -> History:
    interval, known = kept.interval, (kept.start, kept.end)
    found: list[Episode] = []
    for identity, own in kept.stretches.items():
        found += [
            episode
            for episode in of_alert(dict(identity), own.values(), kept.beats, known, interval)
            if episode.since <= end and (episode.ended_at is None or episode.ended_at >= start)
        ]
    found.sort(key=lambda episode: (-episode.since, episode.name))
    return History(tuple(found), step, interval_seconds=interval)


def _identity(labels: Mapping[str, str]) -> _Identity:
    return tuple(sorted(item for item in labels.items() if item[0] not in {"__name__", "alertstate"}))
