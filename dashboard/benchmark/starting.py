"""Starting a run: its directory appears whole, then a detached supervisor here, or a Slurm job elsewhere, takes it over.

Nothing here waits for a measurement. A start that fails says why and leaves nothing behind.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dashboard.benchmark import environment, gpu, lease, slurm
from dashboard.benchmark.directory import RunDirectory
from dashboard.benchmark.spec import Cell, Device, Spec, cells
from dashboard.benchmark.targets import Target

_START_WITHIN_SECONDS = 30.0


class CannotStart(Exception):
    """A run was not started; the message says why and what would help. Nothing was left behind."""


def device_here(wanted: str) -> Device:
    """The device of this machine that "auto", "cpu", "cuda" or a UUID means.

    Raises:
        CannotStart: there is none such, or the installed torch cannot use it.
    """
    if wanted == "cpu":
        return Device(kind="cpu")
    _, cuda = environment.torch_build()
    named = wanted.startswith(("GPU-", "MIG-"))
    found = gpu.find(wanted) if named else gpu.find()
    if wanted == "auto":
        return found if found is not None and cuda is not None else Device(kind="cpu")
    if wanted != "cuda" and not named:
        raise CannotStart(f"There is no device {wanted!r}; use auto, cpu, cuda or the UUID of a GPU.")
    if found is None:
        raise CannotStart("No such GPU answers through NVML on this machine. Choose the device cpu.")
    if cuda is None:
        raise CannotStart(
            "The installed PyTorch was built without CUDA. Install a CUDA build, or choose cpu."
        )
    return found


def device_of_slurm(wanted: str, options: Mapping[str, str]) -> Device:
    """What to ask Slurm for. Which GPU it is, Slurm decides on the node; what torch can do, the node's torch says.

    Raises:
        CannotStart: Slurm is not configured, or a GPU is wanted and the options ask for none.
    """
    if not options:
        raise CannotStart(
            "Slurm is not configured: set benchmark_slurm, e.g. MOE_DASHBOARD_BENCHMARK_SLURM=partition=gpu,gres=gpu:1."
        )
    if wanted not in ("auto", "cpu", "cuda"):
        raise CannotStart("Slurm gives the GPU; with it the device is auto, cpu or cuda.")
    if wanted == "cuda" and not slurm.wants_gpu(options):
        raise CannotStart(
            "The setting benchmark_slurm asks for no GPU; add gres=gpu:1, or choose the device cpu."
        )
    return Device(kind="cuda" if wanted != "cpu" and slurm.wants_gpu(options) else "cpu")


def standard_cells(chosen: Target, profile: str, where: Device) -> tuple[Cell, ...] | None:
    """The cells of a target with the standard axes; None where the factory says its own."""
    if not chosen.standard_axes:
        return None
    half = where.kind == "cuda" or environment.fast_bfloat16_on_cpu()
    return cells(profile, where.kind, half_precision=half, sequence=chosen.sequence)


def here(root: Path, spec: Spec, files: Mapping[str, Path]) -> None:
    """Start on this machine. A supervisor that does not come up is a failed run that says so.

    Raises:
        OSError: there is no room; nothing was left.
    """
    directory = RunDirectory(root / spec.run_id)
    ticket = lease.draw(Path(spec.lease_directory), spec.device.lease, spec.expected_seconds)
    try:
        lock = directory.create(_with_files(spec, directory, files))
    except OSError:
        os.close(ticket.descriptor)
        raise
    try:
        _keep_all(directory, files)
        _spawn(directory, lock, ticket)
    except (OSError, CannotStart) as why:
        directory.finish_with_error("failed", f"the supervisor did not start: {why}", directory.log_tail())
    finally:
        os.close(lock)
        os.close(ticket.descriptor)


def through_slurm(root: Path, spec: Spec, files: Mapping[str, Path], options: Mapping[str, str]) -> None:
    """Hand over to Slurm. A job that Slurm does not take is a failed run with Slurm's words.

    Raises:
        OSError: there is no room; nothing was left.
    """
    directory = RunDirectory(root / spec.run_id)
    lock = directory.create(_with_files(spec, directory, files))
    try:
        _keep_all(directory, files)
        slurm.submit(
            directory.path,
            options,
            limit_seconds=spec.profile.limit_seconds,
            gpu=spec.device.kind == "cuda",
            passed=environment.for_supervisor(),
        )
    except (OSError, slurm.Refused) as why:
        directory.finish_with_error("failed", str(why), directory.log_tail())
    finally:
        os.close(lock)


def _with_files(spec: Spec, directory: RunDirectory, files: Mapping[str, Path]) -> Spec:
    kept = {argument: str(directory.path / path.name) for argument, path in files.items()}
    return replace(spec, arguments={**spec.arguments, **kept})


def _keep_all(directory: RunDirectory, files: Mapping[str, Path]) -> None:
    """Keep files as they are now: their writer replaces them whole, so a second name is a copy that costs nothing."""
    for path in files.values():
        try:
            os.link(path, directory.path / path.name)
        except OSError:
            shutil.copy2(path, directory.path / path.name)


def _spawn(directory: RunDirectory, lock: int, ticket: lease.Ticket) -> None:
    command = [
        sys.executable, "-m", "dashboard.benchmark.supervisor", str(directory.path),
        "--lock-fd", str(lock), "--ticket-fd", str(ticket.descriptor),
        "--ticket", str(ticket.path), "--number", str(ticket.number),
    ]  # fmt: skip
    with (directory.path / "worker.log").open("ab") as log:
        first = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock, ticket.descriptor),
            start_new_session=True,
            env=environment.for_supervisor(),
        )
        try:
            code = first.wait(timeout=_START_WITHIN_SECONDS)
        except subprocess.TimeoutExpired as why:
            first.kill()
            first.wait()
            raise CannotStart("it did not detach in time") from why
    if code != 0:
        raise CannotStart(f"it ended with exit code {code}")
