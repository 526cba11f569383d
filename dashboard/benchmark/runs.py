"""Benchmarks as pages and the command line see them: choose a target, start, watch, cancel, look back.

Starting hands over to a detached supervisor; nothing here measures, waits or keeps a thread. What a run's
state is, its directory says; this object can be thrown away and made again at any time.
"""

import hashlib
import os
import re
import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.benchmark import gpu, lease, processes, slurm, starting, targets
from dashboard.benchmark.directory import TERMINAL, RunDirectory, State
from dashboard.benchmark.index import Index, RunSummary
from dashboard.benchmark.progress import Progress, follow
from dashboard.benchmark.spec import PROFILES, Backend, Device, Profile, Side, Spec, SpecError
from dashboard.benchmark.starting import CannotStart
from dashboard.benchmark.targets import Target
from dashboard.processes import Identity
from dashboard.settings import Settings

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]{1,40}-[a-z]{1,20}-[0-9a-f]{6}")


class NoSuchRun(KeyError):
    """No run has this id."""

    def __str__(self) -> str:
        return f"there is no benchmark run {self.args[0]!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run, as far as it is now."""

    summary: RunSummary
    state: State
    progress: Progress
    error: str  # "<state>: <sentence>", then the tail of the details; empty unless it ended badly
    cancel_asked_by: str | None
    report: dict[str, Any] | None  # schema in `results`


