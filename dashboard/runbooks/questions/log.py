"""What the structured log is asked from a runbook: how long ago something was last said, and how often it was.

A search that ran out of its budget before the log's beginning does not know that there is no such line, and says so.
Lines are outside text: they are handed on as text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import promql_parser

from collectors.logs import LogLine, LogPage
from collectors.unavailable import Unavailable
from dashboard.catalogue.units import BYTES, COUNT, SECONDS
from dashboard.runbooks.calls import Parameter
from dashboard.runbooks.questions.spec import Found, Origins, Point, Question, Trace

BUDGET_BYTES = 16 << 20  # read for one question at most: a page asks several at each refresh
MOST_LINES = 1000
SAID = 300  # letters of a line that are shown
BARS = 60  # of the figure

# What a router, its framework and the kernel write when memory ran out; MemoryError is in OutOfMemoryError too.
OUT_OF_MEMORY = ("out of memory", "memoryerror", "oom-kill")
GENERATION = "Evolution generation completed"

_RUN = Parameter("lines of this run alone; empty: of every run, and of the log files beside them")
_WITHIN = Parameter("how far back is counted", "1h", "duration")

Given = Mapping[str, str]
Filter = Callable[[Given], Sequence[Mapping[str, Any]]]  # the searches whose lines are wanted


def _search(origins: Origins, given: Given, filters: Sequence[Mapping[str, Any]]) -> tuple[list[LogLine], bool, int]:  # fmt: skip
    """The lines of all searches, newest first, whether all of the log was searched, and how many bytes were.

    Raises:
        Unavailable: there is no log, or it cannot be read.
    """
    run = given.get("run", "")
    tail = origins.log(run)
    if tail is None:
        raise Unavailable(
            f"There is no log of the run {run} here." if run else "There is no log here.",
            advice="Set MOE_DASHBOARD_RUNS_DIR, MOE_DASHBOARD_LOG_FILES or MOE_DASHBOARD_LOKI_URL.",
            kind="no-file",
        )
    pages: list[LogPage] = [
        tail(limit=MOST_LINES, budget_bytes=BUDGET_BYTES, run_id=run or None, **wanted) for wanted in filters
    ]
    lines = {(line.path, line.offset): line for page in pages for line in page.lines if line.time is not None}
    newest = sorted(lines.values(), key=lambda line: -_seconds(line))
    whole = all(page.exhausted for page in pages)
    return newest, whole, max(page.scanned_bytes for page in pages)


def _age(name: str, about: str, filters: Filter, parameters: Mapping[str, Parameter]) -> Question:
    """How long ago the newest such line was written; no point where there is none in the whole log."""

    def answer(origins: Origins, given: Given) -> Found:
        lines, whole, scanned = _search(origins, given, filters(given))
        if not lines:
            if not whole:
                raise Unavailable(f"No such line in the newest {BYTES.format(float(scanned))} of the log; older lines were not searched.", kind="budget")  # fmt: skip
            return Found((), origins.now)
        return Found(
            (Point({}, max(0.0, origins.now - _seconds(lines[0]))),),
            origins.now,
            lines[0].raw[:SAID],
            _bars(lines, origins.now, 3600.0),
        )

    return Question("log", name, SECONDS, about, answer, parameters)


def _count(name: str, about: str, filters: Filter, parameters: Mapping[str, Parameter]) -> Question:
    """How many such lines were written lately; 0 is an answer, a search that did not reach back far enough is none."""

    def answer(origins: Origins, given: Given) -> Found:
        back = promql_parser.parse_duration(given["within"]).total_seconds()
        lines, whole, _ = _search(origins, given, filters(given))
        recent = [line for line in lines if origins.now - _seconds(line) <= back]
        reached = whole or len(recent) < len(lines)
        if not reached and not recent:
            raise Unavailable(f"The newest {BYTES.format(float(BUDGET_BYTES))} of the log have no such line; older lines were not searched.", kind="budget")  # fmt: skip
        words = recent[0].raw[:SAID] if recent else ""
        if not reached:
            words = f"At least so many: only the newest {BYTES.format(float(BUDGET_BYTES))} were searched. {words}"  # fmt: skip
        return Found(
            (Point({}, float(len(recent))),), origins.now, words, _bars(recent, origins.now, float(back))
        )

    return Question("log", name, COUNT, about, answer, {**parameters, "within": _WITHIN})


def _bars(lines: Sequence[LogLine], now: float, seconds: float) -> Trace:
    """Lines in each stretch of the last `seconds`; stretches end at multiples of their own length."""
    width = max(1.0, seconds / BARS)
    end = now // width * width + width
    edges = end - width * np.arange(BARS, -1, -1, dtype=np.float64)
    counts, _ = np.histogram([_seconds(line) for line in lines], edges)
    return {"lines": (edges[:-1], counts.astype(np.float64))}


def _seconds(line: LogLine) -> float:
    return line.time.timestamp() if line.time is not None else float("-inf")


def _asked(given: Given) -> Sequence[Mapping[str, Any]]:
    return ({key: given[key] or None for key in ("text", "event", "level")},)


_ANY: Mapping[str, Parameter] = {
    "text": Parameter("words anywhere in the line, whatever their case"),
    "event": Parameter("exactly this event"),
    "level": Parameter("this level or a more severe one", kind="level"),
    "run": _RUN,
}

QUESTIONS = (
    _age("last-out-of-memory-seconds", "time since the log last told of memory that ran out", lambda _: [{"text": text} for text in OUT_OF_MEMORY], {"run": _RUN}),
    _age("last-error-seconds", "time since the last line of level error or critical", lambda _: [{"level": "error"}], {"run": _RUN}),
    _age("last-generation-seconds", "time since the log's last completed generation", lambda _: [{"event": GENERATION}], {"run": _RUN}),
    _age("last-line-seconds", "time since the last line like this", _asked, _ANY),
    _count("errors-count", "lines of level error or critical", lambda _: [{"level": "error"}], {"run": _RUN}),
    _count("lines-count", "lines like this", _asked, _ANY),
)  # fmt: skip
