"""Re-baseline: two commits alternate, launch by launch, in one lease. The only comparison a noisy machine cannot fake.

Each side is a git worktree measured by its own code, so an old commit is measured as it was. What is not
committed is not measured.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dashboard.benchmark.spec import PROFILES, Profile, Side
from dashboard.benchmark.starting import CannotStart

_WORKER = Path("dashboard/benchmark/worker.py")


def profile(name: str, pairs: int) -> Profile:
    """A shipped profile with so many pairs of launches, and the time they need at most."""
    if name not in PROFILES:
        raise CannotStart(f"There is no profile {name!r}; there are {', '.join(PROFILES)}.")
    base = PROFILES[name]
    seconds_a_launch = base.limit_seconds / base.launches
    return replace(base, launches=pairs, limit_seconds=2 * pairs * seconds_a_launch)


@contextmanager
def worktrees(repository: Path, base: str, candidate: str = "HEAD") -> Iterator[tuple[Side, Side]]:
    """Two checkouts beside each other, removed at the end. Keep them until the run is over.

    Raises:
        CannotStart: not a repository, no such revision, or a revision from before there was a benchmark.
    """
    folder = Path(tempfile.mkdtemp(prefix="moe-rebaseline-"))
    made: list[Path] = []
    try:
        sides = []
        for name, revision in (("base", base), ("candidate", candidate)):
            sha = _git(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
            tree = folder / name
            _git(repository, "worktree", "add", "--detach", str(tree), sha)
            made.append(tree)
            if not (tree / _WORKER).exists():
                raise CannotStart(f"Revision {revision} has no {_WORKER}; it cannot measure itself.")
            sides.append(
                Side(name="base" if name == "base" else "candidate", revision=sha, directory=str(tree))
            )
        yield sides[0], sides[1]
    finally:
        for tree in made:
            _git(repository, "worktree", "remove", "--force", str(tree))
        shutil.rmtree(folder, ignore_errors=True)


def _git(repository: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    except FileNotFoundError as why:
        raise CannotStart("git is not installed.") from why
    except subprocess.CalledProcessError as why:
        raise CannotStart(f"git {arguments[0]} failed: {' '.join(why.stderr.split())}") from why
    return done.stdout.strip()
