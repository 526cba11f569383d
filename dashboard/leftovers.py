"""What a demo would leave behind: written down while it runs, ended by the next one, or at the end of this one.

The kernel ends the children of a demo that is killed; this is for what slips through all the same, and for
benchmarks, which outlive the page that started them by contract. Trusts no pid alone.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from dashboard.processes import Child, Identity

_STATE = "state.json"
_GRACE_SECONDS = 5.0


def remember(directory: Path, children: Mapping[str, Child]) -> None:
    """Write down which processes run: {name: identity}, moved into place whole."""
    identities = {name: Identity.of(child.pid) for name, child in children.items() if child.running}
    state = {name: asdict(identity) for name, identity in identities.items() if identity}
    part = directory / "state.part"
    part.write_text(json.dumps(state), encoding="ascii")
    part.replace(directory / _STATE)


def forget(directory: Path) -> None:
    """All of them were stopped."""
    (directory / _STATE).unlink(missing_ok=True)


def clear(directory: Path, say: Callable[[str], None]) -> None:
    """End the processes of a demo that is dead; a pid that means another process now is left alone."""
    try:
        state = json.loads((directory / _STATE).read_text(encoding="ascii"))
        left = {name: Identity(**identity) for name, identity in state.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return  # none, or torn: nothing we could trust
    for name, identity in left.items():
        if not identity.alive():
            continue
        say(f"Stopping {name} (pid {identity.pid}), left behind by an earlier demo")
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(identity.pid, number)  # each child leads a group of its own
            _wait_until(lambda identity=identity: not identity.alive())  # type: ignore[misc]  # a default binds the loop variable


def cancel_benchmarks(data_dir: Path, say: Callable[[str], None]) -> None:
    """Cancel the benchmarks under way in a data directory, and wait for their end."""
    if not (data_dir / "benchmarks").is_dir():
        return
    from dashboard.benchmark.directory import TERMINAL  # only where one ever ran
    from dashboard.benchmark.runs import Benchmarks

    benchmarks = Benchmarks(data_dir)
    for run in benchmarks.runs():
        if run.state not in TERMINAL:
            say(f"Cancelling benchmark {run.run_id}")
            benchmarks.cancel(run.run_id, "the demo, which ended")
    _wait_until(lambda: all(run.state in TERMINAL for run in benchmarks.runs()))


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
