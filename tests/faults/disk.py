"""A small disk that can be filled, emptied and turned read-only: a tmpfs of the test's own, where the kernel lets us."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Disk:
    """A mounted file system of a few megabytes."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Write until nothing more fits."""
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(b"\0" * 4096):
                pass

    def make_room(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)

    def read_only(self, yes: bool) -> None:
        """Mount it anew with other rights, under the feet of whoever has files open for reading."""
        subprocess.run(
            ["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(self.path)],
            check=True,
            capture_output=True,
        )


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int = 4) -> Iterator[Disk]:
    """Mount one until the block ends; where mounting is not allowed the test is skipped with the reason.

    Such a machine still runs `limited`, which fills a disk for one process alone.
    """
    path.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here ({mounted.stderr.strip() or os.geteuid()})")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)
