"""Numbers beside runs that lie over each other, and what their configurations differ in."""

import numpy as np
import pandas as pd

from dashboard.catalogue import evolution as metrics
from dashboard.feed import Run
from dashboard.shell.overlay import differences, legends, measured

ONE = Run("digits-1-aaaa", "digits", state="finished", config={"seed": "1", "experts": "8"})
TWO = Run(
    "digits-2-bbbb",
    "digits",
    state="running",
    active=True,
    config={"seed": "10", "experts": "8", "nan": "True"},
)


def points(best: list[float], evaluations: list[float] | None = None) -> pd.DataFrame:
    count = len(best)
    frame = pd.DataFrame({
        "time": 2.0 * np.arange(count), "generation": np.arange(1.0, count + 1), "elapsed_seconds": 2.0 * np.arange(count), str(metrics.BEST): best,
    })  # fmt: skip
    return frame if evaluations is None else frame.assign(**{str(metrics.EVALUATIONS): evaluations})


def test_only_what_differs_is_shown_and_what_is_not_said_is_a_dash():
    table = differences([ONE, TWO])
    assert sorted(table.index) == ["nan", "seed"]
    assert table.loc["nan"].tolist() == ["–", "True"]


def test_runs_of_one_name_are_told_apart_by_their_id():
    assert len(set(legends([ONE, TWO]))) == 2
    same_end = [Run("a/longer-host:9100", "x"), Run("b/longer-host:9100", "x")]
    assert legends(same_end) == ["a/longer-host:9100", "b/longer-host:9100"]


def test_a_fitness_reached_is_a_generation_a_time_and_evaluations_and_one_not_reached_is_words():
    runs = {"one": ONE, "two": TWO}
    frames = {"one": points([0.1, 0.5, 0.9], [24.0, 48.0, 72.0]), "two": points([0.1, 0.2])}
    table = measured(runs, frames, 0.5, "generation", "one")
    first, second = table.to_dict("records")
    assert (first["reached 0.5 at"], first["after"], first["evaluations"]) == ("generation 2", "2 s", "48")
    assert second["reached 0.5 at"] == "not reached yet"
    assert (first["mean difference to one"], second["mean difference to one"]) == ("–", "-0.15")
    assert second["difference at the end"] == "-0.3"
    [late] = measured({"one": ONE}, {"one": points([0.1])}, 0.5, "generation", "").to_dict("records")
    assert late["after"] == "never reached"


def test_evaluations_that_were_not_told_are_not_made_up():
    [row] = measured({"one": ONE}, {"one": points([0.1, 0.5])}, 0.5, "generation", "").to_dict("records")
    assert row["evaluations"] == "not told"
