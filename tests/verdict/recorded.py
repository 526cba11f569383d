"""Recorded runs of the example router as the feed hands them out, whole or as they stood after some generations.

Each is made by `python -m tests.verdict.misbehaviours --record NAME`: the example with seed 0, healthy or told to
misbehave. Host and process id in run.json are blanked.
"""

from pathlib import Path

import pandas as pd

from collectors.runs import RunsDirectory
from dashboard.feed import axis
from dashboard.verdict.evolution import Standing, Verdict, judge

RUNS = Path(__file__).parents[1] / "recordings" / "runs"
RUNNING = Standing("running", "Its process holds the lock of the run.", active=True)


def frame(name: str) -> pd.DataFrame:
    """All points of a recorded run."""
    directory = RunsDirectory(RUNS)
    table, _, _ = axis.joined(axis.scraped([]), axis.logged(directory.generations(name)), None)
    return table


def judged(points: pd.DataFrame, standing: Standing = RUNNING, *, later: float = 1.0) -> Verdict:
    """The verdict on these points, seen `later` seconds after the newest."""
    return judge(standing, points, float(points["time"].iloc[-1]) + later)


def lived(points: pd.DataFrame) -> list[tuple[int, Verdict]]:
    """The verdict after each generation, as somebody sees it who has the page open all the time."""
    return [
        (int(points["generation"].iloc[n - 1]), judged(points.iloc[:n])) for n in range(1, len(points) + 1)
    ]
