"""What a question of a runbook is: its name, what it is asked with, the unit of its answer, and who answers it.

A page names a question and gives it words; it never says how it is answered. Knows no page and no Streamlit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from collectors.logs import LogPage
from collectors.nvml import GpuProcess
from dashboard.benchmark.index import RunSummary
from dashboard.catalogue.spec import Metric
from dashboard.catalogue.units import Unit
from dashboard.runbooks.calls import Parameter
from dashboard.sampler import Look

Source = Literal["nvml", "log", "benchmark"]
SOURCES: tuple[Source, ...] = ("nvml", "log", "benchmark")

History = tuple[NDArray[np.float64], NDArray[np.float64]]  # unix seconds, rising, and values; both (n,)
Trace = Mapping[str, History]  # by line
Tail = Callable[..., LogPage]  # the keywords of `collectors.logs.tail`


class Watched(Protocol):
    """This machine as it is looked at once a second; `dashboard.sampler.Sampler` is one."""

    @property
    def latest(self) -> Look | None:
        """The last look; None before the first."""

    def history(
        self, metric: Metric | str, labels: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> History:
        """Times and values of one series."""


class Benchmarked(Protocol):
    """Benchmark runs; `dashboard.benchmark.runs.Benchmarks` is one."""

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run, newest first."""


@dataclass(frozen=True, slots=True)
class Origins:
    """What questions are answered from, at one moment.

    Args:
        log: where the lines of a run, or of all ("") are; None where there is no log.
        uuids: the UUIDs under which Prometheus knows the GPUs of an instance, by (instance, gpu_id or "" for all);
            empty where it knows none, raises Unavailable where it cannot be asked.
        is_here: whether an instance names this machine for certain.
        processes: who holds memory on a GPU of this machine, by its index.
        now: unix seconds.
    """

    sampler: Watched
    benchmarks: Benchmarked
    log: Callable[[str], Tail | None]
    uuids: Callable[[str, str], Sequence[str]]
    is_here: Callable[[str], bool]
    processes: Callable[[str], Sequence[GpuProcess]]
    now: float


@dataclass(frozen=True, slots=True)
class Point:
    """One value of an answer and what tells it from the others."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Found:
    """An answer. No point: there is no such thing, and that is known; what cannot be known raises Unavailable."""

    points: tuple[Point, ...]
    looked_at: float  # unix seconds
    words: str = ""  # what was found, in the source's own words: a line of the log, the names of processes
    trace: Trace = field(default_factory=dict)  # how it went before; empty: there is nothing to draw


@dataclass(frozen=True, slots=True)
class Question:
    """One question that may be asked, and how it is answered (raises Unavailable where nobody can tell)."""

    source: Source
    name: str  # ends in its unit
    unit: Unit
    about: str
    answer: Callable[[Origins, Mapping[str, str]], Found]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
