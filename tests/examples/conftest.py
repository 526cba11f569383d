"""Short runs of the example, in this process and for real: small populations, no pace, many requests a second."""

import json
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from dashboard.observer import Observer
from examples.evolving_router.__main__ import arguments, evolve


@dataclass(frozen=True)
class Finished:
    """What a run left behind."""

    directory: Path
    observer: Observer

    @property
    def generations(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "generations.jsonl").read_text().splitlines()]

    def column(self, name: str) -> list[Any]:
        return [line.get(name) for line in self.generations]


@pytest.fixture(scope="session")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    """Run the example's loop with these options; equal options run once a session."""
    runs: dict[tuple[str, ...], Finished] = {}

    def run(*options: str) -> Finished:
        if options not in runs:
            torch.set_num_threads(1)
            chosen = arguments(["--population", "12", "--pace", "0", "--requests", "2000", *options])
            observer = Observer(runs_dir=tmp_path_factory.mktemp("runs"))
            with observer.run() as one:
                evolve(chosen, observer, one.directory, types.SimpleNamespace(asked=False))
            runs[options] = Finished(one.directory, observer)
        return runs[options]

    return run
