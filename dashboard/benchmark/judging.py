"""A run's verdict: by the strongest test its data allows, with what was measured again because it looked suspicious.

Cells that look changed are measured again by themselves, in launches of their own. Looking again only where something was
seen would confirm chance if old and new launches were mixed, so the new launches are tested alone: a suspicion stands where
they show it too. Knows reports, not runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from dashboard.benchmark import comparison
from dashboard.benchmark.comparison import Comparison, Report, Verdict

LAUNCHES_AT_LEAST = 3  # of a run that is judged: fewer show no spread
SUSPECTS_AT_MOST = 8  # cells measured again; of more, those furthest from before
_CHANGED = frozenset({"regressed", "improved", "suspect"})


def judge(earlier: Sequence[Report], report: Report) -> Comparison | None:
    """The verdict of a run; None where there is nothing to hold it against, or it is too short to be judged.

    Args:
        earlier: reports of the same question, newest first; those that do not compare are left out.
    """
    if "sides" in report:
        return comparison.rebaseline(report)
    if report["launches_planned"] < LAUNCHES_AT_LEAST:
        return None
    first = _against(earlier, _first_launches(report))
    again = {cell["key"]: cell["again"] for cell in report["cells"] if cell.get("again")}
    if first is None or not again:
        return first
    second = _against(earlier, _only_again(report))
    return first if second is None else joined(first, second, {key: len(said) for key, said in again.items()})


def suspects(earlier: Sequence[Report], report: Report) -> list[str]:
    """Keys of cells that look changed and are worth measuring again: slower or faster, not broken."""
    found = judge(earlier, report)
    if found is None or found.mode == "paired":
        return []
    changed = [
        verdict for verdict in found.verdicts if verdict.word in _CHANGED and verdict.ratio is not None
    ]
    changed.sort(key=lambda verdict: -abs((verdict.ratio or 1.0) - 1.0))
    return [verdict.key for verdict in changed[:SUSPECTS_AT_MOST]]


def joined(first: Comparison, again: Comparison, launches: Mapping[str, int]) -> Comparison:
    """Both tests in one verdict.

    Args:
        again: the same comparison on the new launches alone.
        launches: cell → how many of those it has.
    """
    second = {verdict.key: verdict for verdict in again.verdicts}
    verdicts = [
        _both(verdict, second[verdict.key], launches[verdict.key])
        if verdict.key in launches and verdict.key in second
        else verdict
        for verdict in first.verdicts
    ]
    word = comparison.worst(verdicts)
    return replace(
        first, word=word, sentence=comparison.in_words(first.mode, word, verdicts), verdicts=tuple(verdicts)
    )


def as_json(found: Comparison) -> dict[str, Any]:
    """As it stands in a report: the run's word and sentence, and each cell's."""
    plain = asdict(found)
    plain["verdicts"] = [dict(verdict) for verdict in plain["verdicts"]]
    return plain


def from_json(plain: Mapping[str, Any]) -> Comparison:
    """Read it back from a report."""
    verdicts = tuple(Verdict(**verdict) for verdict in plain["verdicts"])
    return Comparison(**{**plain, "verdicts": verdicts})


def _both(first: Verdict, again: Verdict, launches: int) -> Verdict:
    more = f"{launches} further launches"
    same_way = first.ratio is not None and again.ratio is not None and (first.ratio > 1) == (again.ratio > 1)
    if first.word not in _CHANGED or first.ratio is None:
        return first
    if again.word == first.word and same_way:
        return replace(
            again,
            sentence=f"{again.sentence} Seen twice: {first.ratio - 1:+.1%} at first, and again in {more}.",
        )
    seen = "" if again.ratio is None else f" ({again.ratio - 1:+.1%})"
    word: comparison.Word = "same" if again.word == "same" else "inconclusive"
    return replace(
        again,
        word=word,
        sentence=f"{first.ratio - 1:+.1%} at first, but not in {more}{seen}. {again.sentence}",
    )


def _against(earlier: Sequence[Report], report: Report) -> Comparison | None:
    comparable = [one for one in earlier if not comparison.incomparable(one, report)]
    if len(comparable) >= comparison.HISTORY_AT_LEAST:
        return comparison.against_history(comparable, report)
    if comparable:
        return comparison.compare(comparable[0], report)
    return comparison.compare(earlier[0], report) if earlier else None


def _first_launches(report: Report) -> Report:
    """The report as it was before anything was measured again: what the canary did later is not part of it."""
    return {**report, "launches": [launch for launch in report["launches"] if not launch.get("again")]}


def _only_again(report: Report) -> Report:
    """The report as if only the launches made again had been."""
    launches = [launch for launch in report["launches"] if launch.get("again")]
    cells = [{**cell, "launches": cell["again"]} for cell in report["cells"] if cell.get("again")]
    return {**report, "cells": cells, "launches": launches}
