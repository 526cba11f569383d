"""Builds and holds the stand-in libnvidia-ml.so.1, and gives each test a pynvml of its own that speaks to it.

Fake, because a test machine has no GPU. Everything between `collectors.nvml` and the library is real: pynvml,
ctypes, the structures, the return codes. The numbers are written by the test into a state file.
"""

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).with_name("nvml.c")

H100 = {
    "uuid": "GPU-2f1b0c9e-7a41-4f37-9d2c-5d8f3a6b1e00",
    "name": "NVIDIA H100 80GB HBM3",
    "util": 73,
    "memory_util": 41,
    "memory_used": 60 * 2**30,
    "memory_total": 80 * 2**30,
    "memory_reserved": 600 * 2**20,
    "power": 412_500,
    "power_limit": 700_000,
    "temperature": 64,
    "sm_clock": 1_755,
    "memory_clock": 2_619,
    "reasons": 0x4,
    "energy": 123_456_789,
    "ecc_uncorrected": 0,
    "mig": 0,
    "event_types": 0x1F,
}


def build(folder: Path, *, old_driver: bool = False) -> Path:
    """Compile the stand-in into `folder` under the name the loader looks for; skips the test without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the stand-in libnvidia-ml.so.1 with")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libnvidia-ml.so.1"
    if not library.exists():
        command = [compiler, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", str(SOURCE)]
        command += [
            "-o",
            str(library),
        ]  # without an SONAME: else it answers to the real library's name in the whole process
        subprocess.run([*command, *(["-DOLD_DRIVER"] if old_driver else [])], check=True)
    return library


class Driver:
    """The machine's NVIDIA driver as a test wants it: `set` what it answers, `nvml` is the pynvml to read it with."""

    def __init__(self, library: Path, state: Path) -> None:
        """Load the library as pynvml would, into a pynvml no other test shares."""
        self.shared_object = library
        self._state = state
        self._answers: dict[str, object] = {"driver": "580.65.06", "count": 0}
        self.nvml = _fresh_pynvml()
        self.nvml.nvmlLib = ctypes.CDLL(str(library))
        self._write()

    def gpu(self, index: int, **answers: object) -> None:
        """A GPU like an H100; `answers` replace its answers, None takes one away (not supported), "!15" is a return code."""
        self._answers["count"] = max(int(str(self._answers["count"])), index + 1)
        for key in [key for key in self._answers if key.startswith(f"gpu{index}.")]:
            del self._answers[key]
        told = {**H100, "uuid": f"GPU-{index:08d}-7a41-4f37-9d2c-5d8f3a6b1e00", **answers}
        self._answers.update({f"gpu{index}.{key}": value for key, value in told.items()})
        self._write()

    def set(self, **answers: object) -> None:
        """Answers of the driver itself: count, driver, init, events."""
        self._answers.update(answers)
        self._write()

    def _write(self) -> None:
        lines = [f"{key}={value}" for key, value in self._answers.items() if value is not None]
        part = self._state.with_suffix(".part")
        part.write_text("\n".join(lines) + "\n")
        part.replace(self._state)  # the library reads at every call: never half a file


@contextmanager
def driver(folder: Path, *, old_driver: bool = False, library: Path | None = None) -> Iterator[Driver]:
    """A driver of this test's own; afterwards NVML is shut down and nothing of it remains."""
    state = folder / "nvml.state"
    before = os.environ.get("FAKE_NVML_STATE")
    os.environ["FAKE_NVML_STATE"] = str(state)
    held = Driver(library or build(folder, old_driver=old_driver), state)
    try:
        yield held
    finally:
        while True:  # the library counts its users: give every one back
            try:
                held.nvml.nvmlShutdown()
            except held.nvml.NVMLError:
                break
        if before is None:
            del os.environ["FAKE_NVML_STATE"]
        else:
            os.environ["FAKE_NVML_STATE"] = before


def _fresh_pynvml() -> ModuleType:
    """Pynvml keeps library and function pointers in the module: each test gets a module of its own."""
    spec = importlib.util.find_spec("pynvml")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    shared = sys.modules.get("pynvml")
    sys.modules["pynvml"] = module  # it names its error classes through sys.modules while it is imported
    try:
        spec.loader.exec_module(module)
    finally:
        if shared is None:
            del sys.modules["pynvml"]
        else:
            sys.modules["pynvml"] = shared
    return module