class Benchmarks:
    """The benchmarks of one data directory.

    Args:
        data_dir: runs live in its `benchmarks/`.
        targets: names the operator allows, in the order they are shown.
        runs_dir: where observed routers write, for the target `observed-router`.
        lease_dir: where every dashboard of this host meets to share devices.
        models: further targets, name → Hugging Face configuration; see `targets`.
        slurm_options: sbatch's options; without any nothing runs through Slurm.
        memory_limit_bytes: of a run's worker and all it starts; 0: a share of what is free.
    """

    def __init__(
        self,
        data_dir: Path,
        targets: Sequence[str] = ("reference-moe", "observed-router"),
        runs_dir: Path | None = None,
        lease_dir: Path | None = None,
        models: Mapping[str, str] | None = None,
        slurm_options: Mapping[str, str] | None = None,
        memory_limit_bytes: int = 0,
    ) -> None:
        self._root = data_dir.absolute() / "benchmarks"
        self._models = dict(models or {})
        self._names = tuple(dict.fromkeys([*targets, *self._models]))
        self._runs_dir = runs_dir
        self._lease_dir = (lease_dir or lease.DIRECTORY).absolute()
        self._slurm_options = dict(slurm_options or {})
        self._memory_limit_bytes = memory_limit_bytes
        self._index = Index(self._root / "index.sqlite")
        self._swept: set[str] = set()

    @property
    def root(self) -> Path:
        """Where the run directories are."""
        return self._root

    @classmethod
    def of(cls, settings: Settings) -> "Benchmarks":
        """As the operator configured them."""
        return cls(
            settings.data_dir,
            settings.benchmark_targets,
            settings.runs_dir,
            settings.benchmark_lease_dir,
            settings.benchmark_models,
            settings.benchmark_slurm,
            int(settings.benchmark_memory_gib * 2**30),
        )

    def targets(self) -> tuple[Target, ...]:
        """Every configured target, and whether it can run now."""
        return tuple(targets.resolve(name, self._runs_dir, self._models) for name in self._names)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Where a run can be measured: on this machine, and through Slurm where it is configured."""
        return ("local", "slurm") if self._slurm_options else ("local",)

    def start(
        self,
        target: str,
        profile: str = "quick",
        device: str = "auto",
        owner: str = "",
        idempotency_key: str = "",
        sides: tuple[Side, ...] = (),
        adjust: Profile | None = None,
        backend: Backend = "local",
        *,
        recheck: bool = True,
    ) -> str:
        """Start a run and return its id at once; it runs on without us.

        Args:
            device: "auto", "cpu", "cuda", or the UUID of a GPU.
            idempotency_key: the same key gives the same run: a double click starts one.
            sides: two working trees to alternate; what `rebaseline` uses.
            adjust: a profile of the caller's own making instead of a shipped one.
            backend: this machine, or a node that Slurm gives.
            recheck: measure cells again that look changed against earlier runs.

        Raises:
            CannotStart: not a configured target, not available now, no such device, or no room.
        """
        chosen = self._target(target)
        if adjust is None and profile not in PROFILES:
            raise CannotStart(f"There is no profile {profile!r}; there are {', '.join(PROFILES)}.")
        slurm_asked = backend == "slurm"
        where = (
            starting.device_of_slurm(device, self._slurm_options)
            if slurm_asked
            else starting.device_here(device)
        )
        asked = adjust or PROFILES[profile]
        now = datetime.now(UTC)
        word = re.sub(r"[^a-z0-9]+", "-", target.lower()).strip("-")[:40]
        run_id = f"{now:%Y%m%dT%H%M%SZ}-{word}-{asked.name}-{secrets.token_hex(3)}"
        spec = Spec(
            run_id=run_id,
            target=target,
            factory=chosen.factory,
            profile=asked,
            device=where,
            cells=starting.standard_cells(chosen, profile if profile in PROFILES else "quick", where),
            created_at=now.isoformat(),
            mark=f"{run_id}-{secrets.token_hex(8)}",
            lease_directory=str(self._lease_dir),
            working_directory=str(Path.cwd()),
            arguments=chosen.arguments,
            owner=owner,
            sides=sides,
            backend=backend,
            recheck=recheck,
            memory_limit_bytes=self._memory_limit_bytes,
            expected_seconds=self._expected(target, asked, where),
        )
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            earlier = self._claim(idempotency_key, run_id)
            if earlier is not None:
                return earlier
            if slurm_asked:
                starting.through_slurm(self._root, spec, chosen.files, self._slurm_options)
            else:
                starting.here(self._root, spec, chosen.files)
        except OSError as why:
            self._unclaim(idempotency_key)
            raise CannotStart(f"The run could not be started: {why}.") from why
        return run_id

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run, newest first. Runs that ended are read once and remembered in the index."""
        names = self._ids()
        known = self._index.read(names)
        found: list[RunSummary] = []
        for name in names:
            summary = known.get(name) or self._summary(RunDirectory(self._root / name))
            if summary is None:
                continue
            found.append(summary)
            if name not in known and summary.state in TERMINAL:
                self._tidy(summary)
                self._index.write(summary)
        return tuple(found)

    def run(self, run_id: str) -> RunView:
        """One run, as far as it is now.

        Raises:
            NoSuchRun: no run has this id.
        """
        directory = self._directory(run_id)
        summary = self._summary(directory)
        if summary is None:
            raise NoSuchRun(run_id)
        if summary.state in TERMINAL:
            self._tidy(summary)
        spec = directory.spec()
        events, _ = directory.events()
        error = directory.error()
        if summary.state == "lost":
            error = f"died: {summary.sentence}\n\n{directory.log_tail()}"
        progress = follow(spec, events, summary.state, time.monotonic())
        if summary.state == "running" and spec.device.kind == "cuda":
            clock, power = gpu.last_look(directory.path / gpu.SAMPLES)
            progress = replace(progress, sm_clock_hertz=clock, power_watts=power)
        if spec.backend == "slurm" and not events and summary.state not in TERMINAL:
            progress = _waiting_in_slurm(directory.path, progress)
        return RunView(
            summary=summary,
            state=summary.state,
            progress=progress,
            error=error,
            cancel_asked_by=directory.cancel_request(),
            report=directory.report() if summary.state == "done" else None,
        )

    def earlier(self, run_id: str, limit: int = 20) -> list[dict[str, Any]]:
        """Reports of finished runs that were asked the same question before this one, newest first.

        Raises:
            NoSuchRun: no run has this id.
        """
        asked = self._summary(self._directory(run_id))
        if asked is None:
            raise NoSuchRun(run_id)
        before = [
            summary.run_id
            for summary in self.runs()
            if summary.state == "done"
            and summary.spec_hash == asked.spec_hash
            and summary.created_at < asked.created_at
        ]
        reports = (self._directory(name).report() for name in before[:limit])
        return [report for report in reports if report is not None]

    def directory(self, run_id: str) -> RunDirectory:
        """The run's directory, for exports and comparisons; raises NoSuchRun."""
        return self._directory(run_id)

    def cancel(self, run_id: str, who: str) -> State:
        """Ask a run to stop; returns its state now, which may still be running for a moment.

        Raises:
            NoSuchRun: no run has this id.
        """
        directory = self._directory(run_id)
        state = directory.state()
        if state in TERMINAL:
            return state
        try:
            directory.request_cancel(who)
            if slurm.submitted(directory.path) is not None:
                with suppress(slurm.Silent):  # the supervisor reads the request in any case
                    slurm.cancel(directory.path)
        except OSError:  # a full disk: the supervisor also listens to a signal
            for event in directory.events()[0]:
                if event["event"] == "supervisor started" and event.get("process"):
                    supervisor = Identity(**event["process"])
                    if supervisor.alive():
                        os.kill(supervisor.pid, signal.SIGTERM)
        return directory.state()

    def events(self, run_id: str, since_offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from a byte offset on, and the offset to go on from; raises NoSuchRun."""
        return self._directory(run_id).events(since_offset)

    # --- starting

    def _target(self, name: str) -> Target:
        if name not in self._names:
            raise CannotStart(
                f"{name!r} is not a configured benchmark target; configured are {', '.join(self._names)}."
            )
        chosen = targets.resolve(name, self._runs_dir, self._models)
        if not chosen.available:
            raise CannotStart(chosen.why_not)
        return chosen

    def _expected(self, target: str, asked: Profile, where: Device) -> float:
        """How long such a run takes: the median of earlier ones, else as long as it may."""
        took = sorted(
            (run.ended_at - run.started_at).total_seconds()
            for run in self.runs()
            if run.state == "done" and (run.target, run.profile, run.device) == (target, asked.name, where.kind)
            and run.started_at is not None and run.ended_at is not None
        )  # fmt: skip
        return took[len(took) // 2] if took else asked.soft_limit_seconds

    def _claim(self, key: str, run_id: str) -> str | None:
        """Take an idempotency key for this run; the run that has it already, if one has."""
        if not key:
            return None
        mine = self._key_file(key)
        mine.parent.mkdir(exist_ok=True)
        part = mine.with_name(f"{mine.name}.{secrets.token_hex(4)}")
        part.write_text(run_id, encoding="utf-8")
        try:
            os.link(part, mine)  # whole or not at all, and only for the first
        except FileExistsError:
            return mine.read_text(encoding="utf-8")
        finally:
            part.unlink()
        return None

    def _unclaim(self, key: str) -> None:
        if key:
            with suppress(OSError):
                self._key_file(key).unlink(missing_ok=True)

    def _key_file(self, key: str) -> Path:
        return self._root / ".keys" / hashlib.sha256(key.encode()).hexdigest()[:32]

    # --- looking

    def _ids(self) -> list[str]:
        try:
            names = [entry.name for entry in os.scandir(self._root)]
        except FileNotFoundError:
            return []
        return sorted((name for name in names if _RUN_ID.fullmatch(name)), reverse=True)

    def _directory(self, run_id: str) -> RunDirectory:
        if not _RUN_ID.fullmatch(run_id) or not (self._root / run_id).is_dir():
            raise NoSuchRun(run_id)
        return RunDirectory(self._root / run_id)

    def _summary(self, directory: RunDirectory) -> RunSummary | None:
        """Read from the directory; None when what was asked cannot be read."""
        try:
            spec = directory.spec()
        except (OSError, SpecError):
            return None
        state = self._state(directory)
        events, _ = directory.events()
        report = (directory.report() if state == "done" else None) or {}
        leased = next((e for e in events if e["event"] == "leased"), None)
        started = None if leased is None else leased["time"]
        ended = directory.ended_at()
        if leased is not None and ended is not None:  # the clock on the wall may have been set meanwhile
            seconds = events[-1]["monotonic_seconds"] - leased["monotonic_seconds"]
            ended = datetime.fromtimestamp(leased["time"] + seconds, UTC)
        sentence = ""
        if state == "lost":
            sentence = "the run was killed without a word; nothing was measured to its end"
            ended = datetime.fromtimestamp(events[-1]["time"], UTC) if events else None
        elif state in TERMINAL and state != "done":
            sentence = directory.error().partition("\n")[0].partition(": ")[2]
        headline = report.get("headline") or {}
        bad = [c for c in report.get("cells", []) if c["status"] not in ("ok", "skipped")]
        return RunSummary(
            run_id=spec.run_id,
            target=spec.target,
            profile=spec.profile.name,
            device=spec.device.kind,
            device_name=str((report.get("device") or {}).get("name") or spec.device.name),
            owner=spec.owner,
            state=state,
            sentence=sentence,
            created_at=datetime.fromisoformat(spec.created_at),
            started_at=None if started is None else datetime.fromtimestamp(started, UTC),
            ended_at=ended,
            p50_seconds=headline.get("p50_seconds"),
            samples_per_second=headline.get("samples_per_second"),
            headline=str(headline.get("key") or ""),
            spec_hash=str(report.get("spec_hash") or spec.hash()),
            env_key=str(report.get("env_key") or ""),
            failed_cells=len(bad),
            verdict=str((report.get("verdict") or {}).get("word") or ""),
        )

    def _state(self, directory: RunDirectory) -> State:
        """Where a run stands; what Slurm ended without a word from the run is written down while Slurm remembers it."""
        state = directory.state()
        if state != "lost" or (ended := slurm.ending(directory.path)) is None:
            return state
        asked = directory.cancel_request()
        word, sentence = ended
        if word == "cancelled" and asked is not None:
            sentence = f"by {asked or 'somebody'}; {sentence}"
        with suppress(OSError, RuntimeError):  # another dashboard wrote it down at the same moment
            directory.finish_with_error(word, sentence, directory.log_tail())
        return directory.state()

    def _tidy(self, summary: RunSummary) -> None:
        """End what a killed run left running; once is enough."""
        if summary.state == "lost" and summary.run_id not in self._swept:
            self._swept.add(summary.run_id)
            processes.sweep(self._directory(summary.run_id).spec().mark)


def _waiting_in_slurm(run: Path, progress: Progress) -> Progress:
    """What squeue says of a job that has not begun."""
    try:
        job = slurm.look(run.name)
        if job is None:
            return progress
        if not job.waits:
            return replace(progress, phase=f"starting on {job.nodes}")
        stands = slurm.standing(job)
    except slurm.Silent as why:
        return replace(progress, phase=f"Slurm does not answer ({why})")
    return replace(
        progress,
        phase=f"waiting in Slurm's queue ({stands.reason})",
        queue_position=stands.position,
        queue_holder=stands.holder,
        seconds_to_start=stands.seconds,
    )
