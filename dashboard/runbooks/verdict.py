"""From a check's samples to a verdict in words. Pure: asks nobody, draws nothing."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from collectors.unavailable import Unavailable

Level = Literal["ok", "warn", "bad", "unknown"]

# Worst first. What cannot be told stands before what is fine: nobody should stop looking because of it.
WORST_FIRST: tuple[Level, ...] = ("bad", "warn", "unknown", "ok")

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?inf"
_COMPARISON = re.compile(rf"(<=|>=|<|>|=)\s*({_NUMBER})", re.IGNORECASE)
_BETWEEN = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})", re.IGNORECASE)


class Sampled(Protocol):
    """One series' value; `collectors.prometheus.Sample` is one."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What tells it from the others."""

    @property
    def value(self) -> float:
        """Its value; may be NaN."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a verdict table: a condition on the value, the verdict, and what it means."""

    when: str  # "< 0.1", "0.1..0.3", "= 0", "else", "none" (no sample), "nan"
    level: Level
    means: str

    def __post_init__(self) -> None:
        """Refuse a condition nobody can evaluate."""
        if not (
            self.when in {"else", "none", "nan"}
            or _COMPARISON.fullmatch(self.when)
            or _BETWEEN.fullmatch(self.when)
        ):
            raise ValueError(f"{self.when!r} is no condition: use < <= > >= =, a..b, else, none or nan.")

    def holds(self, value: float) -> bool:
        """Whether a number (not NaN) fulfils the condition; a..b includes both ends."""
        if self.when == "else":
            return True
        between = _BETWEEN.fullmatch(self.when)
        if between:
            return float(between[1]) <= value <= float(between[2])
        comparison = _COMPARISON.fullmatch(self.when)
        if comparison is None:  # none and nan are about the absence of a number
            return False
        bound = float(comparison[2])
        return {
            "<": value < bound,
            "<=": value <= bound,
            ">": value > bound,
            ">=": value >= bound,
            "=": value == bound,
        }[comparison[1]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says. With several series `parts` holds one verdict each, worst first."""

    level: Level
    words: str
    value: float | None = None  # None: there was no sample, or nobody could be asked
    labels: Mapping[str, str] | None = None
    parts: tuple["Verdict", ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What all checks of a page say together."""

    words: str
    supported: tuple[str, ...]  # what the evidence speaks for, worst first
    excluded: tuple[str, ...]  # what was looked at and is fine
    unknown: int  # checks that could not tell


def evaluate(rows: Sequence[Row], samples: Sequence[Sampled] | Unavailable) -> Verdict:
    """The verdict of a check: the first row that holds, for each series; the worst of them on top."""
    if isinstance(samples, Unavailable):
        return Verdict("unknown", f"Could not tell: {samples.reason}")
    if not samples:
        return _special(rows, "none", "Could not tell: no sample.", None)
    parts = sorted((_one(rows, sample) for sample in samples), key=lambda part: WORST_FIRST.index(part.level))
    worst = parts[0]
    return Verdict(worst.level, worst.words, worst.value, worst.labels, tuple(parts))


def summary(verdicts: Iterable[Verdict]) -> Summary:
    """The evidence in one sentence: what it supports, what it excludes, and how much could not be told."""
    ordered = sorted(verdicts, key=lambda verdict: WORST_FIRST.index(verdict.level))
    supported = tuple(dict.fromkeys(v.words for v in ordered if v.level in {"bad", "warn"}))
    excluded = tuple(dict.fromkeys(v.words for v in ordered if v.level == "ok"))
    unknown = sum(verdict.level == "unknown" for verdict in ordered)
    if not ordered:
        words = "No check on this page."
    elif supported:
        words = f"The evidence supports: {'; '.join(supported)}."
    elif unknown == len(ordered):
        words = "No check could tell anything: look at whether Prometheus answers."
    else:
        words = "No check finds anything wrong now. It may have passed, or the cause is not on this page."
    return Summary(words, supported, excluded, unknown)


def _one(rows: Sequence[Row], sample: Sampled) -> Verdict:
    if math.isnan(sample.value):
        return _special(rows, "nan", "Could not tell: the value is NaN.", sample)
    for row in rows:
        if row.holds(sample.value):
            return Verdict(row.level, row.means, sample.value, sample.labels)
    return Verdict(
        "unknown", f"The table does not say what {sample.value:g} means.", sample.value, sample.labels
    )


def _special(
    rows: Sequence[Row], when: Literal["none", "nan"], otherwise: str, sample: Sampled | None
) -> Verdict:
    value, labels = (sample.value, sample.labels) if sample else (None, None)
    for row in rows:
        if row.when == when:
            return Verdict(row.level, row.means, value, labels)
    return Verdict("unknown", otherwise, value, labels)
