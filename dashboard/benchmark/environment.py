"""What a result depends on beside the code: machine, driver, versions, variables. No torch: the worker says its part.

`key` is a hash of what must be equal for two results to be comparable; everything else only annotates.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dashboard.benchmark.processes import MARK_VARIABLE
from dashboard.benchmark.spec import Device, Spec

PACKAGE_ROOT = Path(__file__).resolve().parents[2]

# What a worker may see of our environment: what changes speed, and what a process needs. No secret of ours.
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|LD_PRELOAD|VIRTUAL_ENV|XDG_CACHE_HOME"
    r"|CUDA_.*|CUBLAS_.*|NVIDIA_.*|NCCL_.*|PYTORCH_.*|TORCH.*|TRITON_.*|OMP_.*|OPENBLAS_.*|MKL_.*|KMP_.*|GOMP_.*|HF_HOME"
    r"|PYTHONPATH|PYTHONHASHSEED|SLURM_.*|MALLOC_.*"
)
_CHANGES_SPEED = re.compile(
    r"CUDA_.*|CUBLAS_.*|NVIDIA_TF32_OVERRIDE|PYTORCH_.*|TORCH.*|TRITON_.*|OMP_.*|OPENBLAS_.*|MKL_.*|KMP_.*"
)
_MUST_MATCH = (
    "device_kind", "cpu_model", "gpu_name", "gpu_power_limit_watts", "driver_major", "mig",
    "torch", "cuda", "torch_threads", "affinity_cpus", "float32_matmul_precision", "allow_tf32", "grouped_mm",
)  # fmt: skip


def for_supervisor() -> dict[str, str]:
    """Environment of a supervisor: what a process needs, where this package is found, and where spans go."""
    spans = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    return _passed_on() | spans


def _passed_on() -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    parts = [str(PACKAGE_ROOT), str(Path.cwd()), *passed.get("PYTHONPATH", "").split(os.pathsep)]
    passed["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(part for part in parts if part))
    passed["PYTHONUNBUFFERED"] = "1"
    return passed


def for_worker(spec: Spec, directory: str | None) -> dict[str, str]:
    """Environment of a worker: the supervisor's, with the mark, the one device, and the working tree it measures."""
    environment = _passed_on() | {MARK_VARIABLE: spec.mark}
    environment["CUDA_VISIBLE_DEVICES"] = spec.device.uuid if spec.device.kind == "cuda" else ""
    if spec.device.kind == "cpu":
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(spec.threads)
    if directory is not None:
        environment["PYTHONPATH"] = directory  # this tree's package and no other
    return environment


def torch_build() -> tuple[str | None, str | None]:
    """Version of torch and of the CUDA it was built for, read from its files; None where there is none."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return None, None
    text = ""
    with suppress(OSError):
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")

    def value(name: str) -> str | None:
        match = re.search(rf"^{name}\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
        return match.group(1) if match else None

    return value("__version__") or "unknown", value("cuda")


def cpu_flags() -> frozenset[str]:
    """Instruction sets of the first CPU, as Linux names them."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def fast_bfloat16_on_cpu() -> bool:
    """Whether bfloat16 is more than emulation here: emulated, it was 65 times slower than float32."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def git_revision(directory: Path) -> dict[str, str | bool | None]:
    """Commit of a working tree, and whether it was changed since; None outside of git."""

    def ask(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(directory), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    changed = ask("status", "--porcelain", "--untracked-files=no")
    return {
        "git_sha": ask("rev-parse", "HEAD"),
        "git_dirty": None if changed is None else bool(changed),
    }


def host(device: Device) -> dict[str, Any]:
    """What the operating system says; GPU facts are the sampler's and the worker's."""
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    model = platform.processor()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "host": platform.node(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "executable": Path(sys.executable).name,
        "device_kind": device.kind,
        "cpu_model": model,
        "cpus": os.cpu_count(),
        "cpu_governor": governor.read_text().strip() if governor.exists() else None,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": list(os.getloadavg()),
        "variables": {
            name: value for name, value in sorted(os.environ.items()) if _CHANGES_SPEED.fullmatch(name)
        },
    }


def key(environment: Mapping[str, Any]) -> str:
    """Hash of the fields that must be equal for a comparison."""
    matched = {name: environment.get(name) for name in _MUST_MATCH}
    return hashlib.sha256(json.dumps(matched, sort_keys=True, default=str).encode()).hexdigest()[:16]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Sentences about the fields that make two results incomparable."""
    return [
        f"{name} was {one.get(name)} and is {other.get(name)}"
        for name in _MUST_MATCH
        if one.get(name) != other.get(name)
    ]
