"""The example's misbehaviours and its healthy control, run for real: when each became a fact, and when it was named.

    python -m tests.verdict.misbehaviours               # a table: three seeds of each
    python -m tests.verdict.misbehaviours --record      # seed 0 into tests/recordings/runs

A run is judged after each of its generations from what its log held then, as somebody saw it who had the page open.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from collectors.runs import RunsDirectory
from dashboard.catalogue import evolution as metrics
from dashboard.feed import Feed, Window, axis
from dashboard.processes import Child
from dashboard.verdict import balance
from dashboard.verdict.evolution import FEW_GENOMES
from tests.services import ROOT, wait_until
from tests.verdict.recorded import RUNS, lived

OBJECTIVE_SECONDS = 0.1  # the dashboard's default
ALWAYS = ("--pace", "0", "--requests", "2000")


@dataclass(frozen=True, slots=True)
class Case:
    """One way to start the example."""

    name: str
    options: tuple[str, ...]
    generations: int
    word: str  # that names it; of the healthy control the one it must have throughout


CASES = (
    Case("healthy", (), 60, "improving"),
    Case("mutation-zero", ("--mutation-rate", "0"), 40, "collapsed"),
    Case("nan", ("--nan",), 6, "diverged"),
    Case("freeze-expert", ("--freeze-expert", "3"), 20, "dead"),
    Case("slow", ("--slow",), 12, "slow"),
)
RECORDED_GENERATIONS = {"healthy": 150, "mutation-zero": 80, "nan": 40, "freeze-expert": 40, "slow": 12}


@dataclass(frozen=True, slots=True)
class Found:
    """How a case went, in generations. None: it never came to that."""

    words: tuple[tuple[int, str], ...]  # the verdict after each generation
    happened: int | None  # became a fact of the log
    named: int | None  # was said by a verdict, and from then on at every generation


def start(
    case: Case, runs_dir: Path, *, seed: int = 0, generations: int | None = None, port: int = 0
) -> Child:
    """The example as a process, not started yet."""
    many = str(generations or case.generations)
    command = [sys.executable, "-m", "examples.evolving_router", *ALWAYS, *case.options, "--seed", str(seed)]
    command += [
        "--port",
        str(port),
        "--generations",
        many,
        "--run-name",
        case.name,
        "--runs-dir",
        str(runs_dir),
    ]
    return Child(case.name, command, log=runs_dir.with_suffix(".log"), cwd=ROOT)


def points(runs_dir: Path) -> tuple[str, pd.DataFrame]:
    """The id of the only run there and its points."""
    directory = RunsDirectory(runs_dir)
    [record] = directory.runs()
    frame, _, _ = axis.joined(axis.scraped([]), axis.logged(directory.generations(record.run_id)), None)
    return record.run_id, frame


def look(case: Case, runs_dir: Path) -> Found:
    """Judge the run after each generation."""
    run_id, frame = points(runs_dir)
    history = lived(frame)
    said = [verdict.word for _, verdict in history]
    words = tuple(zip([generation for generation, _ in history], said, strict=True))
    if case.word == "dead":
        shares = _shares(runs_dir, run_id)
        dead = shares[3] == 0
        names = [_named(shares[:, : n + 1]) for n in range(shares.shape[1])]
        return Found(
            words, _first_of_the_rest(dead), _first_of_the_rest(np.array(["3" in one for one in names]))
        )
    if case.word == "slow":
        slow = np.array(list(_slow(runs_dir / run_id, frame)))
        return Found(
            words, _first_of_the_rest(slow), None
        )  # named by an alert, which a Prometheus is asked for
    if case.word == "improving":
        return Found(words, None, None)
    return Found(
        words, _first_of_the_rest(_fact(case, frame)), _first_of_the_rest(np.array(said) == case.word)
    )


def _fact(case: Case, frame: pd.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Whether it is so at each generation, by the numbers alone."""
    population = frame[metrics.POPULATION.name].to_numpy()
    if case.word == "collapsed":
        return np.asarray(frame[metrics.DISTINCT.name].to_numpy() <= np.maximum(1, FEW_GENOMES * population))
    return np.asarray(frame[metrics.NONFINITE.name].to_numpy() >= population / 2)


def _shares(runs_dir: Path, run_id: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    with contextlib.closing(Feed(None, RunsDirectory(runs_dir))) as feed:
        return feed.experts(run_id, Window("now-30d", "now")).share[""]


def _named(share: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> set[str]:
    """Experts called dead at the newest point."""
    experts = tuple(map(str, range(len(share))))
    return {one.expert for one in balance.named("", experts, share * len(share)) if one.condition == "dead"}


def _slow(folder: Path, frame: pd.DataFrame) -> Iterator[bool]:
    """After each generation: did the typical request so far miss the objective?"""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    served = [line for line in lines if line["event"] == "Inference completed"]
    times = [pd.Timestamp(line["timestamp"]).timestamp() for line in served]
    for end in frame["time"]:
        latencies = [line["latency_ms"] for line, at in zip(served, times, strict=True) if at <= end]
        yield bool(latencies) and statistics.median(latencies) > 1000 * OBJECTIVE_SECONDS


def _first_of_the_rest(holds: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> int | None:
    """The generation (counted from 1) since which it holds to the end."""
    if not len(holds) or not holds[-1]:
        return None
    broken = np.flatnonzero(~holds)
    return int(broken[-1]) + 2 if len(broken) else 1


def run(case: Case, runs_dir: Path, *, seed: int = 0, generations: int | None = None) -> None:
    """Run a case to its end."""
    with start(case, runs_dir, seed=seed, generations=generations) as child:
        wait_until(lambda: not child.running, 600, case.name)
        if child.returncode:
            raise SystemExit(f"{case.name} ended with {child.returncode}:\n{child.tail()}")


def record(case: Case) -> None:
    """Write the recording anew, without the names of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        runs_dir = Path(folder) / "runs"
        run(case, runs_dir, generations=RECORDED_GENERATIONS[case.name])
        [made] = runs_dir.iterdir()
        target = RUNS / case.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in ("generations.jsonl", "topologies.jsonl", "topology.json"):
            shutil.copy(made / name, target / name)
        said = json.loads((made / "run.json").read_text()) | {"host": "recorded", "pid": 1}
        (target / "run.json").write_text(json.dumps(said, indent=2) + "\n")
        if case.name == "slow":
            shutil.copy(made / "events.jsonl", target / "events.jsonl")


def main() -> None:
    """Print the table, or record."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--record", nargs="*", metavar="CASE", help="write the recordings of these cases; of all"
    )
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.record is not None:
        for case in CASES:
            if not chosen.record or case.name in chosen.record:
                record(case)
        return
    print(
        "| example started with | seed | generations | became a fact in | named after | later by | other words |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        for seed in range(chosen.seeds):
            with tempfile.TemporaryDirectory() as folder:
                runs_dir = Path(folder) / "runs"
                run(case, runs_dir, seed=seed)
                found = look(case, runs_dir)
            late = found.named - found.happened if found.named and found.happened else ""
            others = ", ".join(
                f"{word} {min(g for g, w in found.words if w == word)}–{max(g for g, w in found.words if w == word)}"
                for word in dict.fromkeys(word for _, word in found.words)
            )
            what = " ".join(case.options) or "nothing (healthy)"
            row = (
                what,
                seed,
                len(found.words),
                found.happened or "",
                found.named or "",
                late,
                others,
            )
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
