"""What is remembered of GPUs from look to look: uncorrected memory errors with when they came, and GPUs that are gone.

NVML tells a count of errors and a list of GPUs, and of neither since when. Errors that were counted before the first
look have no time: unknown, not now. A GPU that falls off the bus stays in the list as lost, or leaves it when the
driver is started anew; either way it was here, and that is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collectors.nvml import Gpu


@dataclass(frozen=True, slots=True)
class Errors:
    """Uncorrected memory errors of one GPU. Unix seconds; None: none came while it was watched."""

    gpu_id: str
    count: int  # since the driver was loaded
    before: int  # of them already there at the first look
    first_seen: float | None
    last_seen: float | None


@dataclass(frozen=True, slots=True)
class Gone:
    """A GPU that was well and is not any more."""

    gpu_id: str  # its index when it was last well
    uuid: str
    name: str | None
    last_well: float  # unix seconds
    why: str  # "lost", "reset required", or that the driver does not list it


class GpuWatch:
    """Told of every look, in order. Not safe for threads by itself."""

    def __init__(self) -> None:
        self._errors: dict[str, Errors] = {}
        self._well: dict[str, Gone] = {}  # by UUID
        self._gone: tuple[Gone, ...] = ()

    def look(self, gpus: Sequence[Gpu], now: float) -> None:
        """Take in what one look saw; no GPU at all where NVML did not answer."""
        for gpu in gpus:
            if gpu.uuid is not None and gpu.trouble is None:
                self._well[gpu.uuid] = Gone(gpu.gpu_id, gpu.uuid, gpu.name, now, "")
            if gpu.uuid is not None and gpu.ecc_uncorrected is not None:
                self._errors[gpu.uuid] = _counted(
                    self._errors.get(gpu.uuid), gpu.gpu_id, gpu.ecc_uncorrected, now
                )
        troubled = {gpu.gpu_id: gpu.trouble for gpu in gpus if gpu.trouble}
        here = {gpu.uuid for gpu in gpus if gpu.trouble is None}
        self._gone = tuple(
            replace(known, why=troubled.get(known.gpu_id) or "no longer in the driver's list")
            for uuid, known in sorted(self._well.items(), key=lambda item: item[1].gpu_id)
            if uuid not in here
        )

    @property
    def gone(self) -> tuple[Gone, ...]:
        """Which GPUs were well at some look and were not at the last one."""
        return self._gone

    @property
    def errors(self) -> tuple[Errors, ...]:
        """The uncorrected errors of every GPU that tells them."""
        return tuple(sorted(self._errors.values(), key=lambda one: one.gpu_id))


def _counted(known: Errors | None, gpu_id: str, count: int, now: float) -> Errors:
    """A count that fell was set back (the driver was loaded anew): what it holds came since."""
    if known is None:
        return Errors(gpu_id, count, count, None, None)
    if count == known.count:
        return replace(known, gpu_id=gpu_id)
    if count < known.count:
        known = replace(known, before=0)
        if count == 0:
            return replace(known, gpu_id=gpu_id, count=0)
    return Errors(gpu_id, count, known.before, known.first_seen or now, now)
