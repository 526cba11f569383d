"""The GPU under the stopwatch: CUDA events, the L2 out of the way, the allocator's peaks, the canary. Imports torch."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from dashboard.benchmark.canary import Kernel
from dashboard.benchmark.quantiles import Seconds

_FLUSH_BYTES = 256 * 1024 * 1024  # more than any L2 there is; triton's do_bench flushes as much
_EVENT_CHUNK = 64
_CANARY_SIDE = 4096
_CANARY_COPIED_BYTES = 128 * 1024 * 1024


class CudaDevice:
    """The one visible GPU, its events and its allocator."""

    name = "cuda"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise RuntimeError("CUDA was asked for, and torch does not see a GPU")
        torch.cuda.set_device(0)
        self._scratch = torch.empty(_FLUSH_BYTES, dtype=torch.int8, device="cuda")

    def synchronize(self) -> None:
        """Wait for every kernel given so far."""
        torch.cuda.synchronize()

    def time_calls(self, call: Callable[[Any], Any], inputs: Sequence[Any]) -> Seconds | None:
        """Event pairs recorded without a host wait; the L2 is flushed between the pairs, outside them."""
        samples: list[float] = []
        for first in range(0, len(inputs), _EVENT_CHUNK):
            pairs = []
            for item in inputs[first : first + _EVENT_CHUNK]:
                self._scratch.zero_()
                begin, end = _event(), _event()
                begin.record()
                call(item)
                end.record()
                pairs.append((begin, end))
            torch.cuda.synchronize()
            samples += [begin.elapsed_time(end) / 1e3 for begin, end in pairs]  # events say milliseconds
        return np.array(samples)

    def reset_peak_memory(self) -> None:
        """Start torch's peak counters again."""
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def peak_memory(self) -> dict[str, int | None]:
        """What tensors took and what the allocator took from the driver."""
        return {
            "allocated_bytes": torch.cuda.max_memory_allocated()
            - _FLUSH_BYTES,  # our scratch is not the model's
            "reserved_bytes": torch.cuda.max_memory_reserved(),
        }

    def kernels(self) -> dict[str, Kernel]:
        """The canary's."""
        generator = torch.Generator(device="cuda").manual_seed(1)
        left, right = (
            torch.randn(_CANARY_SIDE, _CANARY_SIDE, generator=generator, device="cuda") for _ in "ab"
        )
        half_left, half_right = left.bfloat16(), right.bfloat16()
        source = torch.randn(_CANARY_COPIED_BYTES // 4, generator=generator, device="cuda")
        sink = torch.empty_like(source)
        small = torch.randn(16, generator=generator, device="cuda")
        flops = 2.0 * _CANARY_SIDE**3
        return {
            "matmul_bfloat16": Kernel(lambda: half_left @ half_right, flops=flops),
            "matmul_float32": Kernel(lambda: left @ right, flops=flops),
            "copy": Kernel(lambda: sink.copy_(source), bytes_moved=2.0 * _CANARY_COPIED_BYTES),
            "small": Kernel(lambda: small + 1.0),
        }

    def describe(self) -> dict[str, Any]:
        """Versions and settings that change speed, and the device as torch sees it."""
        properties = torch.cuda.get_device_properties(0)
        return {
            "affinity_cpus": len(os.sched_getaffinity(0)),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "torch_threads": torch.get_num_threads(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "grouped_mm": hasattr(torch.nn.functional, "grouped_mm"),
            "gpu_name": properties.name,
            "gpu_compute_capability": f"{properties.major}.{properties.minor}",
            "gpu_multiprocessors": properties.multi_processor_count,
            "gpu_memory_bytes": properties.total_memory,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]  # torch leaves it untyped
            "allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        }


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
