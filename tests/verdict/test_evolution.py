"""A run in one word: right on recorded runs, early, and never a cry on a healthy one."""

import numpy as np
import pandas as pd
import pytest

from dashboard.catalogue import evolution as metrics
from dashboard.verdict.evolution import MOST_PATIENCE, PATIENCE, Standing, judge
from tests.verdict.recorded import RUNNING, frame, judged, lived


def made(
    best: list[float], *, generations: list[float] | None = None, pace: float = 1.0, **columns: list[float]
) -> pd.DataFrame:
    """Points of a made-up run, a generation every `pace` seconds; columns are metric names without evolution_."""
    count = len(best)
    steps = generations or [float(i + 1) for i in range(count)]
    segment = np.cumsum(np.append(False, np.diff(steps) < 0))
    table = {
        "time": 1e9 + pace * np.arange(count),
        "generation": steps,
        "segment": segment,
        str(metrics.BEST): best,
    }
    return pd.DataFrame(table | {f"evolution_{name}": values for name, values in columns.items()})


def flat(count: int, value: float = 0.9) -> list[float]:
    """A climb of ten generations, then nothing."""
    return [value * i / 10 for i in range(10)] + [value] * count


def test_a_healthy_run_is_improving_from_its_third_generation_to_its_last():
    assert {verdict.word for generation, verdict in lived(frame("healthy")) if generation >= 3} == {
        "improving"
    }


@pytest.mark.parametrize("name", ["freeze-expert", "slow"])
def test_a_search_whose_routing_or_serving_is_ill_is_no_worse_a_search(name):
    history = lived(frame(name))
    assert [verdict.word for _, verdict in history] == ["unknown"] * 2 + ["improving"] * (len(history) - 2)
    assert not any("faster" in verdict.sentence for _, verdict in history)


def test_mutation_switched_off_is_a_collapse_two_generations_after_the_last_second_genome_died():
    history = lived(frame("mutation-zero"))
    first = next(generation for generation, verdict in history if verdict.word == "collapsed")
    verdict = history[-1][1]
    assert verdict.since == 20
    assert first == 22
    assert all(verdict.word == "collapsed" for generation, verdict in history if generation >= first)
    assert "One distinct genome of 24; diversity 0.00" in verdict.sentence
    assert "Mutation is off" in verdict.sentence


def test_an_absurd_learning_rate_is_a_divergence_in_the_generation_that_lost_its_numbers():
    history = lived(frame("nan"))
    assert history[0][1].word == "unknown"
    assert {verdict.word for _, verdict in history[1:]} == {"diverged"}
    assert "24 of 24 individuals have no finite fitness, since generation 2." in history[-1][1].sentence


def test_a_healthy_run_that_ended_says_when_it_gained_last():
    verdict = judged(
        frame("healthy"), Standing("finished", "It says that it finished.", active=False), later=1e6
    )
    assert verdict.word == "finished"
    assert "Best 0.907 at generation 150 of 150." in verdict.sentence


def test_a_failed_run_says_why():
    gone = "Its process is gone without a word."
    verdict = judged(frame("healthy"), Standing("failed", gone, active=False))
    assert (verdict.word, verdict.evidence[0]) == ("failed", gone)


def test_a_generation_that_does_not_end_is_stuck_and_not_stagnated():
    verdict = judged(frame("healthy"), later=600)
    assert verdict.word == "stuck"
    assert "No generation has ended for 10 min" in verdict.sentence


def test_a_paused_run_is_not_stuck():
    verdict = judged(
        frame("healthy"), Standing("paused", "It says that it is paused.", active=False), later=600
    )
    assert verdict.word == "improving"
    assert "The run is paused." in verdict.evidence


def test_a_run_nobody_has_heard_of_is_unknown():
    silent = Standing("unknown", "Prometheus last saw it 3 min ago.", active=False)
    assert judged(frame("healthy"), silent).word == "unknown"


def test_a_restart_is_not_a_loss():
    points = made([0.1, 0.5, 0.9, 0.1, 0.2], generations=[1, 2, 3, 1, 2])
    verdict = judge(
        RUNNING, points, float(points["time"].iloc[-1]), restarts=("generation fell from 3 to 1",)
    )
    assert verdict.word == "restarted"
    assert verdict.evidence[0] == "Generation fell from 3 to 1."


def test_no_gain_in_a_population_that_agrees_is_convergence():
    best = flat(60)
    verdict = judged(
        made(best, fitness_average=[value - 0.01 for value in best], distinct_genomes=[20.0] * len(best))
    )
    assert verdict.word == "converged"
    assert "No gain above 0.0009" in verdict.sentence
    assert "The mean stands 0.01 below the best" in verdict.sentence


