"""What episodes reached while they lasted: their worst value, and the generations of the run they spanned.

Asked of Prometheus for a few episodes at once and for the series of those alone: ALERTS_FOR_STATE, which is there while
an alert is, narrows the rule's own expression.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.alerts import trace
from dashboard.alerts.episodes import Episode, History
from dashboard.alerts.rules import Rule
from dashboard.catalogue import evolution
from dashboard.feed.query import quoted

TOGETHER = 100  # episodes in one question
LONGEST = 4000  # letters of label values in one question
POINTS = 5000  # of one series; beyond it the step is wider than an evaluation
_WHERE = ("job", "instance", "run_id")
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")  # RE2's

Key = tuple[str, float]
"""Fingerprint and beginning of an episode."""


@dataclass(frozen=True, slots=True)
class Reached:
    """None: not known, or there is none."""

    worst: float | None = None
    generations: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reaches:
    """By episode; `unavailable` says why some are not known."""

    by_episode: Mapping[Key, Reached]
    unavailable: Unavailable | None = None


def key(episode: Episode) -> Key:
    """What an episode is known by."""
    return episode.fingerprint, episode.since


def read(
    prometheus: Prometheus, episodes: Sequence[Episode], rules: Iterable[Rule], history: History, now: float
) -> Reaches:
    """What each episode reached until its end, or until now.

    Args:
        prometheus: where the series of the rules are.
        episodes: some of the history.
        rules: the alerting rules loaded now; an episode whose rule is gone has no worst value.
        history: where the episodes are from: it knows how often rules are evaluated.
        now: unix seconds.
    """
    ways = list(rules)
    worst: dict[Key, float | None] = {}
    spans: dict[Key, tuple[int, int]] = {}
    why: Unavailable | None = None
    for chunk in _chunks(episodes, history.interval_seconds):
        try:
            worst |= _worst(prometheus, chunk, ways, history.interval_seconds, now)
            spans |= _spans(prometheus, chunk, history.interval_seconds, now)
        except Unavailable as failed:
            why = failed
    return Reaches({key(one): Reached(worst.get(key(one)), spans.get(key(one))) for one in episodes}, why)


def _chunks(episodes: Sequence[Episode], interval: float) -> Iterator[list[Episode]]:
    """Few enough and near enough in time to be asked for together without losing a short one to the step."""
    chunk: list[Episode] = []
    for one in sorted(episodes, key=lambda episode: episode.since):
        if chunk and (len(chunk) == TOGETHER or one.since - chunk[0].since > POINTS * interval / 2):
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk


def _worst(
    prometheus: Prometheus, episodes: Sequence[Episode], rules: Sequence[Rule], interval: float, now: float
) -> dict[Key, float | None]:
    """Rule by rule, and within a rule by the labels that the expression's series have."""
    alike: dict[tuple[str, str, frozenset[str]], list[Episode]] = defaultdict(list)
    for episode in episodes:
        rule = rule_of(episode, rules)
        if rule is not None:
            given = frozenset(episode.labels) - {"alertname", *rule.labels}
            alike[episode.name, rule.query, given].append(episode)
    found: dict[Key, float | None] = {}
    for (name, query, given), group in alike.items():
        measured = trace.measured(query)
        labels = sorted(given)
        there = f"ALERTS_FOR_STATE{{alertname={quoted(name)}{_among(group, labels)}}}"
        # A beginning is cut to whole seconds, so the one evaluation of a short episode lies after its first step; and
        # ALERTS_FOR_STATE itself ends with the next evaluation.
        values = _values(
            prometheus,
            f"({measured.promql}) and on ({', '.join(labels)}) {there}",
            group,
            labels,
            interval,
            now,
            slack=max(0.5, interval - 0.5),
        )
        found |= {one: measured.worst(numbers) for one, numbers in values.items()}
    return found


def _spans(
    prometheus: Prometheus, episodes: Sequence[Episode], interval: float, now: float
) -> dict[Key, tuple[int, int]]:
    alike: dict[tuple[str, ...], list[Episode]] = defaultdict(list)
    for episode in episodes:
        if episode.labels.get("run_id"):
            alike[tuple(label for label in _WHERE if label in episode.labels)].append(episode)
    found: dict[Key, tuple[int, int]] = {}
    for labels, group in alike.items():
        selector = f"{evolution.GENERATION}{{{_among(group, labels).removeprefix(',')}}}"
        for one, numbers in _values(prometheus, selector, group, labels, interval, now).items():
            known = numbers[np.isfinite(numbers)]
            if known.size:
                found[one] = int(known.min()), int(known.max())
    return found


def rule_of(episode: Episode, rules: Iterable[Rule]) -> Rule | None:
    """The rule behind an episode: of its name, and with all its own labels where several share the name."""
    return next(
        (
            rule
            for rule in rules
            if rule.name == episode.name
            and all("{{" in value or episode.labels.get(name) == value for name, value in rule.labels.items())
        ),
        None,
    )


def _among(episodes: Sequence[Episode], labels: Sequence[str]) -> str:
    """A matcher that holds for these episodes and few others, by the label that tells them apart best."""
    every = {label: {one.labels[label] for one in episodes} for label in labels}
    short = {label: values for label, values in every.items() if sum(map(len, values)) <= LONGEST}
    if not short:
        return ""
    best = max(short, key=lambda label: len(short[label]))
    values = "|".join(sorted(_SPECIAL.sub(r"\\\1", value) for value in short[best]))
    return f",{best}=~{quoted(values)}"


def _values(
    prometheus: Prometheus,
    promql: str,
    episodes: Sequence[Episode],
    labels: Sequence[str],
    interval: float,
    now: float,
    slack: float = 0.5,
) -> dict[Key, np.ndarray]:
    """The values of the series with an episode's labels while it lasted; absent where there is no such series.

    `slack` is for how many seconds after its last evaluation an episode's values still count.
    """
    start = min(one.since for one in episodes)
    end = max(now if one.ended_at is None else one.ended_at for one in episodes)
    matrix = prometheus.range(promql, start, end, max(1.0, interval, (end - start) / POINTS))
    rows: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
    for i, own in enumerate(matrix.labels):
        rows[tuple(own.get(label) for label in labels)].append(i)
    found = {}
    for one in episodes:
        fitting = rows.get(tuple(one.labels.get(label) for label in labels))
        if fitting:
            last = np.inf if one.ended_at is None else one.ended_at + slack
            during = (matrix.times >= one.since - 0.5) & (matrix.times <= last)
            found[key(one)] = matrix.values[fitting][:, during].ravel()
    return found
