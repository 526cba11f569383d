"""Thinning may drop rows, never what a person would see."""

import numpy as np
import pandas as pd

from dashboard.feed import thin


def table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "time": np.arange(rows) * 0.5,
            "generation": np.arange(rows, dtype=float),
            "segment": (np.arange(rows) >= rows // 3).astype(int),
            "hole_before": np.zeros(rows, bool),
            "evolution_fitness_best": rng.normal(size=rows),
            "training_loss": rng.normal(size=rows),
        }
    )


def test_a_short_frame_is_returned_itself():
    frame = table(50)
    assert thin(frame, 100) is frame


def test_extremes_ends_and_restarts_survive():
    frame = table(100_000)
    frame.loc[54_321, "evolution_fitness_best"] = 99.0
    frame.loc[77_777, "training_loss"] = -99.0
    thinned = thin(frame, 2000)
    assert len(thinned) <= 2100
    assert thinned["evolution_fitness_best"].max() == 99
    assert thinned["training_loss"].min() == -99
    assert {0, 99_999, 33_332, 33_333} <= set(thinned.index)
    assert thinned.index.is_monotonic_increasing


def test_every_bucket_keeps_its_own_extremes():
    frame = table(10_000)
    thinned = thin(frame, 300, ["training_loss"])
    for at in range(0, 10_000, 1000):
        part, kept = frame.loc[at : at + 999, "training_loss"], thinned.loc[at : at + 999, "training_loss"]
        assert part.max() == kept.max()
        assert part.min() == kept.min()


def test_a_hole_stays_a_hole():
    frame = table(10_000)
    frame.loc[5003, "hole_before"] = True
    thinned = thin(frame, 200)
    after = thinned[thinned.index >= 5003].index[0]
    assert thinned.loc[after, "hole_before"]
    assert thinned["hole_before"].sum() == 1


def test_a_value_that_was_not_a_number_stays_a_gap():
    frame = table(10_000)
    frame.loc[4000:4010, "training_loss"] = np.nan
    assert thin(frame, 300)["training_loss"].isna().any()
