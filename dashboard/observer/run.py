"""One run: its identity, its generations, its end. Fills in what the said values imply, publishes and writes them.

Knows the instruments and the run directory; knows no port and no torch. Methods may raise: the observer swallows.
"""

import math
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dashboard.catalogue import evolution, experts
from dashboard.catalogue.spec import Metric
from dashboard.observer.failures import Failures
from dashboard.observer.instruments import Instruments, Samples
from dashboard.observer.names import LOG_NAMES
from dashboard.observer.rundirectory import RunDirectory, git_sha
from dashboard.observer.values import Family, LabelValues, own_labels

Said = dict[Metric, Family]
Where = Callable[[bool], Mapping[str, str]]  # ids of the trace here; True: something will refer to it

LONGEST_LABEL = 128  # characters of a configuration value on evolution_run_info
MOST_LABELS = 32  # configuration keys on evolution_run_info; run.json holds them all
RESERVED = {"run_id", "run_name", "git_sha", "job", "instance", "le", "quantile"}


@dataclass(frozen=True, slots=True)
class Topology:
    """A routing mask as said by the loop. `matrix` is (T tokens, E experts) of 0 and 1."""

    matrix: list[list[int]]
    top_k: int | None
    fitness: float | None

    @classmethod
    def read(cls, said: Any) -> "Topology":
        """Take a matrix (lists, numpy, torch), or a mapping with `matrix` and optionally `top_k`, `fitness`.

        Raises:
            TypeError, ValueError: not a rectangle of numbers.
        """
        parts: Mapping[str, Any] = said if isinstance(said, Mapping) else {"matrix": said}
        rows = parts["matrix"].tolist() if hasattr(parts["matrix"], "tolist") else parts["matrix"]
        matrix = [[int(bool(cell)) for cell in row] for row in rows]
        if len({len(row) for row in matrix}) != 1:
            raise ValueError("a topology is a matrix of tokens × experts")
        top_k, fitness = parts.get("top_k"), parts.get("fitness")
        return cls(
            matrix,
            None if top_k is None else int(top_k),
            None if fitness is None else _finite(float(fitness)),
        )


