"""Several runs over each other."""

import numpy as np
import pandas as pd

from dashboard.catalogue import evolution as metrics
from dashboard.figures import overlay
from dashboard.figures.evolution import Options


def run(best: list[float], start: float = 0.0) -> pd.DataFrame:
    count = len(best)
    return pd.DataFrame({
        "time": start + 2.0 * np.arange(count), "generation": np.arange(count) * 1.0, "elapsed_seconds": 2.0 * np.arange(count),
        str(metrics.BEST): best,
    })  # fmt: skip


def test_runs_that_began_at_different_times_are_aligned_at_their_start():
    figure = overlay.draw({"a": run([0.1, 0.2]), "b": run([0.3, 0.1], start=1e9)}, Options("elapsed"))
    assert [trace.x.tolist() for trace in figure.data] == [[0.0, 2.0], [0.0, 2.0]]
    assert figure.data[1].y.tolist() == np.float32([0.3, 0.3]).tolist()


def test_a_fitness_is_reached_at_a_generation_and_after_a_time_or_never():
    assert overlay.reached(run([0.1, 0.5, 0.9]), 0.5) == (1.0, 2.0)
    assert overlay.reached(run([0.1, 0.5, 0.9]), 2.0) is None


def test_a_legend_from_outside_is_escaped():
    assert overlay.draw({"<a href>": run([0.1])}, Options()).data[0].name == "&lt;a href&gt;"
