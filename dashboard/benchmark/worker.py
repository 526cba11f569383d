"""The worker: one process that measures every cell once and dies with its supervisor. With the target and what it
imports, torch as a rule.

It answers in JSON lines on a pipe of its own, so that whatever a factory prints cannot be mistaken for a
result. A cell that fails is an event; a process that fails is the supervisor's to notice.

    python -m dashboard.benchmark.worker RUN_DIRECTORY --launch 0 --events-fd 5 --supervisor 1234 --until SECONDS
"""

import argparse
import importlib
import json
import math
import os
import random
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from dashboard.benchmark import processes

if TYPE_CHECKING:
    from dashboard.benchmark.canary import Canary
    from dashboard.benchmark.cpu import CpuDevice
    from dashboard.benchmark.cuda import CudaDevice
    from dashboard.benchmark.spec import Cell, Spec
    from dashboard.benchmark.workload import Factory, Workload

PROTOCOL = 1
EXIT_FACTORY = 70
EXIT_INTERRUPTED = 75

_CANARY_CALLS_AT_START = 30
_CANARY_CALLS_BETWEEN = 8
_INPUTS_AT_MOST = 16
_ROTATE_PAST_BYTES = 128 * 1024 * 1024  # twice the largest last-level cache met so far


class Events:
    """The pipe to the supervisor. A fork of this process, made by a factory, is not allowed to speak."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def say(self, event: str, **fields: Any) -> None:
        """One event, whole. NaN and infinity become null: JSON has no word for them."""
        if os.getpid() != self._owner:
            os._exit(1)  # a copy of us that returned from a factory's fork
        line = json.dumps(_plain({"event": event, **fields}), allow_nan=False)
        with self._lock:
            self._file.write(line + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


class Worker:
    """One launch."""

    def __init__(self, run: Path, spec: "Spec", launch: int, until: float, events: Events) -> None:
        self._run = run
        self._spec = spec
        self._launch = launch
        self._until = until
        self._events = events
        self._stop = False
        signal.signal(signal.SIGTERM, self._asked_to_stop)

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._stop = True

    def _should_stop(self) -> bool:
        return self._stop

    def measure(self, skip: Sequence[str]) -> int:
        """Every cell that is not skipped, in an order of this launch's own. Returns the exit code."""
        from dashboard.benchmark.canary import Canary
        from dashboard.benchmark.timing import Interrupted

        try:
            factory = load(self._spec.factory)
            device = _open(self._spec)
            cells = self._cells(factory)
        except (Exception, SystemExit) as why:  # noqa: BLE001 (a stranger's code may raise anything)
            self._events.say("worker failed", sentence=_sentence(why), traceback=traceback.format_exc())
            return EXIT_FACTORY
        self._events.say("planned", cells=[dict(cell.params) for cell in cells])
        self._events.say("environment", environment=device.describe(), protocol=PROTOCOL)
        canary = Canary(device)
        self._events.say("canary", kernels=canary.sing(_CANARY_CALLS_AT_START), place="start")
        order = list(enumerate(cells))
        random.Random(f"{self._spec.seed} {self._launch}").shuffle(order)  # noqa: S311 (an order, not a secret)
        try:
            for index, cell in order:
                if cell.key in skip:
                    continue
                fatal = self._measure_cell(factory, device, canary, cell, index)
                if fatal:
                    return EXIT_FACTORY
        except Interrupted:
            return EXIT_INTERRUPTED
        self._events.say("launch finished")
        return 0

    def _cells(self, factory: "Factory") -> list["Cell"]:
        from dashboard.benchmark.spec import Cell
        from dashboard.benchmark.spec import cells as standard_cells

        if self._spec.cells is not None:
            return list(self._spec.cells)
        profile, kind = self._spec.profile.name, self._spec.device.kind
        own_axes = getattr(factory, "cells", None)
        if own_axes is None:
            return list(standard_cells(profile, kind, half_precision=kind == "cuda"))
        cells = [Cell(dict(params)) for params in own_axes(profile, kind)]
        if not cells or len({cell.key for cell in cells}) != len(cells):
            raise ValueError(f"{self._spec.factory}.cells gave no cells, or the same one twice")
        return cells

    def _measure_cell(
        self, factory: "Factory", device: "CpuDevice | CudaDevice", canary: "Canary", cell: "Cell", index: int
    ) -> bool:
        """Measure and report one cell; returns whether the process is unfit to go on."""
        from dashboard.benchmark import compiling
        from dashboard.benchmark.timing import Interrupted
        from dashboard.benchmark.workload import Skip

        said = {"cell": dict(cell.params), "key": cell.key}
        if time.monotonic() + 0.5 * self._spec.profile.cell_seconds > self._until:
            self._events.say("cell finished", **said, status="skipped", reason="no time was left for it")
            return False
        self._events.say("cell started", **said)
        fatal = False
        try:
            compiling.forget()
            result = self._time(factory(cell, device.name, self._spec.arguments), device, cell, index)
            result["canary"] = canary.sing(_CANARY_CALLS_BETWEEN)
        except Interrupted:
            raise
        except Skip as why:
            result = {"status": "skipped", "reason": str(why)}
        except (Exception, SystemExit) as why:
            kind = _kind(why)
            if kind == "disk full":
                raise
            fatal = kind == "device lost"
            status = "out of memory" if kind == "out of memory" else "failed"
            result = {"status": status, "reason": _sentence(why), "traceback": traceback.format_exc()[-4000:]}
        self._events.say("cell finished", **said, **result)
        # what a cell that did not fit still holds would be missing for the next: another process goes on then
        return fatal or (result["status"] == "out of memory" and not device.let_go())

    def _time(
        self, workload: "Workload", device: "CpuDevice | CudaDevice", cell: "Cell", index: int
    ) -> dict[str, Any]:
        from dashboard.benchmark import cell_result, compiling
        from dashboard.benchmark.quantiles import Seconds, median_interval
        from dashboard.benchmark.timing import StopRule, Stopwatch

        def progress(kind: str, samples: Seconds) -> None:
            median, low, high = median_interval(samples)
            self._events.say(
                "cell progress",
                key=cell.key,
                measuring=kind,
                n=len(samples),
                p50_seconds=median,
                low=low,
                high=high,
            )

        count = 1 + min(_INPUTS_AT_MOST - 1, _ROTATE_PAST_BYTES // max(workload.input_bytes, 1))
        inputs = [workload.make_input(self._spec.seed + i) for i in range(max(2, count))]
        profile = self._spec.profile
        rule = StopRule(
            precision=profile.precision,
            min_calls=profile.min_calls,
            max_calls=profile.max_calls,
            max_seconds=profile.cell_seconds / (2.25 if device.name == "cpu" else 3.25),
        )
        timing = Stopwatch(device, self._should_stop, progress).measure(workload.call, inputs, rule)
        compiled = compiling.found()  # before the check, which may compile on its own account
        error = None
        if workload.error is not None:
            error = float(workload.error(inputs[0], workload.call(inputs[0])))
        cell_result.save_samples(
            self._run / "samples" / f"launch-{self._launch:02d}.cell-{index:03d}.npz", timing
        )
        return cell_result.summarise(workload, timing, error, compiled)


def load(name: str) -> "Factory":
    """The object behind `package.module:factory`.

    Raises:
        ValueError: the name is not of this form.
        ImportError, AttributeError, and whatever the module raises.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not attribute.isidentifier():
        raise ValueError(f"{name!r} is not package.module:factory")
    found: Factory = getattr(importlib.import_module(module), attribute)
    return found


def _open(spec: "Spec") -> "CpuDevice | CudaDevice":
    """The device of the spec; only that GPU is visible here."""
    if spec.device.kind == "cuda":
        from dashboard.benchmark.cuda import CudaDevice

        return CudaDevice()
    from dashboard.benchmark.cpu import CpuDevice

    return CpuDevice(spec.threads)


def _sentence(why: BaseException) -> str:
    text = " ".join(str(why).split())
    if isinstance(why, MemoryError) and not text:
        limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
        text = f"no more than {limit / 2**30:.1f} GiB may be used" if limit != resource.RLIM_INFINITY else ""
    return f"{type(why).__name__}: {text}"[:500] if text else type(why).__name__


def _kind(why: BaseException) -> str:
    text = str(why)
    if isinstance(why, MemoryError) or type(why).__name__ == "OutOfMemoryError" or "can't allocate" in text:
        return "out of memory"
    if "CUDA error" in text or type(why).__name__ == "AcceleratorError":
        return "device lost"  # the context is poisoned; nothing after it can be trusted
    if isinstance(why, OSError) and why.errno in (27, 28, 122):  # EFBIG, ENOSPC, EDQUOT
        return "disk full"
    return "failed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one launch; the exit code says how it went."""
    parser = argparse.ArgumentParser(prog="python -m dashboard.benchmark.worker")
    parser.add_argument("run", type=Path)
    parser.add_argument("--launch", type=int, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    parser.add_argument("--supervisor", type=int, required=True)
    parser.add_argument("--until", type=float, required=True, help="CLOCK_MONOTONIC; nothing new after it")
    parser.add_argument("--skip", default="[]", help="JSON list of cell keys")
    given = parser.parse_args(arguments)
    processes.die_with_parent(given.supervisor)
    os.set_inheritable(given.events_fd, False)
    os.dup2(2, 1)  # what a factory prints is log, not result
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if the kernel must choose, it chooses us
    from dashboard.benchmark.directory import RunDirectory

    worker = Worker(
        given.run, RunDirectory(given.run).spec(), given.launch, given.until, Events(given.events_fd)
    )
    return worker.measure(json.loads(given.skip))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads a factory left behind do not keep a finished launch alive