class Run:
    """A run in progress. Use it as a context: leaving it finishes the run, an exception fails it and goes on up.

    Attributes: `run_id`, `name`, `state`, `error` (why it failed) and `directory`, where the run's files are (None: nowhere).
    """

    def __init__(
        self, name: str, config: Mapping[str, object], runs_dir: Path | None, instruments: Instruments,
        failures: Failures, ended: Callable[["Run"], None], where: Where = lambda _: {},
    ) -> None:  # fmt: skip
        now = datetime.now(UTC)
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64] or "run"
        self.run_id = f"{slug}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.name = name
        self.state = "running"
        self.error: str | None = None  # why it failed
        self.config = dict(config)
        self.git_sha: str | None = None
        self._instruments = instruments
        self._failures = failures
        self._ended = ended
        self._where = where
        self._pid = os.getpid()
        self._started = time.monotonic()
        self._last: tuple[int, float] | None = None  # generation, and when it ended (monotonic)
        self._best: tuple[float, int] | None = None  # best fitness so far, and its generation
        self._unwritten: Said = {}  # said without a generation since the last line
        self._lock = threading.RLock()
        self._files: RunDirectory | None = None
        with failures.swallowing("read the git commit"):
            self.git_sha = git_sha(Path.cwd())
        if runs_dir is not None:
            with failures.swallowing(f"open a run directory under {runs_dir}"):
                self._files = RunDirectory(runs_dir, self.run_id, name, self.config, self.git_sha)
        self.event("Run started", run_name=name, config=self.config)
        instruments.publish(self._state_samples())

    @property
    def directory(self) -> Path | None:
        """Where this run's files are; the loop may put its checkpoint there."""
        return None if self._files is None else self._files.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and not error.code)
        self.end(None if stopped else error)

    def pause(self) -> None:
        """Say that the run does not evolve for now; `resume` takes it up again."""
        self._become("paused", "Run paused")

    def resume(self) -> None:
        """Say that a paused run evolves again."""
        self._last = None  # a pause is no generation time
        self._become("running", "Run resumed")

    def end(self, error: BaseException | None = None) -> None:
        """Finish the run, or fail it with the error. Ending twice is ending once."""
        with self._lock:
            if self.state in {"finished", "failed"} or self._is_elsewhere():
                return
            reason = self.error = None if error is None else f"{type(error).__name__}: {error}"
            if error is None:
                self._become("finished", "Run finished")
            else:
                self.event(
                    "Evolution step failed", level="error", error_type=type(error).__name__,
                    error_message=str(error), generation=None if self._last is None else self._last[0],
                )  # fmt: skip
                self._become("failed", "Run failed", reason)
            if self._files is not None:
                with self._failures.swallowing("close the run directory"):
                    self._files.close()
            self._ended(self)

    def event(self, event: str, level: str = "info", **fields: object) -> None:
        """Write one structured line to events.jsonl."""
        if self._files is not None and not self._is_elsewhere():
            with self._failures.swallowing("write events.jsonl"):
                self._files.event(event, level, {**self._where(level == "error"), **fields})

    def report(
        self,
        said: Said,
        step: int | None,
        topology: Topology | None = None,
        elapsed_seconds: float | None = None,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        """Publish what was said, all at once, and write the generation's line.

        `elapsed_seconds` is the loop's own clock; the time since the run began where it has none. Without a step the values are published and go into the next generation's line. `trace` are the ids of the generation's trace.
        """
        with self._lock:
            if step is not None:
                said = {**self._implied(said, step, topology), **said}
            self._instruments.publish(
                {metric: self._samples(metric, found, step) for metric, found in said.items()}
            )
            self._unwritten.update(said)
            if step is None:
                return
            self._last = (step, time.monotonic())
            line, self._unwritten = self._unwritten, {}
            if self._files is not None:
                with self._failures.swallowing("write generations.jsonl"):
                    self._files.generation({**self._fields(line, elapsed_seconds), **(trace or {})})
                if topology is not None:
                    with self._failures.swallowing("write topology.json"):
                        fitness = topology.fitness if topology.fitness is not None else self._said_best(said)
                        self._files.topology(
                            topology.matrix, step, fitness, topology.top_k or self._configured_top_k()
                        )

    def info_labels(self) -> LabelValues:
        """Label values of `evolution_run_info`: the declared ones, then the scalar configuration as `name=value`."""
        pairs = {"run_name": self.name, "git_sha": self.git_sha or ""}
        for key, value in self.config.items():
            if isinstance(value, (str, int, float, bool)) and len(pairs) < MOST_LABELS:
                label = re.sub(r"[^a-zA-Z0-9_]", "_", str(key))
                if label in RESERVED or not re.match(r"[a-zA-Z]", label):
                    label = f"config_{label}"
                pairs[label] = str(value)[:LONGEST_LABEL]
        return (self.run_id, *(f"{label}={value}" for label, value in pairs.items() if value))

    def generation_ended(self, step: int) -> bool:
        """Whether a report for `step` closes a generation that was not reported before."""
        return self._last is None or self._last[0] != step

    def _is_elsewhere(self) -> bool:
        """Whether this is a forked worker, which is not the run: it must not end it or write for it."""
        return os.getpid() != self._pid

    def _become(self, state: str, event: str, error: str | None = None) -> None:
        with self._lock:
            if self._is_elsewhere():
                return
            self.state = state
            if self._files is not None:
                with self._failures.swallowing("write run.json"):
                    self._files.state(state, error)
            self.event(event, level="error" if error else "info", **({"error": error} if error else {}))
            self._instruments.publish(self._state_samples())

    def _state_samples(self) -> dict[Metric, Samples]:
        active = dict(self._instruments.published(evolution.RUN_ACTIVE))
        states = dict(self._instruments.published(evolution.RUN_STATE))
        info = dict(self._instruments.published(evolution.RUN_INFO))
        active[(self.run_id,)] = float(self.state == "running")
        states.update({(self.run_id, state): float(state == self.state) for state in evolution.STATES})
        info[self.info_labels()] = 1.0
        return {evolution.RUN_ACTIVE: active, evolution.RUN_STATE: states, evolution.RUN_INFO: info}

    def _implied(self, said: Said, step: int, topology: Topology | None) -> Said:
        """Values that follow from what was said and from the clock; a value said by the loop itself wins."""
        implied: Said = {
            evolution.GENERATION: {(): float(step)},
            evolution.LAST_GENERATION: {(): time.time()},
        }
        if self._last is not None and step == self._last[0] + 1:
            implied[evolution.GENERATION_DURATION] = {(): time.monotonic() - self._last[1]}
        if self._best is not None and step < self._best[1]:
            self._best = None  # the loop started again
        best = self._said_best(said)
        if best is not None and (self._best is None or best > self._best[0]):
            self._best = (best, step)
        if evolution.BEST in said and self._best is not None:
            implied[evolution.SINCE_IMPROVEMENT] = {(): float(step - self._best[1])}
        if topology is not None:
            cells = [cell for row in topology.matrix for cell in row]
            if cells:
                implied[experts.CONNECTIONS] = {(): float(sum(cells))}
                implied[experts.SPARSITY] = {(): 1 - sum(cells) / len(cells)}
        return implied

    @staticmethod
    def _said_best(said: Said) -> float | None:
        return _finite(said.get(evolution.BEST, {}).get(()))

    def _configured_top_k(self) -> int | None:
        top_k = self.config.get("top_k")
        return top_k if isinstance(top_k, int) else None

    def _samples(self, metric: Metric, found: Family, step: int | None) -> Samples:
        head = (self.run_id,) if "run_id" in metric.labels else ()
        kept: dict[LabelValues, float] = {}
        again = step is None or (self._last is not None and self._last[0] == step)
        if again and "layer" in metric.labels:  # a second report of a generation may bring a further layer
            layers = {values[0] for values in found}
            kept = {
                values: value
                for values, value in self._instruments.published(metric).items()
                if values[1] not in layers
            }
        for values, value in found.items():
            if value is not None and math.isfinite(value):
                kept[head + values] = value
        return kept

    def _fields(self, line: Said, elapsed_seconds: float | None) -> dict[str, object]:
        if elapsed_seconds is None:
            elapsed_seconds = round(time.monotonic() - self._started, 6)
        fields: dict[str, object] = {"elapsed_time_seconds": elapsed_seconds}
        for metric, found in line.items():
            if metric is evolution.LAST_GENERATION:
                continue  # the line's own timestamp says it
            name = LOG_NAMES.get(metric.name, metric.name)
            if not own_labels(metric):
                value = found.get(())
                if value is not None:
                    fields[name] = _whole(value)
            else:
                fields[name] = _nested(found)
        return fields


def _nested(found: Family) -> dict[str, object]:
    """Label values → nested objects; an absent optional label makes no level."""
    nested: dict[str, Any] = {}
    for values, value in found.items():
        if value is None:
            continue
        *path, last = [text for text in values if text]
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[last] = _whole(value)
    return nested


def _whole(value: float) -> float | int | None:
    """Counts are written without a decimal point; NaN and infinities become null in the JSON."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
