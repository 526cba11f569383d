"""Kills at random moments, counted: `python -m tests.benchmark.kills_job [--kills 1000]` prints the table and fails on a lie.

Each turn starts a run and then sends SIGKILL or SIGTERM to its supervisor or its worker, or cancels it, at a moment drawn
at random from the click on. What must hold afterwards is in `random_kill`; the test suite holds a few turns to the same.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dashboard.benchmark.directory import TERMINAL
from dashboard.processes import Identity
from tests.benchmark.conftest import SHORT, Room, opened

SEED = 20_240_607
TARGETS = ("good", "slow", "forks", "segfaults")
PROFILE = replace(SHORT, cell_seconds=0.2, launches=2)
LATEST_SECONDS = 1.2  # after the click; an undisturbed run takes about as long
ROOM_TURNS = 50  # a directory of its own for so many turns, so that listing runs stays cheap
FILES = {  # what a run of each end state leaves behind
    "done": ["report.json"],
    "failed": ["error.txt"],
    "cancelled": ["error.txt"],
    "timed out": ["error.txt"],
    "lost": [],
}


@dataclass(frozen=True)
class Turn:
    """What was done to one run, and how it ended."""

    done: str  # "SIGKILL supervisor", "cancel", … or "nothing: already over"
    state: str
    seconds: float  # from then to the end state


def random_kill(room: Room, dice: random.Random) -> Turn:
    """One turn: start, disturb, wait.

    Raises:
        AssertionError: the end state is not for ever or not what the files say, or a process was left.
    """
    run_id = room.start(dice.choice(TARGETS), PROFILE)
    time.sleep(dice.uniform(0.0, LATEST_SECONDS))
    done = disturb(room, run_id, dice)
    asked = time.monotonic()
    view = room.wait(run_id)
    seconds = time.monotonic() - asked
    path = room.benchmarks.directory(run_id).path
    left = [name for name in ("report.json", "error.txt") if (path / name).exists()]
    assert left == FILES[view.state], (done, view.state, left)
    room.nobody_left(run_id)
    for _ in range(3):
        assert room.benchmarks.run(run_id).state == view.state in TERMINAL  # an end is for ever
    if "report.json" in left:
        json.loads((path / "report.json").read_text())
    return Turn(done, view.state, seconds)


def disturb(room: Room, run_id: str, dice: random.Random) -> str:
    """Cancel the run, or send a signal to one of its processes if it lives."""
    victim = dice.choice(["supervisor", "worker", "cancel"])
    number = dice.choice([signal.SIGKILL, signal.SIGTERM])
    if room.benchmarks.run(run_id).state in TERMINAL:
        return "nothing: already over"
    if victim == "cancel":
        room.benchmarks.cancel(run_id, "chaos")
        return "cancel"
    name = "supervisor started" if victim == "supervisor" else "launch started"
    found = [
        event["process"]
        for event in room.benchmarks.events(run_id)[0]
        if event["event"] == name and event.get("process")
    ]
    if not found or not Identity(**found[-1]).alive():
        return f"nothing: no {victim} now"
    os.kill(found[-1]["pid"], number)
    return f"{number.name} {victim}"


def main() -> int:
    """Run the turns and print the table; the exit status is 1 after a lie."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    turns: list[Turn] = []
    lies: list[str] = []
    with suppress(KeyboardInterrupt):  # what was counted until then is a result, too
        for first in range(0, asked.kills, ROOM_TURNS):
            with tempfile.TemporaryDirectory(prefix="moe-kills-") as folder, opened(Path(folder)) as room:
                for number in range(first, min(first + ROOM_TURNS, asked.kills)):
                    try:
                        turns.append(random_kill(room, dice))
                    except AssertionError as why:
                        lies.append(f"turn {number}: {why}")
            print(f"{len(turns) + len(lies)} turns, {len(lies)} lies", file=sys.stderr, flush=True)
    print(table(turns))
    print(f"\n{len(turns) + len(lies)} turns, {len(lies)} lies about a state or processes left.")
    print("\n".join(lies))
    return 1 if lies else 0


def table(turns: list[Turn]) -> str:
    """Counts of end states by what was done, and how long the end took."""
    states = [state for state in FILES if any(turn.state == state for turn in turns)]
    lines = [
        "| done to the run | turns | " + " | ".join(states) + " | to the end: median | 95 % | longest |",
        "|---|---|" + "---|" * (len(states) + 3),
    ]
    for done in sorted({turn.done for turn in turns}):
        mine = [turn for turn in turns if turn.done == done]
        counts = Counter(turn.state for turn in mine)
        seconds = np.quantile([turn.seconds for turn in mine], [0.5, 0.95, 1.0])
        cells = [done, len(mine), *(counts[state] for state in states), *(f"{s:.1f} s" for s in seconds)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
