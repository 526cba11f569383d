"""Slurm as the place where a run measures: submitted through submitit, looked at by squeue, stopped by scancel.

The job runs the same supervisor in the same run directory, which the node must see under the same path. A job's name is
its run's id, so whoever looks needs no number that a crash could have kept from being written down. Accounting (sacct)
is asked only for what squeue has forgotten; a cluster without it does. Options come from the operator's settings alone.
"""

import json
import math
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

FILE = "slurm.json"  # in the run directory: what was submitted, and the job's number once Slurm gave one
LOGS = "slurm"  # beside it: what sbatch, srun and slurmstepd said

_LIMIT_NEAR_SECONDS = 30  # before Slurm's own time limit the supervisor is told, so that it can say so
_START_UP_MINUTES = 5  # on top of the profile's limit, where the operator set no time
_GPU_OPTIONS = ("gres", "gpus", "gpus-per-node", "gpus-per-task")
_COMMAND_SECONDS = 10.0
_FRESH_SECONDS = 1.0
_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED", "RESV_DEL_HOLD", "REQUEUE_HOLD", "SPECIAL_EXIT"})  # fmt: skip
_LIVING = _WAITING | {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING", "STOPPED"}


class Silent(Exception):
    """Slurm cannot be asked now; the message is its own. Nothing is known about any job then."""


class Refused(Exception):
    """Slurm did not take the job, or cannot be used here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as squeue tells it. Times are unix seconds; None is not known."""

    number: int
    name: str
    state: str  # Slurm's word: PENDING, RUNNING, TIMEOUT …
    reason: str
    user: str
    partition: str
    priority: int
    start: float | None  # expected, while it waits
    end: float | None
    nodes: str

    @property
    def waits(self) -> bool:
        """Whether it has not been given a node yet."""
        return self.state in _WAITING

    @property
    def lives(self) -> bool:
        """Whether it will run, runs, or is just being cleaned up."""
        return self.state in _LIVING


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a waiting job stands among those of its partition."""

    position: int  # 1 is next
    holder: dict[str, Any] | None  # run_id, owner, since: who runs there and is expected to end first
    seconds: float | None  # until it starts, as Slurm or the running job's time limit says
    reason: str


# --- submitting


def wants_gpu(options: Mapping[str, str]) -> bool:
    """Whether the operator's options ask for a GPU."""
    return any(name in options for name in _GPU_OPTIONS)


def submit(
    run: Path,
    options: Mapping[str, str],
    *,
    limit_seconds: float,
    gpu: bool,
    passed: Mapping[str, str],
) -> int:
    """Hand a run over to Slurm; returns the job's number.

    Args:
        run: its directory, made already, on a file system that the nodes share.
        options: sbatch's long options, from the settings.
        limit_seconds: of the run's profile; with the time to start it is the job's limit, unless the options set one.
        gpu: False leaves the options' GPU request out: who measures on a CPU holds no GPU.
        passed: the environment of the supervisor; nothing else of ours leaves this process.

    Raises:
        Refused: submitit or Slurm is missing, or Slurm's own words why not.
    """
    try:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError
    except ImportError as why:
        raise Refused(
            'submitit is not installed; pip install "moe-router-dashboard[slurm]" brings it.'
        ) from why
    said = {name.replace("_", "-"): value for name, value in options.items()}
    if not gpu:
        said = {name: value for name, value in said.items() if name not in _GPU_OPTIONS}
    additional: dict[str, Any] = {
        "time": math.ceil(limit_seconds / 60) + _START_UP_MINUTES,
        **{name: True if value.lower() == "true" else value for name, value in said.items()},
        "no-requeue": True,  # a run that was interrupted is lost, never measured twice
        "export": ",".join(name for name in sorted(passed) if name in os.environ) or "NONE",
        "open-mode": "append",
    }
    write(run, {"name": run.name, "options": dict(options)})
    try:
        executor = SlurmExecutor(folder=run / LOGS)
        executor.update_parameters(
            job_name=run.name,
            signal_delay_s=_LIMIT_NEAR_SECONDS,
            setup=[f"export {name}={shlex.quote(passed[name])}" for name in ("PYTHONPATH", "PYTHONUNBUFFERED") if name in passed],
            srun_args=["--export=ALL"],
            additional_parameters=additional,
        )  # fmt: skip
        job = executor.submit(supervise, str(run))
    except (FailedSubmissionError, FailedJobError, OSError, RuntimeError, subprocess.SubprocessError) as why:
        raise Refused(f"Slurm did not take the job: {_sentence(why)}") from why
    write(run, {"name": run.name, "options": dict(options), "job_id": int(job.job_id)})
    _forget()
    return int(job.job_id)


def supervise(run: str) -> None:
    """What the job runs: becomes the supervisor, so that Slurm's signals reach it and its exit code is the job's."""
    os.execv(  # noqa: S606 (no shell is wanted)
        sys.executable, [sys.executable, "-m", "dashboard.benchmark.supervisor", run, "--slurm"]
    )


def write(run: Path, facts: Mapping[str, Any]) -> None:
    """Say in the run directory that it is Slurm's; the file appears whole."""
    part = run / f"{FILE}.part"
    part.write_text(json.dumps(facts), encoding="utf-8")
    part.rename(run / FILE)


def submitted(run: Path) -> dict[str, Any] | None:
    """What was submitted; None for a run that is not Slurm's."""
    try:
        found = json.loads((run / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- looking


def alive(run: Path) -> bool:
    """Whether Slurm still has a run that is its own. While Slurm does not answer nothing is declared dead."""
    if not (run / FILE).exists():
        return False
    try:
        job = look(run.name)
    except Silent:
        return True
    return job is not None and job.lives


def look(name: str) -> Job | None:
    """The job of this name; None when Slurm has none, or has forgotten it.

    Raises:
        Silent: Slurm does not answer.
    """
    found = _jobs("--states=all", f"--name={name}")
    return found[-1] if found else _remembered(name)


def standing(job: Job) -> Standing:
    """Where a waiting job stands.

    Raises:
        Silent: Slurm does not answer.
    """
    there = _jobs(f"--partition={job.partition}")
    waiting = sorted(
        (other for other in there if other.waits), key=lambda other: (-other.priority, other.number)
    )
    running = [other for other in there if other.state == "RUNNING"]
    first = min(running, key=lambda other: other.end or math.inf, default=None)
    start = job.start
    if start is None and first is not None:
        start = first.end
    return Standing(
        position=1 + next((i for i, other in enumerate(waiting) if other.number == job.number), 0),
        holder=None
        if first is None
        else {"run_id": first.name, "owner": first.user, "since": first.start, "job": first.number},
        seconds=None if start is None else max(0.0, start - time.time()),
        reason=job.reason,
    )


Ending = Literal["failed", "cancelled", "timed out"]
_ENDINGS: dict[str, tuple[Ending, str]] = {
    "CANCELLED": ("cancelled", "the job was cancelled in Slurm"),
    "TIMEOUT": ("timed out", "Slurm's time limit was reached"),
    "DEADLINE": ("timed out", "Slurm's deadline was reached"),
    "NODE_FAIL": ("failed", "its node failed"),
    "BOOT_FAIL": ("failed", "its node did not boot"),
    "OUT_OF_MEMORY": ("failed", "it took more memory than the job was given"),
    "PREEMPTED": ("failed", "another job took its place (preempted)"),
}


def ending(run: Path) -> tuple[Ending, str] | None:
    """How Slurm ended a run that did not say so itself; None when that is not known, and the run is lost."""
    if not (run / FILE).exists():
        return None
    try:
        job = look(run.name)
    except Silent:
        return None
    if job is None or job.lives or job.state not in _ENDINGS:
        return None
    state, sentence = _ENDINGS[job.state]
    node = f" on {job.nodes}" if job.nodes else ""
    return state, f"{sentence} (job {job.number}{node}: {job.state})"


def cancel(run: Path) -> None:
    """scancel. A job that waits is gone at once; one that runs is asked, and killed after Slurm's KillWait.

    Raises:
        Silent: Slurm does not answer.
    """
    _ask("scancel", f"--name={run.name}")
    _forget()


def log_tail(run: Path, limit_bytes: int) -> str:
    """The end of what Slurm itself said about a run, e.g. that a node failed or the time was up."""
    said = []
    with suppress(OSError):
        for path in sorted((run / LOGS).glob("*_log.*")):
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - limit_bytes))
                said.append(file.read().decode(errors="replace"))
    return "".join(said)[-limit_bytes:]


_COLUMNS = ("%i", "%j", "%T", "%r", "%u", "%P", "%Q", "%S", "%e", "%N")
_lock = threading.Lock()
_answers: dict[tuple[str, ...], tuple[float, str]] = {}


def _jobs(*which: str) -> list[Job]:
    """Jobs in squeue's order. What Slurm said a second ago is not asked again: many viewers cost what one does."""
    command = ("squeue", "--noheader", f"--format={'|'.join(_COLUMNS)}", *which)
    with _lock:
        at, text = _answers.get(command, (-math.inf, ""))
        if time.monotonic() - at > _FRESH_SECONDS:
            text = _ask(*command)
            if len(_answers) > 256:
                _answers.clear()
            _answers[command] = (time.monotonic(), text)
    return [_job(line.split("|")) for line in text.splitlines() if line.count("|") == len(_COLUMNS) - 1]


def _forget() -> None:
    with _lock:
        _answers.clear()


def _job(words: Sequence[str]) -> Job:
    number, name, state, reason, user, partition, priority, start, end, nodes = (
        word.strip() for word in words
    )
    return Job(
        number=int(number.partition("_")[0]),
        name=name,
        state=state,
        reason=reason,
        user=user,
        partition=partition,
        priority=int(priority) if priority.isdigit() else 0,
        start=_time(start),
        end=_time(end),
        nodes=nodes,
    )


def _time(text: str) -> float | None:
    """Slurm writes the controller's local time without its zone."""
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        return None  # N/A, Unknown


def _remembered(name: str) -> Job | None:
    """What accounting kept of a job; None without accounting."""
    try:
        text = _ask("sacct", "--noheader", "--parsable2", "--allocations", f"--name={name}", "--starttime=now-30days",
                    "--format=JobIDRaw,State,NodeList")  # fmt: skip
    except Silent:
        return None
    for line in reversed(text.splitlines()):
        number, _, rest = line.partition("|")
        state, _, nodes = rest.partition("|")
        if number.isdigit() and state:
            return Job(
                number=int(number), name=name, state=state.split()[0], reason="", user="", partition="",
                priority=0, start=None, end=None, nodes=nodes,
            )  # fmt: skip
    return None


def _ask(*command: str) -> str:
    try:
        answered = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except FileNotFoundError as why:
        raise Silent(f"{command[0]} is not installed here") from why
    except subprocess.TimeoutExpired as why:
        raise Silent(f"{command[0]} gave no answer in {_COMMAND_SECONDS:.0f} s") from why
    if answered.returncode != 0:
        raise Silent(_sentence(answered.stderr) or f"{command[0]} ended with exit code {answered.returncode}")
    return answered.stdout


def _sentence(why: object) -> str:
    return " ".join(str(why).split())[:500]
