"""What a benchmark target is: a factory that makes one workload per cell. No torch here; a factory may use it.

    def factory(cell: Cell, device: str, arguments: Mapping) -> Workload

A factory may carry a function `cells(profile_name, device_kind) -> list[dict]` as attribute, when its axes
are not the standard ones, and may raise `Skip` for a cell that makes no sense for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashboard.benchmark.spec import Cell, Scalar


class Skip(Exception):
    """This cell does not apply; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is timed, and what it takes to know that the answer was right."""

    call: Callable[[Any], Any]  # timed; one input → its output
    make_input: Callable[[int], Any]  # seed → one input, on the device, random and never zeros
    samples: int  # sequences, requests or individuals per call
    tokens: int  # per call; equal to samples where there are none
    error: Callable[[Any, Any], float] | None = (
        None  # (input, output) → relative error against an fp64 reference
    )
    error_limit: float = 0.0  # above this the cell is wrong, however fast
    input_bytes: int = 0  # of one input and what is read with it, to rotate past the caches
    flops: float | None = None  # per call
    bytes_moved: float | None = None  # least memory traffic per call
    details: Mapping[str, Any] = field(
        default_factory=dict
    )  # plain data: shapes, tokens per expert, path taken
    after_each: Callable[[Any], None] | None = None  # untimed, e.g. to advance a state


class Factory(Protocol):
    """How a target is called in the worker."""

    def __call__(self, cell: Cell, device: str, arguments: Mapping[str, Scalar]) -> Workload:
        """Build one cell's workload; may raise `Skip`."""
