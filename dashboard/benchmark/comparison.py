"""Is it slower, or is that noise? Verdicts from launches and runs, never from piled-up iterations. Pure numpy.

Calls of one process share its luck: where memory landed, which clock it got. Tests that pool them call
29 to 38 % of unchanged pairs different. So the unit within a run is the launch, and between runs the run.

Three ways to judge, the strongest that the data allows:

* `paired` (re-baseline): two working trees alternated in one lease; t test on the log ratio of each pair.
* `history`: a run against at least five comparable earlier ones; prediction interval over run centres.
* `pairwise`: two stored runs; Welch's test on log launch medians. The machine may have changed between
  them, so its strongest word is "suspect".

What the canary did in a launch is taken off every cell of it (in pairs, as far as the cell follows it); where it moved by more than 3 % between
the two, nothing is said about the cells at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dashboard.benchmark import environment
from dashboard.benchmark.distributions import holm, t_cdf, t_quantile

Word = Literal["regressed", "improved", "suspect", "same", "inconclusive", "incomparable"]
Mode = Literal["paired", "history", "pairwise"]
Report = Mapping[str, Any]
Logs = NDArray[np.float64]

ALPHA = 0.01  # of any false alarm over all cells, after Holm
LEAST_EFFECT = math.log(1.015)  # a smaller change is not called a change
EQUIVALENCE = math.log(1.02)  # "same" is proven when the 99 % interval lies inside ± this
HISTORY_AT_LEAST = 5
CANARY_MAY_MOVE = 0.03
PREEMPTED_MAY_DIFFER = 0.15
_BROKEN = frozenset({"failed", "crashed", "hung", "wrong", "out of memory"})
_LAUNCHES_AT_MOST = 50
_CLOCKS = {"cpu": "cpu_p50_seconds", "host": "p50_seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One cell's. `ratio` is new ÷ old time: above 1 is slower; the interval is its 99 %."""

    key: str
    word: Word
    sentence: str  # why, and for "inconclusive" what would settle it
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None  # of no change in the direction seen, adjusted over the run's cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All cells of a new run against an old one, or against a history."""

    mode: Mode
    word: Word  # of the run: the worst of its cells
    sentence: str
    canary_ratio: float | None  # new ÷ old
    verdicts: tuple[Verdict, ...]

    def count(self, word: Word) -> int:
        """How many cells have this verdict."""
        return sum(verdict.word == word for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class _Effect:
    """A log ratio with its standard error; None where the data gives no error."""

    log_ratio: float
    error: float | None
    degrees: float
    launch_spread: float | None  # standard deviation of log launch medians, to say what would settle it


def compare(old: Report, new: Report) -> Comparison:
    """Two stored runs. Nothing stronger than "suspect" can come of it.

    Args:
        old, new: reports as `results.report` wrote them.
    """
    reason = incomparable(old, new)
    if reason:
        return _refused("pairwise", new, reason, canary_ratio(old, new))
    clock = _clock(old, new)
    effects: dict[str, _Effect | str] = {}
    for key, before, after in _pairs(old, new):
        a, b = _logs(before, old, clock), _logs(after, new, clock)
        effects[key] = _welch(a, b)
    return _judge("pairwise", old, new, effects)


def against_history(earlier: Sequence[Report], new: Report) -> Comparison:
    """A run against earlier comparable ones.

    Args:
        earlier: any reports of the same target, newest first; those that do not compare are left out.

    Raises:
        ValueError: fewer than five of them compare.
    """
    comparable = [report for report in earlier if not incomparable(report, new)]
    if len(comparable) < HISTORY_AT_LEAST:
        raise ValueError(
            f"{len(comparable)} earlier runs compare with this one; {HISTORY_AT_LEAST} are needed."
        )
    effects: dict[str, _Effect | str] = {}
    clock = "host" if any(_clock(report, new) == "host" for report in comparable) else "cpu"
    for cell in new["cells"]:
        if cell["status"] != "ok":
            continue
        logs = [
            _logs(match, report, clock)
            for report in comparable
            if (match := _ok_cell(report, cell["key"])) is not None
        ]
        effects[cell["key"]] = _prediction(logs, _logs(cell, new, clock))
    return _judge("history", comparable[0], new, effects)


def rebaseline(report: Report) -> Comparison:
    """The two sides of a re-baseline run: launches alternated in one lease, so that what drifts hits both.

    Raises:
        ValueError: the report has no sides.
    """
    if "sides" not in report:
        raise ValueError("this run did not alternate two working trees")
    old = {**report, "cells": report["sides"]["base"]["cells"]}
    new = {**report, "cells": report["sides"]["candidate"]["cells"]}
    effects: dict[str, _Effect | str] = {}
    clock = _clock(old, new)
    canary = {
        launch["launch"]: value for launch in report["launches"] if (value := _canary(launch)) is not None
    }
    for key, before, after in _pairs(old, new):
        a, b = (_by_turn(cell, clock) for cell in (before, after))
        turns = [turn for turn in a if turn in b]
        ratios = np.array([b[turn][1] - a[turn][1] for turn in turns])
        heard = [(canary.get(a[turn][0]), canary.get(b[turn][0])) for turn in turns]
        shifts = [after - before for before, after in heard if before is not None and after is not None]
        effects[key] = _paired(ratios, np.array(shifts) if len(shifts) == len(ratios) else None)
    return _judge("paired", old, new, effects)


def incomparable(old: Report, new: Report) -> str:
    """Why two runs must not be compared; empty when they may."""
    if old["target"] != new["target"] or old["spec_hash"] != new["spec_hash"]:
        return "they were asked different questions (target, cells, seed or threads)"
    changed = environment.differences(old["environment"], new["environment"])
    if changed:
        return "; ".join(changed)
    if (canary_ratio(old, old) is None) != (canary_ratio(new, new) is None):
        return "only one of them heard the canary"
    moved = canary_ratio(old, new)
    if moved is not None and abs(math.log(moved)) > math.log1p(CANARY_MAY_MOVE):
        return f"the canary's fixed kernels took {moved:.3f} times as long: the machine was not the same"
    if abs(_preempted(old) - _preempted(new)) > PREEMPTED_MAY_DIFFER:
        return "the share of calls in which something else ran on the core was very different"
    return ""


def canary_ratio(old: Report, new: Report) -> float | None:
    """How much longer the fixed kernels took, new ÷ old; None where they were not heard."""
    before = [value for launch in old["launches"] if (value := _canary(launch)) is not None]
    after = [value for launch in new["launches"] if (value := _canary(launch)) is not None]
    if not before or not after:
        return None
    return math.exp(float(np.median(after)) - float(np.median(before)))


# --- the three tests


def _welch(a: Logs, b: Logs) -> _Effect:
    difference = float(b.mean() - a.mean())
    if len(a) < 2 or len(b) < 2:
        return _Effect(difference, None, 0, None)
    va, vb = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    error = math.sqrt(va + vb)
    degrees = (va + vb) ** 2 / max(va**2 / (len(a) - 1) + vb**2 / (len(b) - 1), 1e-300)
    spread = math.sqrt((float(a.var(ddof=1)) + float(b.var(ddof=1))) / 2)
    return _Effect(difference, error, max(degrees, 1.0), spread)


def _prediction(earlier: Sequence[Logs], new: Logs) -> _Effect | str:
    """The new run's centre against the spread of earlier centres, never narrower than the launches explain."""
    if len(earlier) < HISTORY_AT_LEAST:
        return f"only {len(earlier)} earlier runs measured this cell; {HISTORY_AT_LEAST} are needed"
    centres = np.array([logs.mean() for logs in earlier])
    inside = [float(logs.var(ddof=1)) for logs in earlier if len(logs) > 1]
    of_launches = float(np.mean(inside)) / len(new) if inside else 0.0
    variance = max(float(centres.var(ddof=1)), of_launches)
    h = len(centres)
    spread = math.sqrt(float(np.mean(inside))) if inside else None
    return _Effect(float(new.mean() - centres.mean()), math.sqrt(variance * (1 + 1 / h)), h - 1, spread)


def _paired(ratios: Logs, canary: Logs | None) -> _Effect:
    """Log ratios of launches that ran next to each other, as they would be had the canary not moved.

    How far a cell follows the canary is estimated from the pairs themselves (analysis of covariance: the
    intercept of a straight line, with its own error and one degree of freedom less). Taking all of the
    canary off would add its noise to a cell that does not follow it.
    """
    n = len(ratios)
    if n < 2:
        return _Effect(float(ratios.mean()) if n else 0.0, None, 0, None)
    if canary is not None and n >= 4 and (power := float(((canary - canary.mean()) ** 2).sum())) > 0:
        slope = float(((canary - canary.mean()) * ratios).sum()) / power
        centre = float(ratios.mean() - slope * canary.mean())
        left = ratios - centre - slope * canary
        spread = math.sqrt(float((left**2).sum()) / (n - 2))
        error = spread * math.sqrt(1 / n + float(canary.mean()) ** 2 / power)
        return _Effect(centre, error, n - 2, spread / math.sqrt(2))
    spread = float(ratios.std(ddof=1))
    return _Effect(float(ratios.mean()), spread / math.sqrt(n), n - 1, spread / math.sqrt(2))


# --- from effects to words


def _judge(mode: Mode, old: Report, new: Report, effects: Mapping[str, _Effect | str]) -> Comparison:
    testable = {
        key: _p(effect, effect.error)
        for key, effect in effects.items()
        if isinstance(effect, _Effect) and effect.error is not None
    }
    adjusted = dict(zip(testable, holm(list(testable.values())), strict=True))
    verdicts = []
    for cell in new["cells"]:
        key = cell["key"]
        before = next((c for c in old["cells"] if c["key"] == key), None)
        status = _by_status(key, before, cell)
        if status is not None:
            verdicts.append(status)
            continue
        effect = effects.get(key, "it was not measured in both")
        if isinstance(effect, str):
            verdicts.append(Verdict(key=key, word="inconclusive", sentence=f"{effect}."))
        else:
            verdicts.append(_verdict(mode, key, effect, adjusted.get(key)))
    word = worst(verdicts)
    ratio = canary_ratio(old, new) if mode != "paired" else None
    return Comparison(
        mode=mode,
        word=word,
        sentence=in_words(mode, word, verdicts),
        canary_ratio=ratio,
        verdicts=tuple(verdicts),
    )


def _p(effect: _Effect, error: float) -> float:
    """Chance of an effect at least this large, in either direction, when nothing changed."""
    return 2 * (1 - t_cdf(abs(effect.log_ratio) / max(error, 1e-12), effect.degrees))


def _by_status(key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Verdict | None:
    """A cell that fails is a verdict by itself; leaving it out would reward the failure."""
    was = "" if before is None else before["status"]
    now = after["status"]
    if was == "ok" and now in _BROKEN:
        return Verdict(
            key=key, word="regressed", sentence=f"It worked before and is {now} now: {after['reason']}."
        )
    if was in _BROKEN and now == "ok":
        return Verdict(key=key, word="improved", sentence=f"It was {was} before and works now.")
    if was == now == "ok":
        return None
    return Verdict(
        key=key, word="incomparable", sentence=f"It was {was or 'not measured'} before and is {now} now."
    )


def _verdict(mode: Mode, key: str, effect: _Effect, p: float | None) -> Verdict:
    ratio = math.exp(effect.log_ratio)
    if effect.error is None or p is None:
        settle = "Two launches a run are the least that shows how much launches differ; the standard profile has five."
        return Verdict(key=key, word="inconclusive", sentence=settle, ratio=ratio)
    reach = t_quantile(1 - ALPHA / 2, effect.degrees) * effect.error
    low, high = effect.log_ratio - reach, effect.log_ratio + reach
    word: Word
    if p < ALPHA and abs(effect.log_ratio) >= LEAST_EFFECT:
        direction = "slower" if effect.log_ratio > 0 else "faster"
        size = (
            f"{abs(ratio - 1):.1%} {direction} (99 %: {math.exp(low) - 1:+.1%} to {math.exp(high) - 1:+.1%})"
        )
        if mode == "pairwise":
            word = "suspect"
            sentence = (
                f"{size}, but two stored runs cannot tell the code from the machine: re-baseline settles it."
            )
        else:
            word = "regressed" if effect.log_ratio > 0 else "improved"
            sentence = f"{size}."
    elif low > -EQUIVALENCE and high < EQUIVALENCE:
        word, sentence = "same", "Equal within ± 2 %, with 99 % confidence."
    else:
        word, sentence = "inconclusive", _what_would_settle(effect, low, high)
    return Verdict(
        key=key, word=word, sentence=sentence, ratio=ratio, low=math.exp(low), high=math.exp(high), p=p
    )


def _what_would_settle(effect: _Effect, low: float, high: float) -> str:
    seen = f"Anything from {math.exp(low) - 1:+.1%} to {math.exp(high) - 1:+.1%} is possible."
    if not effect.launch_spread:
        return f"{seen} More launches would settle it."
    for k in range(3, _LAUNCHES_AT_MOST + 1):
        if t_quantile(1 - ALPHA / 2, 2 * k - 2) * effect.launch_spread * math.sqrt(2 / k) < EQUIVALENCE:
            return f"{seen} About {k} launches a side would settle it at this noise."
    return f"{seen} Launches differ by {effect.launch_spread:.1%}: no number of them settles 2 %; find a quieter machine."


def worst(verdicts: Sequence[Verdict]) -> Word:
    """The word of a run whose cells were judged so; improved where nothing speaks against it."""
    order: tuple[Word, ...] = ("regressed", "suspect", "incomparable", "inconclusive", "improved", "same")
    words = {verdict.word for verdict in verdicts}
    if "improved" in words and words <= {"improved", "same", "inconclusive"}:
        return "improved"
    return next((word for word in order if word in words), "inconclusive")


def in_words(mode: Mode, word: Word, verdicts: Sequence[Verdict]) -> str:
    """How many cells are what, by which test."""
    counted = [
        f"{sum(v.word == w for v in verdicts)} {w}"
        for w in ("regressed", "suspect", "improved", "same", "inconclusive", "incomparable")
        if any(v.word == w for v in verdicts)
    ]
    how = {
        "paired": "alternated in one lease",
        "history": "against earlier runs",
        "pairwise": "two stored runs",
    }[mode]
    return f"{word.capitalize()} ({how}): {', '.join(counted)} of {len(verdicts)} cells."


def _refused(mode: Mode, new: Report, reason: str, ratio: float | None) -> Comparison:
    verdicts = tuple(
        Verdict(key=cell["key"], word="incomparable", sentence=f"{reason[0].upper()}{reason[1:]}.")
        for cell in new["cells"]
    )
    return Comparison(
        mode=mode,
        word="incomparable",
        sentence=f"Incomparable: {reason}. Re-baseline measures both in one lease.",
        canary_ratio=ratio,
        verdicts=verdicts,
    )


# --- reading reports


def _pairs(old: Report, new: Report) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    return [
        (cell["key"], before, cell)
        for cell in new["cells"]
        if cell["status"] == "ok" and (before := _ok_cell(old, cell["key"])) is not None
    ]


def _ok_cell(report: Report, key: str) -> Mapping[str, Any] | None:
    return next((c for c in report["cells"] if c["key"] == key and c["status"] == "ok"), None)


def _logs(cell: Mapping[str, Any], report: Report, clock: str) -> Logs:
    """Log launch medians of a cell, each with what the canary did in its launch taken off."""
    heard = {launch["launch"]: _canary(launch) for launch in report["launches"]}
    return np.array(
        [math.log(said[_CLOCKS[clock]]) - (heard.get(said["launch"]) or 0.0) for said in cell["launches"]]
    )


def _by_turn(cell: Mapping[str, Any], clock: str) -> dict[int, tuple[int, float]]:
    """Turn → (launch, log median): two launches a turn, one of either side."""
    return {
        said["launch"] // 2: (said["launch"], math.log(said[_CLOCKS[clock]])) for said in cell["launches"]
    }


def _canary(launch: Mapping[str, Any]) -> float | None:
    """Mean log seconds of the kernels that take long enough to be measured well."""
    values = [s for name, s in launch.get("canary_seconds", {}).items() if name != "small"]
    return float(np.mean(np.log(values))) if values else None


def _preempted(report: Report) -> float:
    shares = [c["preempted_share"] for c in report["cells"] if c.get("preempted_share") is not None]
    return float(np.mean(shares)) if shares else 0.0


def _clock(old: Report, new: Report) -> str:
    """CPU time where something else often ran on the core and the target is one thread; else the primary clock."""
    on_cpu = all(
        c["clock"] == "host" for report in (old, new) for c in report["cells"] if c["status"] == "ok"
    )
    crowded = max(_preempted(old), _preempted(new)) > 0.1
    return "cpu" if on_cpu and crowded else "host"
