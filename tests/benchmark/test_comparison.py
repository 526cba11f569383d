"""Verdicts: how often they are wrong, counted on machines whose noise is known, and what they refuse to say."""

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.benchmark import comparison
from tests.benchmark.simulate import Machine, alternated, report

CALM = Machine(launch=0.004)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def words(found: comparison.Comparison) -> dict[str, str]:
    return {verdict.key: verdict.word for verdict in found.verdicts}


def test_unchanged_code_is_not_called_changed():
    """A/A: at most 1 % of runs may have any cell called changed, over all cells. 150 runs allow for 5."""
    dice = rng(2)
    alarms = sum(
        comparison.compare(report(dice, CALM), report(dice, CALM)).word
        in ("suspect", "regressed", "improved")
        for _ in range(150)
    )
    assert alarms <= 5


def test_a_run_wide_shift_that_the_canary_hears_is_not_a_regression():
    dice = rng(3)
    shifting = Machine(run=0.008, launch=0.003)
    alarms = sum(
        comparison.compare(report(dice, shifting), report(dice, shifting)).word in ("suspect", "regressed")
        for _ in range(100)
    )
    assert alarms <= 4


def test_a_slow_down_of_three_per_cent_in_one_cell_is_found():
    dice = rng(4)
    found = 0
    for _ in range(100):
        judged = comparison.compare(report(dice, CALM), report(dice, CALM, slower={7: 1.03}))
        found += words(judged)["cell=7"] == "suspect"
    assert found >= 95


def test_two_stored_runs_say_suspect_and_never_regressed():
    dice = rng(5)
    judged = comparison.compare(report(dice, CALM), report(dice, CALM, slower={3: 1.5}))
    assert words(judged)["cell=3"] == "suspect"
    assert "re-baseline" in next(v.sentence for v in judged.verdicts if v.key == "cell=3")
    assert judged.word == "suspect"


def test_alternated_launches_say_regressed_and_improved():
    dice = rng(6)
    noisy = Machine(run=0.02, launch=0.05)  # a machine that drifts 2 % a launch pair
    judged = comparison.rebaseline(
        alternated(dice, noisy, pairs=20, cells=6, slower={1: 1.03, 2: 0.95}, between=0.008)
    )
    assert words(judged)["cell=1"] == "regressed"
    assert words(judged)["cell=2"] == "improved"
    assert judged.word == "regressed"
    assert judged.mode == "paired"


def test_a_history_of_five_runs_may_say_regressed():
    dice = rng(7)
    machine = Machine(run=0.003, launch=0.004, canary_sees=0.0)
    earlier = [report(dice, machine) for _ in range(6)]
    judged = comparison.against_history(earlier, report(dice, machine, slower={0: 1.06}))
    assert words(judged)["cell=0"] == "regressed"
    assert judged.mode == "history"


def test_a_history_that_is_too_short_is_refused():
    dice = rng(8)
    with pytest.raises(ValueError, match="4 earlier runs compare"):
        comparison.against_history([report(dice, CALM) for _ in range(4)], report(dice, CALM))


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.05, 0.2])
def test_same_is_never_said_of_a_real_two_per_cent_change(noise: float):
    """G5: what cannot be seen is inconclusive. At 99 % confidence one in a hundred may slip; none should often."""
    dice = rng(9)
    wrong = 0
    for _ in range(100):
        judged = comparison.compare(
            report(dice, CALM, cells=4, between=noise),
            report(dice, CALM, cells=4, between=noise, slower=dict.fromkeys(range(4), 1.025)),
        )
        wrong += judged.count("same")
    assert wrong <= 8  # of 400 cells


