"""The supervisor: waits its turn, starts one worker per launch, and ends the run in exactly one honest state.

No torch, no web server. It outlives whoever asked for the run; its own death is seen by the kernel, which
frees its locks and kills its worker.

    python -m dashboard.benchmark.supervisor RUN_DIRECTORY --lock-fd 7 --ticket-fd 8 --ticket PATH --number 12
    python -m dashboard.benchmark.supervisor RUN_DIRECTORY --slurm      as the job that Slurm started
"""

import argparse
import errno
import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from dashboard.benchmark import environment, gpu, launch, lease, memory, processes, slurm
from dashboard.benchmark.directory import Ending, RunDirectory
from dashboard.benchmark.spec import Side, Spec
from dashboard.processes import Identity

_ASK_QUEUE_EVERY_SECONDS = 0.2
_RESTARTS_PER_LAUNCH = 8
_WORKER_START_SECONDS = 6.0  # a guess at what a launch takes before its first cell
_MEMORY_BACK_WITHIN_SECONDS = 10.0
_MEMORY_MAY_STAY_BYTES = 64 * 1024 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Over(Exception):
    """The run ends now, and this is how."""

    def __init__(self, state: Ending, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.state: Ending = state
        self.sentence = sentence
        self.details = details


class Supervisor:
    """One run from the queue to its end."""

    def __init__(self, run: RunDirectory, ticket: lease.Ticket) -> None:
        self._run = run
        self._spec: Spec = run.spec()
        self._lease = lease.Lease(Path(self._spec.lease_directory), ticket)
        self._signalled = False
        self._time_is_up = False  # Slurm says so before it kills
        self._deadline = float("inf")
        self._memory_before: int | None = None  # used on the GPU when we got it
        self._given_up: list[str] = []  # cells that took a worker with them
        self._planned: list[dict[str, Any]] | None = None
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        signal.signal(signal.SIGUSR2, self._told_the_time)

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._signalled = True

    def _told_the_time(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._time_is_up = True

    def _cancelled(self) -> bool:
        return self._signalled or self._time_is_up or self._run.cancel_request() is not None

    def _stopped(self, doing: str = "") -> "Over":
        """How a run that must stop now ends."""
        if self._time_is_up and not self._signalled and self._run.cancel_request() is None:
            return Over("timed out", f"Slurm's time limit was near{doing}", self._details())
        return Over("cancelled", f"by {self._who()}{doing}")

    def supervise(self) -> None:
        """Everything; never raises."""
        try:
            try:
                self._to_the_end()
            finally:
                processes.sweep(self._spec.mark)
                self._wait_for_memory()
                self._lease.release()
        except Over as over:
            self._end(over.state, over.sentence, over.details)
        except OSError as why:
            sentence = (
                f"the disk is full ({why})" if why.errno in _NO_ROOM else f"{type(why).__name__}: {why}"
            )
            self._end("failed", sentence, traceback.format_exc())
        except Exception as why:  # noqa: BLE001 (whatever it is, the run must say so)
            self._end("failed", f"the supervisor failed: {type(why).__name__}: {why}", traceback.format_exc())
        self._trace()

    def _trace(self) -> None:
        """Send the run's spans where that is asked for; the run has ended and is not changed by how this goes."""
        from dashboard.benchmark import spans

        if not spans.asked():
            return
        try:
            trace_id = spans.send(self._run)
        except Exception as why:  # noqa: BLE001 (a trace is never worth a run)
            print(f"no spans were sent: {type(why).__name__}: {why}", flush=True)
            return
        if trace_id is not None:
            with suppress(OSError):
                self._run.append("traced", trace_id=trace_id)

    def _end(self, state: Ending, sentence: str, details: str) -> None:
        self._run.finish_with_error(state, sentence, details)
        with suppress(OSError):
            self._run.append("ended", state=state, sentence=sentence)

    def _to_the_end(self) -> None:
        me = Identity.of(os.getpid())
        self._run.append("supervisor started", process=asdict(me) if me else None)
        self._wait_for_device()
        self._deadline = time.monotonic() + self._spec.profile.limit_seconds
        soft = time.monotonic() + self._spec.profile.soft_limit_seconds
        self._memory_before = gpu.memory_used_bytes(self._spec.device)
        self._run.append("leased", device=self._spec.device.lease)
        self._run.append("environment", environment=self._environment())
        with gpu.Sampler(self._spec.device, self._run.path / gpu.SAMPLES) as sampler:
            self._run.append("sampling", available=sampler.available, reason=sampler.reason)
            self._launches(soft)
            from dashboard.benchmark import judging, results  # numpy is not loaded while the plan is measured

            earlier = self._earlier()
            report = results.report(self._run)
            suspects = judging.suspects(earlier, report) if report is not None and self._spec.recheck else []
            if suspects:
                self._again(suspects, soft)
                report = results.report(self._run)
        self._run.append("analysing")
        if report is None:
            raise Over("failed", *self._why_nothing_worked())
        if (verdict := judging.judge(earlier, report)) is not None:
            report["verdict"] = judging.as_json(verdict)
        self._run.finish_with_report(report)
        with suppress(OSError):
            self._run.append("ended", state="done")

    def _wait_for_device(self) -> None:
        holder_card = {
            "run_id": self._spec.run_id,
            "owner": self._spec.owner,
            "since": time.time(),
            "mark": self._spec.mark,
            "pid": os.getpid(),
        }
        said: tuple[int, object] | None = None
        while True:
            if self._cancelled():
                raise self._stopped(" while it waited for the device")
            holder_card["since"] = time.time()
            holder_card["until"] = time.time() + self._spec.expected_seconds
            if self._lease.try_acquire(holder_card):
                return
            holder = self._lease.holder() or {}
            standing = (self._lease.ahead(), holder.get("run_id"))
            if standing != said:
                said = standing
                self._run.append(
                    "queued",
                    position=standing[0] + 1,
                    wait_seconds=self._lease.wait_seconds(),
                    holder={name: holder.get(name) for name in ("run_id", "owner", "since")},
                )
            time.sleep(_ASK_QUEUE_EVERY_SECONDS)

    def _wait_for_memory(self) -> None:
        """Keep the lease until the driver gave our workers' memory back: the next run must not meet it."""
        if self._memory_before is None:
            return
        patience = time.monotonic() + _MEMORY_BACK_WITHIN_SECONDS
        while time.monotonic() < patience:
            used = gpu.memory_used_bytes(self._spec.device)
            if used is None or used <= self._memory_before + _MEMORY_MAY_STAY_BYTES:
                return
            time.sleep(_ASK_QUEUE_EVERY_SECONDS)

    def _environment(self) -> dict[str, Any]:
        code = environment.git_revision(Path(self._spec.working_directory))
        return environment.host(self._spec.device) | code | gpu.facts(self._spec.device)

    def _launches(self, soft: float) -> None:
        sides: tuple[Side | None, ...] = self._spec.sides or (None,)
        longest = 0.0
        number = 0
        for turn in range(self._spec.profile.launches):
            for side in sides if turn % 2 == 0 else sides[::-1]:  # A B, B A, A B: slow drift cancels
                began = time.monotonic()
                if number > 0 and began + longest > soft:
                    self._run.append("out of time", launches_done=number)
                    return
                self._one_launch(number, side, soft)
                longest = max(longest, time.monotonic() - began)
                number += 1

    def _earlier(self) -> list[dict[str, Any]]:
        """Reports of earlier runs of the same question in this data directory."""
        from dashboard.benchmark.runs import Benchmarks

        return Benchmarks(self._run.path.parent.parent).earlier(self._run.run_id)

    def _again(self, suspects: list[str], soft: float) -> None:
        """Measure cells that look changed once more, alone: as many launches as planned, while there is time."""
        planned = [
            " ".join(f"{name}={value}" for name, value in cell.items()) for cell in self._planned or []
        ]
        others = [key for key in planned if key not in suspects]
        began = time.monotonic()
        a_launch = len(suspects) * self._spec.profile.cell_seconds + _WORKER_START_SECONDS
        launches = max(0, min(self._spec.profile.launches, int((soft - began) / a_launch)))
        self._run.append("suspects", cells=suspects, launches=launches)
        first = self._spec.profile.launches
        for number in range(first, first + launches):
            if time.monotonic() + _WORKER_START_SECONDS > soft:
                return
            self._one_launch(number, None, soft, leave_out=others)

    def _one_launch(
        self, number: int, side: Side | None, soft: float, leave_out: Sequence[str] | None = None
    ) -> None:
        """One launch, restarted without the cell that killed it as often as that helps.

        Args:
            leave_out: cells that are not measured, where suspects alone are measured again.
        """
        measured: list[str] = list(leave_out or ())
        limit = memory.allowed_bytes(self._spec)
        whose: dict[str, Any] = {} if side is None else {"side": side.name}
        for attempt in range(_RESTARTS_PER_LAUNCH):

            def hear(event: dict[str, Any]) -> None:
                name = event.pop("event")
                if name == "cell finished":
                    measured.append(str(event.get("key")))
                if name == "planned":
                    self._planned = event.get("cells")
                self._run.append(name, launch=number, **whose, **event)

            worker = launch.Worker(
                self._run.path,
                self._spec,
                launch=number,
                side=side,
                skip=[*measured, *self._given_up],
                until=soft,
                memory_limit_bytes=limit,
                hear=hear,
            )
            try:
                self._run.append(
                    "launch started",
                    launch=number,
                    **whose,
                    **({} if leave_out is None else {"again": True}),
                    attempt=attempt,
                    process=asdict(worker.identity) if worker.identity else None,
                )
            except OSError:
                worker.stay(0.0, lambda: True)
                raise
            ended = worker.stay(self._deadline, self._cancelled)
            if ended.why == "finished":
                return
            if self._cancelled():  # Slurm signals every process of a job: the worker may have gone first
                raise self._stopped()
            self._after(ended, number, hear)
        raise Over("failed", f"launch {number} lost its worker {_RESTARTS_PER_LAUNCH} times", self._details())

    def _after(self, ended: launch.Ended, number: int, hear: Any) -> None:
        """Decide what a worker's end means: the run's end, or one cell given up."""
        if ended.why == "cancelled":
            raise self._stopped()
        if ended.why == "timed out":
            raise Over("timed out", ended.sentence, self._details())
        if ended.failure is not None and ended.cell is None:
            raise Over("failed", ended.sentence, str(ended.failure.get("traceback", "")) + self._details())
        if (
            ended.cell is None
            and ended.why == "exited"
            and ended.failure is None
            and self._between_cells(number)
        ):
            return  # it had to go after a cell it reported itself, e.g. a poisoned CUDA context
        if ended.cell is None:
            raise Over("failed", f"{ended.sentence} before any cell was measured", self._details())
        key = str(ended.cell.get("key"))
        self._given_up.append(key)
        status = "out of memory" if ended.why == "memory" else "crashed" if ended.why != "stalled" else "hung"
        hear({"event": "cell finished", **ended.cell, "status": status, "reason": ended.sentence})

    def _between_cells(self, number: int) -> bool:
        events, _ = self._run.events()
        return any(event["event"] == "cell finished" and event.get("launch") == number for event in events)

    def _who(self) -> str:
        return self._run.cancel_request() or "a signal"

    def _details(self) -> str:
        return f"\n--- end of the worker's log ---\n{self._run.log_tail()}"

    def _why_nothing_worked(self) -> tuple[str, str]:
        events, _ = self._run.events()
        bad = [event for event in events if event["event"] == "cell finished"]
        first = bad[0] if bad else {}
        reason = str(first.get("reason") or "no cell was measured")
        return f"no cell gave a result; the first: {reason}", str(
            first.get("traceback", "")
        ) + self._details()


def main(arguments: Sequence[str] | None = None) -> None:
    """Detach, then supervise. The first process returns at once, so that whoever started it has nothing to reap."""
    parser = argparse.ArgumentParser(prog="python -m dashboard.benchmark.supervisor")
    parser.add_argument("run", type=Path)
    parser.add_argument("--lock-fd", type=int)
    parser.add_argument("--ticket-fd", type=int)
    parser.add_argument("--ticket", type=Path)
    parser.add_argument("--number", type=int)
    parser.add_argument("--slurm", action="store_true")
    given = parser.parse_args(arguments)
    if given.slurm:
        _as_slurm_job(RunDirectory(given.run))
        return
    if os.fork() > 0:
        os._exit(0)
    for descriptor in (given.lock_fd, given.ticket_fd):
        os.set_inheritable(descriptor, False)  # a lock must not live on in a worker
    processes.adopt_orphans()
    run = RunDirectory(given.run)
    ticket = lease.Ticket(run.spec().device.lease, given.number, given.ticket, given.ticket_fd)
    Supervisor(run, ticket).supervise()


def _as_slurm_job(run: RunDirectory) -> None:
    """On the node: take the run's lock from whoever submitted it, a place among this node's benchmarks, and supervise."""
    log = os.open(run.path / "worker.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    lock = os.open(run.path / "lock", os.O_RDWR | os.O_CLOEXEC)
    with suppress(OSError):  # a shared file system without locks: Slurm knows who lives
        fcntl.flock(lock, fcntl.LOCK_EX)
    if (slurm.submitted(run.path) or {}).get("job_id") is None or run.events()[0]:
        sys.exit("whoever submitted this run was killed meanwhile, or it began already: it stays lost")
    processes.adopt_orphans()
    spec = run.spec()
    if spec.device.kind == "cuda":
        granted = gpu.granted(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        if granted is None:
            run.finish_with_error(
                "failed",
                f"on {os.uname().nodename} NVML does not know the GPU that Slurm gave "
                f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')!r})",
            )
            return
        spec = replace(spec, device=granted)
        run.replace_spec(spec)
    ticket = lease.draw(Path(spec.lease_directory), spec.device.lease, spec.expected_seconds)
    Supervisor(run, ticket).supervise()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
