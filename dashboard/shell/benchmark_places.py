"""Where a benchmark can be started from the page: on this machine, through Slurm, or on another host of the shared store."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboard.sources import Sources
from dashboard.store import Author

HERE, SLURM = "", "slurm"
SLURM_DEVICES = {"auto": "As configured for Slurm", "cpu": "CPU"}


@dataclass(frozen=True, slots=True)
class Where:
    """One choice, in the words of the page."""

    name: str
    targets: Mapping[str, str]  # name → why it cannot run now
    devices: Mapping[str, str]  # as `Benchmarks.start` takes them → for people
    told: Mapping[str, str] = field(default_factory=dict)  # target → what it is
    silent: str = ""  # why nothing can be asked of it now
    refused: tuple[tuple[str, str], ...] = ()  # who asked in vain lately, and why

    def why_not(self, target: str) -> str:
        """Why this target cannot be started there now; empty if it can."""
        return self.silent or self.targets.get(target, "")

    def about(self, target: str) -> str:
        """What the target is."""
        return self.told.get(target, f"{target} on {self.name}.")


def all_of(sources: Sources) -> dict[str, Where]:
    """Every choice by its key; this machine comes first."""
    known = sources.benchmarks.targets()
    targets = {target.name: target.why_not for target in known}
    told = {target.name: target.about for target in known}
    found = {HERE: Where("This machine", targets, sources.benchmark_devices(), told)}
    if SLURM in sources.benchmarks.backends:
        found[SLURM] = Where("Through Slurm", targets, SLURM_DEVICES, told)
    for place in sources.benchmark_hosts.places():
        silent = (
            ""
            if place.silent_seconds is None
            else f"{place.name} has not been heard of for {place.silent_seconds:.0f} s."
        )
        found[place.place] = Where(
            place.name, place.targets, place.devices, silent=silent, refused=sources.benchmark_hosts.refused(place.place)[:3]
        )  # fmt: skip
    return found


def start(
    sources: Sources, target: str, profile: str, device: str, where: str, *, who: Author, idempotency_key: str
) -> str | None:
    """Start there; the run's id, None where another host was asked and has yet to take it up.

    Raises:
        CannotStart: what is asked cannot be started.
        Unavailable: the store, by which other hosts are asked, cannot be used.
    """
    if where in (HERE, SLURM):
        return sources.benchmarks.start(
            target,
            profile,
            device,
            owner=who.name,
            idempotency_key=idempotency_key,
            backend="slurm" if where == SLURM else "local",
        )
    sources.benchmark_hosts.ask_to_start(
        where, who=who.name, target=target, profile=profile, device=device, idempotency_key=idempotency_key
    )
    return None
