"""The GPU under the stopwatch: CUDA events, the L2 out of the way, the allocator's peaks, the canary. Imports torch."""

import gc
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from dashboard.benchmark.canary import Kernel
from dashboard.benchmark.quantiles import Seconds
from dashboard.benchmark.timing import NotReplayable

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
        return self._between_events([partial(call, item) for item in inputs])

    def time_replays(self, call: Callable[[Any], Any], item: Any, count: int) -> Seconds:
        """A CUDA graph of one call, replayed between events; its answer is checked on poisoned outputs first.

        Raises:
            NotReplayable: the call waits for the device, allocates in a way graphs refuse, or the replay is wrong.
        """
        expected = _tensors(call(item))
        if not expected:
            raise NotReplayable("the call returns no tensor by which its replay could be checked")
        expected = [one.clone() for one in expected]
        graph = torch.cuda.CUDAGraph()
        try:
            beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):  # lazy set-up must not be recorded
                for _ in range(3):
                    call(item)
            torch.cuda.current_stream().wait_stream(beside)
            with torch.cuda.graph(graph):
                recorded = _tensors(call(item))
        except RuntimeError as why:
            torch.cuda.synchronize()
            raise NotReplayable(f"the call cannot be recorded: {' '.join(str(why).split())[:200]}") from why
        for (
            one
        ) in recorded:  # a replay that writes nothing must not pass with what an earlier call left there
            one.fill_(float("nan") if one.is_floating_point() else -1)
        graph.replay()
        torch.cuda.synchronize()
        for want, got in zip(expected, recorded, strict=True):
            if not torch.allclose(want, got, rtol=1e-2, atol=1e-3, equal_nan=True):
                raise NotReplayable("the replay gives another answer than the call")
        return self._between_events([graph.replay] * count)

    def _between_events(self, calls: Sequence[Callable[[], Any]]) -> Seconds:
        samples: list[float] = []
        for first in range(0, len(calls), _EVENT_CHUNK):
            pairs = []
            for call in calls[first : first + _EVENT_CHUNK]:
                self._scratch.zero_()
                begin, end = _event(), _event()
                begin.record()
                call()
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

    def let_go(self) -> bool:
        """Give cached memory back to the driver; whether less than half of the device's is still taken."""
        gc.collect()
        torch.cuda.empty_cache()
        return 2 * torch.cuda.memory_allocated() < torch.cuda.get_device_properties(0).total_memory

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


def _tensors(given: Any) -> list[torch.Tensor]:
    """The tensors in what a call returned: one, or a flat sequence of some."""
    found = given if isinstance(given, (tuple, list)) else [given]
    return [one for one in found if isinstance(one, torch.Tensor)]


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
