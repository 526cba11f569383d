"""When alerts fired before: one episode for each time a condition became true, and what of it a window cuts off.

Pure: built from stretches of samples that `dashboard.alerts.past` reads.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collectors.unavailable import Unavailable
from dashboard.alerts import merge

MISSED = 2.5  # evaluations that may be missing before an episode is over
NEIGHBOURS = 1.5  # evaluations: what lies closer together has none between it
FLAP_SECONDS = 600.0  # what comes back sooner than this after its end flaps

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples of ALERTS_FOR_STATE with one value, which is the time the condition became true. Unix seconds.

    `fired` is the first of them at which the alert was no longer pending; None where it was pending to the last.
    """

    since: float
    first: float
    last: float
    fired: float | None

    def joined(self, other: "Stretch") -> "Stretch":
        """Both as one; what they share may be in both."""
        shots = [shot for shot in (self.fired, other.fired) if shot is not None]
        return Stretch(
            self.since, min(self.first, other.first), max(self.last, other.last), min(shots, default=None)
        )


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
    flaps: int = 0  # how often it had come back before, each time within `FLAP_SECONDS` of its end
    cut: bool = (
        False  # it fired already at the first sample that was read: `fired_at` is the latest it can be
    )

    @property
    def firing_seconds(self) -> float | None:
        """How long it fired (at least, where it is `cut`); None while it does, or where it never did."""
        return None if self.fired_at is None or self.ended_at is None else self.ended_at - self.fired_at


@dataclass(frozen=True, slots=True)
class History:
    """Episodes, newest first. `step_seconds` is not None where episodes shorter than it may be missing."""

    episodes: tuple[Episode, ...]
    step_seconds: float | None
    unavailable: Unavailable | None = None
    interval_seconds: float = 60.0  # between two evaluations, from the samples themselves

    def at(self, moment: float) -> tuple[Episode, ...]:
        """What was pending or firing at a moment."""
        return tuple(
            episode
            for episode in self.episodes
            if episode.since <= moment and (episode.ended_at is None or moment <= episode.ended_at)
        )


def of_alert(
    labels: Mapping[str, str],
    stretches: Iterable[Stretch],
    beats: Floats,
    known: tuple[float, float],
    interval: float,
) -> Iterator[Episode]:
    """The episodes of one alert, oldest first, with those that only a restart of Prometheus parted joined again.

    Args:
        labels: of the alert, without those that Prometheus adds for a state.
        stretches: in any order.
        beats: times at which Watchdog was evaluated; empty where there is none.
        known: from when to when samples were read.
        interval: seconds between two evaluations.
    """
    waiting: Episode | None = None
    ended = -np.inf
    flaps = 0
    fingerprint = merge.fingerprint(labels)
    for one in sorted(stretches, key=lambda stretch: stretch.first):
        episode = Episode(
            name=labels.get("alertname", ""),
            labels=labels,
            fingerprint=fingerprint,
            since=one.since,
            fired_at=one.fired,
            ended_at=one.last,
            cut=one.fired == one.first and one.first - known[0] <= MISSED * interval and one.since < known[0],
        )
        if waiting is not None and _alive_between(beats, waiting.ended_at or one.first, one.first, interval):
            ended = waiting.ended_at or one.first
            yield replace(waiting, flaps=flaps)
        elif waiting is not None:
            early = waiting if waiting.fired_at is not None else episode
            episode = replace(
                episode,
                since=waiting.since,
                fired_at=early.fired_at,
                cut=early.cut,
                restarts=waiting.restarts + 1,
            )
        if waiting is None or episode.since != waiting.since:
            flaps = flaps + 1 if one.since - ended <= FLAP_SECONDS else 0
        waiting = episode
    if waiting is not None:
        lasts = known[1] - (waiting.ended_at or known[1]) <= MISSED * interval
        yield replace(waiting, flaps=flaps, ended_at=None if lasts else waiting.ended_at)


def _alive_between(beats: Floats, ended: float, began: float, interval: float) -> bool:
    """Whether Prometheus went on to evaluate rules between two stretches: if so the alert really ended.

    Watchdog may stand in another group, which is evaluated at other moments: a beat within one interval of either end
    says nothing. Without a Watchdog nobody knows, and a real end is the likelier story.
    """
    if began - ended <= NEIGHBOURS * interval:
        return False  # no evaluation between them: only a restart begins an alert anew
    if not beats.size:
        return True
    inside = beats[slice(*np.searchsorted(beats, (ended, began)))]
    silent = np.diff(np.concatenate([[ended], inside, [began]])) > NEIGHBOURS * interval
    if not silent.any():
        return True
    margin = (NEIGHBOURS - 0.5) * interval
    return bool(((inside > ended + margin) & (inside < began - margin)).any())