def test_no_gain_in_a_population_that_differs_is_stagnation():
    best = flat(60)
    verdict = judged(
        made(best, fitness_average=[value / 2 for value in best], diversity_score=[0.45] * len(best))
    )
    assert verdict.word == "stagnated"
    assert "Diversity 0.45." in verdict.evidence


def test_mutation_that_is_published_but_has_no_effect_is_named():
    best = flat(60)
    points = made(
        best,
        distinct_genomes=[1.0] * len(best),
        population_size=[24.0] * len(best),
        mutation_rate=[0.1] * len(best),
    )
    verdict = judged(points)
    assert verdict.word == "collapsed"
    assert "The published mutation rate 0.1 has no effect." in verdict.evidence


def test_patience_waits_thirty_generations_at_the_least():
    assert judged(made(flat(PATIENCE))).word == "improving"
    assert judged(made(flat(PATIENCE + 2))).word != "improving"


def test_gains_below_the_threshold_still_count_once_they_add_up():
    climb = [0.0, *(0.5 + 0.0004 * i for i in range(80))]
    assert judged(made(climb)).word == "improving"


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1000.0, 0.0), (1.0, -50.0), (1e-6, 3.0)])
def test_the_scale_of_fitness_does_not_matter(scale, shift):
    improving = made([shift + scale * i / 40 for i in range(40)])
    over = made([shift + scale * value for value in flat(60)])
    assert judged(improving).word == "improving"
    assert judged(over).word != "improving"


def test_a_best_that_falls_is_no_error():
    noisy = [0.1 * i + (0.3 if i % 3 == 0 else 0.0) for i in range(40)]
    assert judged(made(noisy)).word == "improving"


FAST = "Generations became 20 times faster (100 ms instead of 2 s) since generation 31"


@pytest.mark.parametrize("later", [20, 60, 400])
def test_generations_that_became_fast_because_nothing_is_evaluated_are_named_for_as_long_as_it_is_so(later):
    best = flat(20 + later)
    points = made(
        best,
        generation_duration_seconds=[2.0] * 30 + [0.1] * later,
        evaluations_total=[24.0 * min(i, 29) for i in range(30 + later)],
    )
    assert f"{FAST} because nothing new is evaluated." in judged(points).evidence


def test_fast_generations_whose_evaluations_nobody_counts_are_a_question():
    points = made(flat(60), generation_duration_seconds=[2.0] * 30 + [0.1] * 40)
    assert f"{FAST}: see whether anything new is evaluated." in judged(points).evidence


def test_generations_that_became_fast_and_evaluate_as_much_as_before_are_no_news():
    points = made(
        flat(60),
        generation_duration_seconds=[2.0] * 30 + [0.1] * 40,
        evaluations_total=[24.0 * i for i in range(70)],
    )
    assert "faster" not in judged(points).sentence


def test_one_slow_generation_among_fast_ones_is_no_speed_gained():
    points = made(flat(60), generation_duration_seconds=[20.0] * 2 + [0.1] * 68)
    assert "faster" not in judged(points).sentence


@pytest.mark.parametrize("length", [1000, 20_000])
def test_hundreds_of_generations_without_a_gain_are_a_plateau_in_a_run_of_any_length(length):
    rare = [float(i // 150) for i in range(length)]  # a gain every 150 generations, which is healthy
    assert judged(made(rare)).word == "improving"
    plateau = [*rare, *[rare[-1]] * (MOST_PATIENCE + 1)]
    differs = judged(made(plateau, fitness_average=[0.0] * len(plateau)))
    agrees = judged(made(plateau, fitness_average=plateau))
    assert (differs.word, agrees.word) == ("stagnated", "converged")
    assert f"No gain above {differs.evidence[0].split()[3]} for " in differs.evidence[0]


def test_a_few_individuals_without_a_fitness_are_named_and_are_no_divergence():
    best = [i / 40 for i in range(40)]
    points = made(best, nonfinite_fitness_count=[0.0] * 38 + [2.0] * 2, population_size=[24.0] * len(best))
    verdict = judged(points)
    assert verdict.word == "improving"
    assert "2 of 24 individuals have no finite fitness, since generation 39." in verdict.evidence


def test_a_run_without_a_generation_is_judged_by_its_points():
    points = made(flat(60)).assign(generation=np.nan)
    assert judged(points).word == "stagnated"


def test_a_run_without_fitness_is_unknown():
    assert judged(made([np.nan] * 10)).word == "unknown"


def test_a_fitness_that_stopped_being_reported_as_a_number_is_a_divergence():
    verdict = judged(made([0.1, 0.2, 0.3, np.nan, np.nan, np.nan]))
    assert verdict.word == "diverged"
    assert verdict.evidence[0] == "The best fitness is not a number since generation 4."
