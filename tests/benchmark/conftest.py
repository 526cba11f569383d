"""A benchmark room of its own for every test: data directory, lease directory, and nobody left when it ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.benchmark import processes
from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.runs import Benchmarks, RunView
from dashboard.benchmark.spec import PROFILES, Profile
from dashboard.processes import Identity

FACTORIES = "tests.benchmark.factories"

EVOLUTION = "examples.evolving_router.benchmark:generation"
SHIPPED = ("reference-moe", "observed-router", EVOLUTION)

Wait = Callable[..., RunView]

SHORT: Profile = replace(
    PROFILES["quick"],
    limit_seconds=40,
    stall_seconds=20,
    cell_seconds=0.3,
    precision=0.05,
    grace_seconds=1.0,
)


class Room:
    """Benchmarks of one test, with the misbehaving targets allowed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.benchmarks = self.another()

    def another(self, memory_limit_bytes: int = 0) -> Benchmarks:
        """A second dashboard over the same directories."""
        names = [
            name
            for name in dir(__import__(FACTORIES, fromlist=["cells"]))
            if hasattr(getattr(__import__(FACTORIES, fromlist=["x"]), name), "cells")
        ]
        allowed = [*SHIPPED, *(f"{FACTORIES}:{name}" for name in names)]
        return Benchmarks(
            self.path / "data",
            allowed,
            runs_dir=self.path / "runs",
            lease_dir=self.path / "leases",
            memory_limit_bytes=memory_limit_bytes,
        )

    def start(self, factory: str, profile: Profile = SHORT, **arguments: object) -> str:
        name = factory if factory in SHIPPED else f"{FACTORIES}:{factory}"
        return self.benchmarks.start(name, device="cpu", adjust=profile, **arguments)  # type: ignore[arg-type]

    def wait(self, run_id: str, seconds: float = 60) -> RunView:
        return self.until(run_id, lambda view: view.state in TERMINAL, seconds)

    def until(self, run_id: str, so: Callable[[RunView], bool], seconds: float = 60) -> RunView:
        deadline = time.monotonic() + seconds
        while True:
            view = self.benchmarks.run(run_id)
            if so(view):
                return view
            assert time.monotonic() < deadline, f"still {view.state} ({view.progress}) {view.error}"
            time.sleep(0.05)

    def event(self, run_id: str, name: str, seconds: float = 60) -> dict[str, object]:
        """Wait for an event of a run."""
        deadline = time.monotonic() + seconds
        while True:
            for event in self.benchmarks.events(run_id)[0]:
                if event["event"] == name:
                    return event
            assert time.monotonic() < deadline, f"no {name!r} in {self.benchmarks.events(run_id)[0]}"
            time.sleep(0.02)

    def processes(self, run_id: str) -> list[int]:
        """Whatever of the run still lives: by mark, and by the sessions it said it opened."""
        directory = self.benchmarks.directory(run_id)
        found = set(processes.marked(directory.spec().mark))
        sessions = {
            event["process"]["pid"]
            for event in directory.events()[0]
            if event["event"] == "launch started" and event.get("process")
        }
        found |= {pid for pid in processes.running_pids() if processes.session_of(pid) in sessions}
        supervisor = next((e for e in directory.events()[0] if e["event"] == "supervisor started"), None)
        if supervisor is not None and Identity(**supervisor["process"]).alive():
            found.add(supervisor["process"]["pid"])
        return sorted(found)

    def nobody_left(self, run_id: str, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while self.processes(run_id):
            assert time.monotonic() < deadline, f"still there: {self.processes(run_id)}"
            time.sleep(0.05)


@contextmanager
def opened(path: Path, made: Room | None = None) -> Iterator[Room]:
    """A room, and nobody in it when it closes."""
    made = made or Room(path)
    try:
        yield made
    finally:
        for summary in made.benchmarks.runs():
            if summary.state not in TERMINAL:
                made.benchmarks.cancel(summary.run_id, "the end of the test")
                made.wait(summary.run_id)
            made.nobody_left(summary.run_id)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One room for all tests of a file that only read what a finished run left."""
    with opened(tmp_path_factory.mktemp("room")) as made:
        yield made
