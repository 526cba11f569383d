"""What a run is asked to do: profile, device, cells. Plain data, written to spec.json before anything starts.

Knows no torch and reads no device; sizes for CPU and GPU come from the same tables by device kind.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = 1

DeviceKind = Literal["cpu", "cuda"]
Backend = Literal["local", "slurm"]
Scalar = str | int | float


class SpecError(ValueError):
    """A spec cannot be read; the message says which part."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One point on the axes, e.g. batch=8, sequence=64, dtype=float32, skew=uniform."""

    params: Mapping[str, Scalar]

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> str:
        """Its name in reports and comparisons; the same parameters give the same key."""
        return " ".join(f"{name}={value}" for name, value in self.params.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How much is measured. A launch is one process that measures every cell once, in its own order."""

    name: str
    launches: int
    limit_seconds: float  # of the whole run from the lease on; then it is timed out
    stall_seconds: float  # without a sign of life from the worker; then its cell is given up
    cell_seconds: float  # longest a cell is measured in one launch, over its passes
    precision: float  # stop when the CI of the median is within this share of it, on either side
    min_calls: int = 30
    max_calls: int = 4000
    grace_seconds: float = 5.0  # between asking a worker to stop and killing it

    @property
    def soft_limit_seconds(self) -> float:
        """Nothing new is begun after this; what was measured until then is the result."""
        return 0.85 * self.limit_seconds


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick", launches=1, limit_seconds=60, stall_seconds=30, cell_seconds=2.0, precision=0.01
        ),
        Profile(
            name="standard",
            launches=5,
            limit_seconds=300,
            stall_seconds=60,
            cell_seconds=1.5,
            precision=0.005,
        ),
        Profile(
            name="full",
            launches=7,
            limit_seconds=1800,
            stall_seconds=120,
            cell_seconds=3.0,
            precision=0.0025,
        ),
    )
}

# batch × sequence. Sequence 1 is decode. A CPU gets smaller sizes, not different code.
_SIZES: dict[DeviceKind, dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "cpu": {
        "quick": ((1, 8, 32), (1, 16)),
        "standard": ((1, 4, 16, 32), (1, 16, 64)),
        "full": ((1, 4, 16, 32), (1, 16, 64)),
    },
    "cuda": {
        "quick": ((1, 8, 64), (1, 512)),
        "standard": ((1, 4, 16, 64), (1, 128, 512)),
        "full": ((1, 4, 16, 64), (1, 128, 512)),
    },
}
SKEWS = ("uniform", "zipf", "one-hot")


# How the experts are computed beside what the layer chooses by itself: at the smallest sizes, and at the largest. `gather`
# copies the weights for every token, `dense` computes every expert for every token: each is left out where that explodes.
_EXPERTS: dict[DeviceKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cpu": (("loop", "gather", "dense"), ("loop",)),
    "cuda": (("loop", "gather"), ("loop",)),
}
# What torch.compile takes whole: grouped products are traced in bfloat16 alone, so a CPU's float32 compiles other paths.
# Each with the sizes it is compiled for: 0 the smallest, 1 the largest.
_COMPILED: dict[DeviceKind, tuple[tuple[int, dict[str, Scalar]], ...]] = {
    "cpu": ((0, {"experts": "gather"}), (0, {"experts": "dense"})),
    "cuda": ((0, {}), (1, {})),
}


def cells(
    profile: str, kind: DeviceKind, *, half_precision: bool, sequence: int | None = None
) -> tuple[Cell, ...]:
    """The standard axes: batch × sequence × dtype; in the full profile also routing skew.

    How experts are computed, and torch.compile (not in the quick profile, whose minute it would take), vary at the
    smallest and the largest sizes alone, in the dtype models are served in; compiled anew in every launch.

    Args:
        half_precision: measure bfloat16 too, on a CPU in the full profile; without bfloat16 units it would be emulated.
        sequence: the one sequence length the target accepts, where it accepts only one.
    """
    batches, sequences = _SIZES[kind][profile]
    if sequence is not None:
        sequences = (sequence,)
    dtypes: tuple[str, ...] = ("bfloat16",) if kind == "cuda" and profile == "quick" else ("float32",)
    if half_precision and (profile == "full" or (kind == "cuda" and profile == "standard")):
        dtypes = ("bfloat16", "float32") if kind == "cuda" else ("float32", "bfloat16")
    skews = SKEWS if profile == "full" else SKEWS[:1]
    plain = tuple(
        Cell({"batch": batch, "sequence": length, "dtype": dtype, "skew": skew})
        for dtype in dtypes
        for skew in skews
        for length in sequences
        for batch in batches
    )
    corners: tuple[dict[str, Scalar], ...] = tuple(
        {"batch": batch, "sequence": length, "dtype": dtypes[0], "skew": SKEWS[0]}
        for batch, length in ((batches[0], sequences[0]), (batches[-1], sequences[-1]))
    )
    varied = [
        Cell({**corner, "experts": experts})
        for corner, names in zip(corners, _EXPERTS[kind], strict=True)
        for experts in (names if profile != "quick" else names[:1])
    ]
    if profile != "quick":
        varied += [Cell({**corners[which], **how, "compile": "inductor"}) for which, how in _COMPILED[kind]]
    return tuple(dict.fromkeys((*plain, *varied)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a run measures."""

    kind: DeviceKind
    uuid: str = ""  # of the GPU or MIG slice; NVML order and CUDA order differ, so nothing is named by index
    name: str = ""

    @property
    def lease(self) -> str:
        """What its lock file is called."""
        if self.kind == "cpu":
            return "cpu"
        return self.uuid if self.uuid.startswith("MIG-") else f"gpu-{self.uuid.removeprefix('GPU-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two working trees that alternate in a re-baseline run."""

    name: Literal["base", "candidate"]
    revision: str
    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Everything a run needs to know, and everything a later reader needs to know about what was asked."""

    run_id: str
    target: str
    factory: str  # package.module:factory, from the operator's list or our own; never from a browser
    profile: Profile
    device: Device
    cells: tuple[Cell, ...] | None  # None: the factory says, in the first launch
    created_at: str  # ISO-8601, UTC
    mark: str  # carried by every process of the run
    lease_directory: str
    working_directory: str
    arguments: Mapping[str, Scalar] = field(default_factory=dict)
    owner: str = ""
    seed: int = 20_240_607
    threads: int = 1  # torch's, on a CPU: one is the quietest and the most comparable
    sides: tuple[Side, ...] = ()
    backend: Backend = "local"
    recheck: bool = True  # measure cells that look changed again
    memory_limit_bytes: int = 0  # of a worker and all it starts; 0: a share of what is free, see `memory`
    expected_seconds: float = 0.0  # how long it will have the device, for those who wait behind it
    schema: int = SCHEMA

    def hash(self) -> str:
        """The same for two runs that were asked the same question, whoever asked and when."""
        asked = {
            "target": self.target,
            "factory": self.factory,
            "arguments": {k: v for k, v in self.arguments.items() if not k.endswith("_file")},
            "device": self.device.kind,
            "cells": None if self.cells is None else [dict(cell.params) for cell in self.cells],
            "seed": self.seed,
            "threads": self.threads,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def dumps(self) -> str:
        """As JSON text."""
        plain = asdict(self)
        plain["cells"] = None if self.cells is None else [dict(cell.params) for cell in self.cells]
        plain["arguments"] = dict(self.arguments)
        return json.dumps(plain, indent=1)


def loads(text: str) -> Spec:
    """Read a spec back.

    Raises:
        SpecError: not JSON, parts missing, or written by a newer version.
    """
    try:
        plain: dict[str, Any] = json.loads(text)
        if plain["schema"] > SCHEMA:
            raise SpecError(f"the spec has schema {plain['schema']}; this version reads up to {SCHEMA}")
        found = plain["cells"]
        plain["cells"] = None if found is None else tuple(_cell(params) for params in found)
        plain["profile"] = _profile(plain["profile"])
        plain["device"] = Device(**plain["device"])
        plain["arguments"] = _arguments(plain.get("arguments", {}))
        plain["sides"] = tuple(Side(**side) for side in plain["sides"])
        return Spec(**plain)
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as why:
        raise SpecError(f"the spec cannot be read ({type(why).__name__}: {why})") from why


def _cell(params: Any) -> Cell:
    if not _plain_table(params):
        raise TypeError("a cell is not a table of texts and numbers")
    return Cell(params)


def _arguments(params: Any) -> Mapping[str, Scalar]:
    if not _plain_table(params):
        raise TypeError("the arguments are not a table of texts and numbers")
    return dict(params)


def _plain_table(params: object) -> bool:
    return isinstance(params, dict) and all(isinstance(value, str | int | float) for value in params.values())


def _profile(plain: Mapping[str, Any]) -> Profile:
    profile = Profile(**plain)
    if not all(isinstance(value, int | float) for name, value in plain.items() if name != "name"):
        raise TypeError("a profile holds something that is no number")
    return profile
