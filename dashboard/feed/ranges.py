"""Range answers, kept: what is known is shared, only the tail that can have changed is asked again.

A question is a query on a grid. Within one step of the grid it is asked once, whoever asks; at the next step only
the columns that are new, or younger than `settle_seconds` and so perhaps not final, are fetched and appended by
the series' labels. Once an hour everything is fetched anew, for samples that came later than that. Plain selectors
with the same matchers travel as one query. Memory is bounded; what was not looked at for longest goes first.
"""

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from collectors.prometheus import Matrix
from collectors.unavailable import Unavailable
from dashboard.feed import query
from dashboard.feed.source import Source
from dashboard.feed.window import Grid

Labels = dict[str, str]
_BOUND_TO_RANGE = re.compile(r"@\s*(start|end)\s*\(")  # such a query is another one on every other range
_WHOLE_SECONDS = 3600.0
_NAMES_TOGETHER = 40  # names in one query; more only make its text long


@dataclass(frozen=True, slots=True)
class Question:
    """A filled query on a grid. A live one moves on with the clock; another is the same for ever."""

    promql: str
    grid: Grid
    live: bool

    @property
    def key(self) -> tuple[str, int, int, int | None]:
        """What stays the same from one refresh to the next."""
        return self.promql, self.grid.step, self.grid.points, None if self.live else self.grid.end


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of a question: (S, T) values on the grid, read-only. `looked_at` is None before the first good look."""

    grid: Grid
    labels: tuple[Labels, ...] = ()
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    looked_at: float | None = None
    whole_at: float = 0.0
    seconds: float = 0.0
    samples: int = 0
    warnings: tuple[str, ...] = ()
    unavailable: Unavailable | None = None

    @property
    def times(self) -> NDArray[np.float64]:
        """The grid, (T,) unix seconds."""
        return np.arange(self.grid.start, self.grid.end + 1, self.grid.step, dtype=np.float64)

    @property
    def size_bytes(self) -> int:
        """What keeping it costs, about; an empty answer too, since anybody may ask for anything by the URL."""
        return self.values.nbytes + 400 * len(self.labels) + 1000


@dataclass(slots=True)
class _Slot:
    known: Known | None = None
    failed_at: float | None = None
    pending: "Future[Known] | None" = None


class Ranges:
    """The kept answers of one source; safe to share between threads."""

    def __init__(
        self,
        source: Source,
        *,
        refresh_seconds: float = 5.0,
        settle_seconds: float = 60.0,
        memory_bytes: int = 256 << 20,
        workers: int = 4,
    ) -> None:
        self._source = source
        self._refresh_seconds = refresh_seconds
        self._settle_seconds = settle_seconds
        self._memory_bytes = memory_bytes
        self._kept_bytes = 0
        self._guard = threading.Lock()
        self._slots: OrderedDict[tuple[str, int, int, int | None], _Slot] = OrderedDict()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="feed")

    def close(self) -> None:
        """End the threads; what is on its way ends by its own deadline."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def look(self, questions: Iterable[Question]) -> dict[Question, Known]:
        """Answer a batch. Returns within the source's timeout: what is not there by then keeps its last good answer."""
        wanted = list(dict.fromkeys(questions))
        mine: list[Question] = []
        waiting: dict[Question, Future[Known]] = {}
        answers: dict[Question, Known] = {}
        now = self._source.clock()
        with self._guard:
            for question in wanted:
                slot = self._slots.setdefault(question.key, _Slot())
                self._slots.move_to_end(question.key)
                if slot.pending is not None:
                    waiting[question] = slot.pending
                    self._source.counters.hit()
                elif self._needs_no_query(slot, question, now):
                    answers[question] = slot.known or Known(question.grid)
                    self._source.counters.hit()
                else:
                    slot.pending = waiting[question] = Future()
                    mine.append(question)
        for since, group in self._grouped(mine):
            self._threads.submit(self._fetch, group, since)
        timeout = self._source.prometheus.timeout_seconds if self._source.prometheus is not None else 1.0
        wait(waiting.values(), timeout=timeout + 0.05)
        for question, pending in waiting.items():
            answers[question] = pending.result() if pending.done() else self._late(question, timeout)
        return answers

    def _needs_no_query(self, slot: _Slot, question: Question, now: float) -> bool:
        if slot.failed_at is not None and 0 <= now - slot.failed_at < self._refresh_seconds:
            return True
        if slot.known is None or slot.known.unavailable is not None or slot.known.looked_at is None:
            return False
        return 0 <= slot.known.grid.end - question.grid.end <= question.grid.step

    def _late(self, question: Question, timeout: float) -> Known:
        """What to show of a question whose fetch waits behind others: the last good answer, and that it is late."""
        why = Unavailable(
            f"No answer within {timeout:g} s; it is still on its way.",
            advice="The next refresh shows it.",
            kind="timeout",
        )
        with self._guard:
            known = self._slots[question.key].known if question.key in self._slots else None
        return replace(known or Known(question.grid), unavailable=why)

    def _grouped(self, questions: Sequence[Question]) -> list[tuple[int, list[Question]]]:
        """Questions that can travel as one query, with the first column to fetch: plain selectors with equal matchers."""
        groups: dict[tuple[object, ...], tuple[int, list[Question]]] = {}
        for question in questions:
            since, selector = self._since(question), query.plain(question.promql)
            same = (question.promql,) if selector is None else (selector[1], None)
            groups.setdefault((same, question.grid, question.live, since), (since, []))[1].append(question)
        return [
            (since, group[at : at + _NAMES_TOGETHER])
            for since, group in groups.values()
            for at in range(0, len(group), _NAMES_TOGETHER)
        ]

    def _since(self, question: Question) -> int:
        """The first column to fetch: the grid's own start, or where the kept columns end to be final."""
        slot = self._slots.get(question.key)
        known, grid = slot.known if slot else None, question.grid
        if known is None or known.looked_at is None or _BOUND_TO_RANGE.search(question.promql):
            return grid.start
        if (
            self._source.clock() - known.whole_at > _WHOLE_SECONDS
            or not grid.start <= known.grid.end <= grid.end
        ):
            return grid.start
        unsettled = math.ceil(self._settle_seconds / grid.step) * grid.step
        return max(grid.start, known.grid.end - unsettled)

    def _fetch(self, group: Sequence[Question], since: int) -> None:
        """Fetch one query for one or more questions, and let go whoever waits, whatever happens."""
        grid = group[0].grid
        now, began = self._source.clock(), time.monotonic()
        try:
            text, split = group[0].promql, len(group) > 1
            if split:
                selectors = [query.plain(question.promql) or ("", "") for question in group]
                text = query.together((name for name, _ in selectors), selectors[0][1])
            matrix = self._source.ask(lambda prometheus: prometheus.range(text, since, grid.end, grid.step))
            parts = _by_name(matrix) if split else {}
            seconds = time.monotonic() - began
            for question in group:
                name = (query.plain(question.promql) or ("", ""))[0]
                part = parts.get(name, _nothing(matrix)) if split else matrix
                self._settle(question, self._merged(question, part, since, now, seconds), None)
        except Unavailable as why:
            for question in group:
                self._settle(question, None, why)
        except BaseException as why:
            self._give_up(group, why)
            raise

    def _merged(self, question: Question, tail: Matrix, since: int, now: float, seconds: float) -> Known:
        slot = self._slots.get(question.key)
        known = slot.known if slot is not None else None
        grid = question.grid
        labels, values, whole_at = tail.labels, tail.values, now
        if since > grid.start and known is not None:
            first = (grid.start - known.grid.start) // grid.step
            count = (since - grid.start) // grid.step
            labels, values = _appended(known.labels, known.values[:, first : first + count], labels, values)
            whole_at = known.whole_at
        values.flags.writeable = False
        samples = int(np.count_nonzero(~np.isnan(values)))
        notes = tail.warnings + tail.infos + self._source.notes()
        return Known(grid, labels, values, now, whole_at, seconds, samples, notes)

    def _settle(self, question: Question, known: Known | None, why: Unavailable | None) -> None:
        with self._guard:
            slot = self._slots[question.key]  # a pending slot is never dropped
            before = slot.known.size_bytes if slot.known is not None else 0
            if known is not None:
                slot.known, slot.failed_at = known, None
            else:
                slot.known = replace(slot.known or Known(question.grid), unavailable=why)
                slot.failed_at = self._source.clock()
            self._kept_bytes += slot.known.size_bytes - before
            pending, slot.pending = slot.pending, None
            result = slot.known
            self._drop_oldest()
        if pending is not None:
            pending.set_result(result)

    def _give_up(self, group: Sequence[Question], why: BaseException) -> None:
        """A defect of ours must not leave anyone waiting."""
        with self._guard:
            slots = [self._slots[question.key] for question in group]
            pendings = [slot.pending for slot in slots]
            for slot in slots:
                slot.pending = None
        for pending in pendings:
            if pending is not None and not pending.done():
                pending.set_exception(why)

    def _drop_oldest(self) -> None:
        if self._kept_bytes <= self._memory_bytes:
            return
        for key, slot in list(self._slots.items())[:-1]:
            if self._kept_bytes <= self._memory_bytes:
                return
            if slot.pending is None and slot.known is not None:
                self._kept_bytes -= slot.known.size_bytes
                del self._slots[key]