@settings(max_examples=120, deadline=None)
@given(
    noise=st.floats(0.001, 0.2),
    launches=st.integers(2, 20),
    change=st.floats(0.9, 1.1),
    mode=st.sampled_from(["pairwise", "paired", "history"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_same_is_said_only_with_an_interval_that_excludes_two_per_cent(noise, launches, change, mode, seed):
    """G5 at any noise from 0.1 to 20 %, any number of launches and any true change: an interval that reaches 2 % is not equality."""
    dice = rng(seed)
    slower = dict.fromkeys(range(3), change)
    if mode == "paired":
        judged = comparison.rebaseline(
            alternated(dice, CALM, pairs=launches, cells=3, slower=slower, between=noise)
        )
    else:
        earlier = [
            report(dice, CALM, launches=launches, cells=3, between=noise)
            for _ in range(1 if mode == "pairwise" else 6)
        ]
        new = report(dice, CALM, launches=launches, cells=3, between=noise, slower=slower)
        judged = comparison.compare(earlier[0], new) if mode == "pairwise" else _against(earlier, new)
    if judged is None:
        return  # a canary that moved makes a history too short: nothing is said at all
    for verdict in judged.verdicts:
        if verdict.word == "same":
            assert verdict.low is not None
            assert verdict.high is not None
            assert 1 / 1.02 < verdict.low <= verdict.high < 1.02
        elif verdict.word == "inconclusive" and verdict.low is not None and verdict.high is not None:
            assert verdict.low <= 1 / 1.02 or verdict.high >= 1.02  # and what can be proven is not withheld


def _against(earlier: list[dict[str, Any]], new: dict[str, Any]) -> comparison.Comparison | None:
    try:
        return comparison.against_history(earlier, new)
    except ValueError:
        return None


@pytest.mark.parametrize("noise", [0.001, 0.003, 0.01, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("paired", [False, True])
def test_a_real_two_per_cent_is_called_same_at_most_once_in_a_hundred(noise: float, paired: bool):
    """The same promise counted: machines from 0.1 to 20 % noise, a true change of just what equality rules out."""
    dice = rng(13)
    slower = dict.fromkeys(range(4), 1.02)
    wrong = 0
    for _ in range(100):
        if paired:
            judged = comparison.rebaseline(
                alternated(dice, CALM, pairs=5, cells=4, slower=slower, between=noise)
            )
        else:
            judged = comparison.compare(
                report(dice, CALM, cells=4, between=noise),
                report(dice, CALM, cells=4, between=noise, slower=slower),
            )
        wrong += judged.count("same")
    assert wrong <= 8  # of 400; four are expected at the edge, eight are two standard deviations


def test_equality_is_proven_where_the_noise_allows_it():
    dice = rng(10)
    judged = comparison.compare(report(dice, Machine(launch=0.002)), report(dice, Machine(launch=0.002)))
    assert judged.word == "same"
    assert set(words(judged).values()) == {"same"}


def test_inconclusive_says_what_would_settle_it():
    dice = rng(11)
    judged = comparison.compare(report(dice, CALM, between=0.02), report(dice, CALM, between=0.02))
    sentence = next(v.sentence for v in judged.verdicts if v.word == "inconclusive")
    assert "launches a side would settle it" in sentence
    hopeless = comparison.compare(report(dice, CALM, between=0.3), report(dice, CALM, between=0.3))
    assert any("find a quieter machine" in v.sentence for v in hopeless.verdicts)


def test_one_launch_is_never_enough():
    dice = rng(12)
    judged = comparison.compare(
        report(dice, CALM, launches=1), report(dice, CALM, launches=1, slower={0: 2.0})
    )
    assert set(words(judged).values()) == {"inconclusive"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"environment": {"gpu_name": "simulated", "driver_major": "590"}},
            "driver_major was 580 and is 590",
        ),
        ({"environment": {"gpu_name": "another", "driver_major": "580"}}, "gpu_name"),
        ({"spec_hash": "other"}, "different questions"),
    ],
)
def test_another_machine_or_question_is_incomparable_and_says_why(change: dict[str, Any], said: str):
    dice = rng(13)
    judged = comparison.compare(report(dice, CALM), {**report(dice, CALM), **change})
    assert judged.word == "incomparable"
    assert said in judged.sentence


def test_a_canary_that_moved_makes_runs_incomparable():
    dice = rng(14)
    moved = report(dice, CALM)
    for launch in moved["launches"]:
        launch["canary_seconds"]["matmul_float32"] *= 1.1
    judged = comparison.compare(report(dice, CALM), moved)
    assert judged.word == "incomparable"
    assert "canary" in judged.sentence
    assert judged.canary_ratio == pytest.approx(1.1, rel=0.02)


def test_a_cell_that_fails_now_is_a_regression_and_not_left_out():
    dice = rng(15)
    broken = report(dice, CALM)
    broken["cells"][2] |= {"status": "out of memory", "reason": "asked for 90 GiB"}
    judged = comparison.compare(report(dice, CALM), broken)
    assert words(judged)["cell=2"] == "regressed"
    assert "90 GiB" in next(v.sentence for v in judged.verdicts if v.key == "cell=2")
    mended = comparison.compare(broken, report(dice, CALM))
    assert words(mended)["cell=2"] == "improved"


def test_a_comparison_does_not_change_what_it_compares():
    dice = rng(16)
    old, new = report(dice, CALM), report(dice, CALM)
    before = copy.deepcopy((old, new))
    comparison.compare(old, new)
    assert (old, new) == before
