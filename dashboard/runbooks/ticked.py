"""Under which key the steps of this occurrence of an alert are ticked off: a restart of Prometheus begins no new one.

After a restart Prometheus calls an alert with a short `for` new and gives it another beginning, from which the key is
made. What was ticked before still belongs to it, if it was made since the alert really began.
"""

from collections.abc import Iterable, Mapping

from dashboard.alerts.entry import Entry
from dashboard.alerts.episodes import Episode

SLACK_SECONDS = 1.0  # Prometheus keeps beginnings in whole seconds


def key(entry: Entry, ticked: Mapping[str, float], episodes: Iterable[Episode]) -> str:
    """The key to read and write ticks under.

    Args:
        entry: the alert now.
        ticked: key -> when something was last ticked under it, of this alert; see `Store.ticked`.
        episodes: what Prometheus recorded, joined over restarts; none where it cannot be asked.
    """
    since = began(entry, episodes)
    if entry.episode in ticked or since is None:
        return entry.episode
    kept = [one for one, at in ticked.items() if at >= since - SLACK_SECONDS]
    return min(kept, key=lambda one: ticked[one], default=entry.episode)


def began(entry: Entry, episodes: Iterable[Episode]) -> float | None:
    """When this occurrence really began: the earliest that Prometheus, Alertmanager and the record say; None: nobody does."""
    recorded = [
        one.since for one in episodes if one.fingerprint == entry.fingerprint and one.ended_at is None
    ]
    return min((at for at in (entry.since, entry.fired_at, *recorded) if at is not None), default=None)