def _by_name(matrix: Matrix) -> dict[str, Matrix]:
    rows: dict[str, list[int]] = {}
    for row, labels in enumerate(matrix.labels):
        rows.setdefault(labels.get("__name__", ""), []).append(row)
    return {
        name: replace(
            matrix, labels=tuple(matrix.labels[row] for row in chosen), values=matrix.values[chosen]
        )
        for name, chosen in rows.items()
    }


def _nothing(matrix: Matrix) -> Matrix:
    return replace(matrix, labels=(), values=np.empty((0, len(matrix.times))))


def _appended(
    old_labels: tuple[Labels, ...],
    old: NDArray[np.float64],
    new_labels: tuple[Labels, ...],
    new: NDArray[np.float64],
) -> tuple[tuple[Labels, ...], NDArray[np.float64]]:
    """Old columns and new ones side by side, matched by labels; series that have nothing left are let go."""
    if old_labels == new_labels:
        return new_labels, np.concatenate([old, new], axis=1)
    rows = {frozenset(labels.items()): row for row, labels in enumerate(new_labels)}
    gone = [
        row
        for row, labels in enumerate(old_labels)
        if frozenset(labels.items()) not in rows and not np.isnan(old[row]).all()
    ]
    values = np.full((len(new_labels) + len(gone), old.shape[1] + new.shape[1]), np.nan)
    values[: len(new_labels), old.shape[1] :] = new
    for row, labels in enumerate(old_labels):
        at = rows.get(frozenset(labels.items()))
        if at is not None:
            values[at, : old.shape[1]] = old[row]
    values[len(new_labels) :, : old.shape[1]] = old[gone]
    return new_labels + tuple(old_labels[row] for row in gone), values
