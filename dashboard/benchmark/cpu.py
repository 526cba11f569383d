"""The CPU under the stopwatch. No torch: a target that does not use it is measured without it.

Its clock is the host's, its peak is the process's high-water mark, its canary is three numpy kernels.
"""

import gc
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.benchmark.canary import Kernel
from dashboard.benchmark.processes import resident_bytes
from dashboard.benchmark.quantiles import Seconds
from dashboard.benchmark.timing import NotReplayable

_CANARY_SIDE = 384
_CANARY_COPIED_BYTES = 8 * 1024 * 1024


class CpuDevice:
    """The CPU: its clock is the host's, and its peak is the process's high-water mark."""

    name = "cpu"

    def __init__(self, threads: int) -> None:
        self._resets = False
        if "torch" in sys.modules:  # the target brought it
            import torch

            torch.set_num_threads(threads)

    def synchronize(self) -> None:
        """Nothing runs behind the caller's back on a CPU."""

    def time_calls(self, call: Callable[[Any], Any], inputs: Sequence[Any]) -> Seconds | None:
        """A CPU has no second clock."""
        del call, inputs
        return None

    def time_replays(self, call: Callable[[Any], Any], item: Any, count: int) -> Seconds:
        """A CPU records nothing.

        Raises:
            NotReplayable: always.
        """
        del call, item, count
        raise NotReplayable("a CPU has no recorded calls to replay")

    def reset_peak_memory(self) -> None:
        """Set the kernel's high-water mark back to what is resident now."""
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._resets = True
        except OSError:  # not allowed in some containers: then there is no peak to speak of
            self._resets = False

    def peak_memory(self) -> dict[str, int | None]:
        """Resident peak of the process since the reset, None where the kernel would not reset it."""
        peak = None
        if self._resets:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = int(line.split()[1]) * 1024  # the kernel says kB and means KiB
        return {"resident_bytes": peak}

    def let_go(self) -> bool:
        """Drop what nobody holds any more; whether less than half of what the process may have is still taken."""
        gc.collect()
        limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
        return limit == resource.RLIM_INFINITY or 2 * (resident_bytes(os.getpid()) or 0) < limit

    def kernels(self) -> dict[str, Kernel]:
        """The canary's."""
        generator = np.random.default_rng(1)
        left = generator.standard_normal((_CANARY_SIDE, _CANARY_SIDE), dtype=np.float32)
        right = generator.standard_normal((_CANARY_SIDE, _CANARY_SIDE), dtype=np.float32)
        product = np.empty_like(left)
        source = generator.standard_normal(_CANARY_COPIED_BYTES // 4, dtype=np.float32)
        sink = np.empty_like(source)
        small = generator.standard_normal(16, dtype=np.float32)
        return {
            "matmul_float32": Kernel(
                lambda: np.matmul(left, right, out=product), flops=2.0 * _CANARY_SIDE**3
            ),
            "copy": Kernel(lambda: np.copyto(sink, source), bytes_moved=2.0 * _CANARY_COPIED_BYTES),
            "small": Kernel(lambda: small + 1),
        }

    def describe(self) -> dict[str, Any]:
        """Versions and settings that change speed, of what the target brought."""
        about: dict[str, Any] = {"affinity_cpus": len(os.sched_getaffinity(0)), "numpy": np.__version__}
        if "torch" in sys.modules:
            import torch

            about |= {
                "torch": torch.__version__,
                "torch_threads": torch.get_num_threads(),
                "float32_matmul_precision": torch.get_float32_matmul_precision(),
                "deterministic": torch.are_deterministic_algorithms_enabled(),
                "grouped_mm": hasattr(torch.nn.functional, "grouped_mm"),
                "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            }
        return about
