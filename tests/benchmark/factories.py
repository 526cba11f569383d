"""Benchmark targets that behave, and targets that misbehave in every way a stranger's code can. No torch: they start fast."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from dashboard.benchmark.spec import Cell
from dashboard.benchmark.workload import Skip, Workload

SPIN_SECONDS = 0.0005


def spin(seconds: float) -> None:
    until = time.perf_counter_ns() + int(seconds * 1e9)
    while time.perf_counter_ns() < until:
        pass


def _workload(call: Any, *, error: Any = None, error_limit: float = 0.0) -> Workload:
    return Workload(
        call=call,
        make_input=lambda seed: np.random.default_rng(seed).standard_normal(8),
        samples=4,
        tokens=4,
        error=error,
        error_limit=error_limit,
    )


def _two(profile: str, device: str) -> list[dict[str, Any]]:
    return [{"case": "a"}, {"case": "b"}]


def good(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    return _workload(lambda x: spin(SPIN_SECONDS))


def slow(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """Never precise enough to stop early: the cell takes all the time it is given."""
    return _workload(lambda x: spin(SPIN_SECONDS * np.random.default_rng().uniform(0.5, 1.5)))


def raises(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    raise RuntimeError("<script>alert('the factory said no')</script>")


def raises_in_one_cell(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    if cell.params["case"] == "b":
        raise ValueError("case b is not for me")
    return good(cell, device, arguments)


def exits(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    sys.exit(3)


def hangs(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    if cell.params["case"] == "b":
        time.sleep(3600)
    return good(cell, device, arguments)


def ignores_sigterm(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)
    raise AssertionError


def prints(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    print('{"event": "cell finished", "key": "case=a", "status": "ok", "forged": true}', flush=True)
    os.write(1, b'{"event": "launch finished"}\n')
    return good(cell, device, arguments)


def nan(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    return _workload(lambda x: x * np.nan, error=lambda x, y: float(np.abs(y - x).max()), error_limit=1e-6)


def wrong_in_one_cell(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    factor = 2.0 if cell.params["case"] == "b" else 1.0
    return _workload(lambda x: x * factor, error=lambda x, y: float(np.abs(y - x).max()), error_limit=1e-6)


def segfaults(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    if cell.params["case"] == "b":
        ctypes.string_at(0)
    return good(cell, device, arguments)


def eats_memory(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    if cell.params["case"] == "b":
        np.ones(1 << 46)  # 512 TiB
    return good(cell, device, arguments)


_hoard: list[Any] = []


def allocates_without_end(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """Takes what it can get and keeps it, where the next cell would miss it."""
    while cell.params["case"] == "b":
        _hoard.append(np.ones(1 << 22))  # 32 MiB, and really touched
    return good(cell, device, arguments)


def allocates_in_children(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """Every child stays below the limit of one process; together they do not."""
    if cell.params["case"] == "b":
        for _ in range(4):
            if os.fork() == 0:
                _hoard.append(np.ones(20 << 20))  # 160 MiB
                time.sleep(3600)
        time.sleep(3600)
    return good(cell, device, arguments)


def compiled(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """Compiled in one cell, with one graph break; not in the other."""
    import torch

    def call(x: Any) -> Any:
        doubled = torch.as_tensor(x) * 2
        if cell.params["case"] == "b":
            torch._dynamo.graph_break()
        return doubled + 1

    return _workload(torch.compile(call, backend="eager") if cell.params["case"] == "b" else call)


def loses_the_gpu(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """What torch says when the device has fallen off the bus; there is no GPU to lose where tests run."""

    def call(x: Any) -> None:
        spin(SPIN_SECONDS)
        if cell.params["case"] == "b":
            raise RuntimeError(
                "CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later"
            )

    return _workload(call)


def forks(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    """Leaves a sleeping child, a child in a session of its own, and a copy of the worker that runs on."""
    if os.fork() == 0:
        time.sleep(3600)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    os.fork()
    return good(cell, device, arguments)


def fills_the_log(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    while True:
        os.write(1, b"x" * 1_000_000)


def skips(cell: Cell, device: str, arguments: Mapping[str, Any]) -> Workload:
    if cell.params["case"] == "b":
        raise Skip("case b makes no sense here")
    return good(cell, device, arguments)


for _factory in list(globals().values()):
    if getattr(_factory, "__annotations__", {}).get("return") is Workload and _factory is not _workload:
        _factory.cells = _two
