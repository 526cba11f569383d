"""What one launch says about one cell: its raw samples in a file, and a summary in an event. Pure numpy."""

from pathlib import Path
from typing import Any

import numpy as np

from dashboard.benchmark import quantiles
from dashboard.benchmark.timing import Timing
from dashboard.benchmark.workload import Workload


def save_samples(path: Path, timing: Timing) -> None:
    """Every call's time, int64 nanoseconds by clock, in time order; the file appears whole."""
    clocks = {"host": timing.host, "cpu": timing.cpu}
    if timing.device is not None:
        clocks["device"] = timing.device
    if timing.replay is not None:
        clocks["replay"] = timing.replay
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            nanoseconds: dict[str, Any] = {
                name: np.rint(seconds * 1e9).astype(np.int64) for name, seconds in clocks.items()
            }
            np.savez_compressed(file, **nanoseconds)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    part.rename(path)


def summarise(
    workload: Workload, timing: Timing, error: float | None, compiled: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Plain data of one cell in one launch. Fast and wrong is "wrong", whatever the clock said.

    Args:
        compiled: what torch.compile did, see `compiling`.
    """
    primary = timing.primary
    status, reason = "ok", ""
    if error is not None and not error <= workload.error_limit:  # NaN is not within any limit
        status = "wrong"
        reason = f"relative error {error:.2g} against the float64 reference; at most {workload.error_limit:.2g} is accepted"
    return {
        "status": status,
        "reason": reason,
        "clock": "host" if timing.device is None else "device",
        "p50": quantiles.quantile(primary, 0.50).as_json(),
        "p95": quantiles.quantile(primary, 0.95).as_json(),
        "p99": quantiles.quantile(primary, 0.99).as_json(),
        "host_p50_seconds": float(np.median(timing.host)),
        "cpu_p50_seconds": float(np.median(timing.cpu)),
        "samples_per_second": timing.calls_per_second * workload.samples,
        "tokens_per_second": timing.calls_per_second * workload.tokens,
        "enqueue_seconds": timing.enqueue_seconds,
        "launch_bound": timing.launch_bound,
        "replay_p50_seconds": None if timing.replay is None else float(np.median(timing.replay)),
        "replay_reason": timing.replay_reason,
        "first_call_seconds": timing.first_call,
        "compiled": compiled,
        "warm_up_calls": timing.warm_up_calls,
        "steady": timing.steady,
        "stopped_by": timing.stopped_by,
        "calls": timing.warm_up_calls
        + 1
        + len(timing.host)
        + timing.throughput_calls
        + (0 if timing.device is None else len(timing.device))
        + (0 if timing.replay is None else len(timing.replay)),
        "preempted_share": timing.preempted_share if timing.device is None else None,
        "autocorrelation": quantiles.autocorrelation(primary),
        "drift": quantiles.drift(primary),
        "two_modes": quantiles.two_modes(primary),
        "peak_memory": timing.peak_memory,
        "error_relative": error,
        "error_limit": workload.error_limit if workload.error is not None else None,
        "samples": workload.samples,
        "tokens": workload.tokens,
        "flops": workload.flops,
        "bytes_moved": workload.bytes_moved,
        "details": dict(workload.details),
    }
