"""Choosing runs by an expression: words and comparisons, all of which must hold. Pure.

digits                  a word that stands in the name, the id, the state or the configuration
state:finished          its state
seed=1  seed!=1         a value of the configuration, as a number where both are numbers, else as text
best>0.9                also >= < <=; `best`, `generations` and `seconds` (how long it took) stand beside the configuration
"""

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dashboard.feed.runs import Run

_TERM = re.compile(r"([\w.-]+)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le
}  # fmt: skip
OWN = ("state", "name", "best", "generations", "seconds")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that must hold; `name` is empty for a word that must stand somewhere."""

    name: str
    sign: str
    value: str

    def holds(self, run: Run) -> bool:
        """Whether it holds of this run; a value the run does not say compares with nothing."""
        if not self.name:
            return self.value in _text(run)
        said = values(run).get(self.name)
        if said is None:
            return False
        one, other = _number(said), _number(self.value)
        if self.sign in _ORDERS:
            return one is not None and other is not None and _ORDERS[self.sign](one, other)
        same = one == other if one is not None and other is not None else said.lower() == self.value
        return same == (self.sign == "=")


def read(expression: str) -> tuple[Term, ...]:
    """The terms of an expression; every text is one."""
    return tuple(_term(word) for word in expression.lower().split())


def matches(run: Run, terms: Sequence[Term]) -> bool:
    """Whether every term holds."""
    return all(term.holds(run) for term in terms)


def unknown(terms: Sequence[Term], runs: Iterable[Run]) -> list[str]:
    """Names in the terms that no run has a value for: mistyped, most likely."""
    known = {name for run in runs for name in values(run)} | set(OWN)
    return [term.name for term in terms if term.name and term.name not in known]


def values(run: Run) -> dict[str, str]:
    """What a comparison can be about, by name in lower case."""
    over = run.ended_at if run.ended_at is not None else run.last_seen
    took = over - run.started_at if over is not None and run.started_at is not None else None
    own = {
        "state": run.state,
        "name": run.name,
        "best": run.best_fitness,
        "generations": run.generations,
        "seconds": took,
    }
    config = {key.lower(): text for key, text in run.config.items()}
    return config | {name: str(value) for name, value in own.items() if value is not None}


def _term(word: str) -> Term:
    if word.startswith("state:"):
        return Term("state", "=", word.removeprefix("state:"))
    found = _TERM.fullmatch(word)
    return Term(*found.groups()) if found else Term("", "", word)


def _text(run: Run) -> str:
    pairs = (f"{key}={value}" for key, value in run.config.items())
    return " ".join([run.run_id, run.name, run.state, *pairs]).lower()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
