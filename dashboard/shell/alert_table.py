"""Episodes as rows: on the page in the viewer's time and words, in a file in UTC and plain numbers."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pandas as pd

from collectors.unavailable import Unavailable
from dashboard.alerts.episodes import FLAP_SECONDS, Episode
from dashboard.alerts.reached import Key, Reached, Reaches, key
from dashboard.catalogue.units import NUMBER, SECONDS
from dashboard.shell import alert_detail as detail
from dashboard.shell.look import Look
from dashboard.shell.text import clock, short
from dashboard.sources import Sources
from dashboard.store import Acknowledgement, Note

AFTERWARDS_SECONDS = 60.0  # somebody may take an alert that has just ended
Owners = dict[Key, list[str]]

WHY = {
    "lasted": "From the moment its condition became true to its end.",
    "fired for": "Without the time it was pending.",
    "worst value": "Of what the rule compares, at the evaluations while it lasted.",
    "flaps": f"How often it had come back before, each time within {SECONDS.format(FLAP_SECONDS)} of its end.",
    "generations": "Of its run, from its beginning to its end, as Prometheus scraped them.",
    "notes": "What was written on this alert from its beginning until the next one's.",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What people said of episodes."""

    owners: Owners = field(default_factory=dict)
    notes: Mapping[Key, Sequence[Note]] = field(default_factory=dict)


def said(sources: Sources, episodes: Sequence[Episode]) -> Said:
    """Who had which episode (newest first) and what was noted; nothing where that cannot be read."""
    if not episodes:
        return Said()
    try:
        taken = sources.store.acknowledgements(ended=True)
        notes = sources.store.notes(start=min(one.since for one in episodes))
    except Unavailable:
        return Said()
    return Said(owners_of(episodes, taken), notes_of(episodes, notes))


def owners_of(episodes: Sequence[Episode], taken: Iterable[Acknowledgement]) -> Owners:
    """Who had each of these episodes (newest first): an acknowledgement belongs to the newest that had begun by then."""
    found: Owners = {}
    by_alert = _by_alert(episodes)
    for one in taken:
        episode = _begun(by_alert.get(one.fingerprint, ()), one.at)
        if episode is None:
            continue
        if episode.ended_at is None or one.at <= episode.ended_at + AFTERWARDS_SECONDS:
            names = found.setdefault(key(episode), [])
            words = f"{one.who}: {one.comment}" if one.comment else one.who
            names += [words] if words not in names else []
    return found


def notes_of(episodes: Sequence[Episode], notes: Iterable[Note]) -> dict[Key, list[Note]]:
    """Notes by the newest episode that had begun when they were written: one written afterwards is about it too."""
    found: dict[Key, list[Note]] = defaultdict(list)
    by_alert = _by_alert(episodes)
    for note in notes:
        episode = _begun(by_alert.get(note.fingerprint, ()), note.at)
        if episode is not None:
            found[key(episode)].append(note)
    return found


def _by_alert(episodes: Iterable[Episode]) -> dict[str, list[Episode]]:
    found: dict[str, list[Episode]] = defaultdict(list)
    for one in episodes:
        found[one.fingerprint].append(one)
    return found


def _begun(episodes: Iterable[Episode], moment: float) -> Episode | None:
    return next((one for one in episodes if one.since <= moment), None)


def row(episode: Episode, people: Said, reaches: Reaches, look: Look) -> dict[str, str | int]:
    """One episode for a person."""
    zone, now = look.view.zone, look.sources.feed.now()
    over = now if episode.ended_at is None else episode.ended_at
    least = "at least " if episode.cut else ""
    fired = (
        "never"
        if episode.fired_at is None
        else ("by " if episode.cut else "") + clock(episode.fired_at, zone)
    )
    what = reaches.by_episode.get(key(episode), Reached())
    return {
        "alert": short(episode.name),
        "severity": short(episode.labels.get("severity", "")),
        "condition true": clock(episode.since, zone),
        "fired": fired,
        "ended": "goes on" if episode.ended_at is None else clock(episode.ended_at, zone),
        "lasted": SECONDS.format(float(round(max(0.0, over - episode.since)))),
        "fired for": ""
        if episode.fired_at is None
        else least + SECONDS.format(float(round(max(0.0, over - episode.fired_at)))),
        "worst value": "" if what.worst is None else NUMBER.format(what.worst),
        "flaps": episode.flaps,
        "generations": generations(what),
        "who had it": short("; ".join(people.owners.get(key(episode), ()))),
        "notes": short("; ".join(f"{note.who}: {note.text}" for note in people.notes.get(key(episode), ()))),
        "labels": short(detail.words(episode.labels)),
    }


def generations(what: Reached) -> str:
    """From and to; empty where none are known."""
    if what.generations is None:
        return ""
    first, last = what.generations
    return f"{first}" if first == last else f"{first} to {last}"


def whole(episodes: Sequence[Episode], people: Said, reaches: Reaches) -> pd.DataFrame:
    """All of them as a file holds them: times in UTC, durations in seconds, nothing where nothing is known."""
    columns = [
        "alert", "severity", "condition_true_utc", "fired_utc", "ended_utc", "lasted_seconds", "fired_seconds", "fired_before_window",
        "worst_value", "flaps", "first_generation", "last_generation", "prometheus_restarts", "who_had_it", "notes", "labels",
    ]  # fmt: skip
    rows = []
    for one in episodes:
        what = reaches.by_episode.get(key(one), Reached())
        first, last = what.generations or (None, None)
        rows.append(
            [
                one.name, one.labels.get("severity", ""), _utc(one.since), _utc(one.fired_at), _utc(one.ended_at),
                None if one.ended_at is None else one.ended_at - one.since, one.firing_seconds, one.cut,
                what.worst, one.flaps, first, last, one.restarts,
                "; ".join(people.owners.get(key(one), ())),
                "; ".join(f"{_utc(note.at)} {note.who}: {note.text}" for note in people.notes.get(key(one), ())),
                json.dumps(dict(one.labels), sort_keys=True, ensure_ascii=False),
            ]
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"first_generation": "Int64", "last_generation": "Int64"})


def _utc(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
