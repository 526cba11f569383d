"""Stories of runs: stagnation, diversity, numbers that are none, generations that stop."""

import math

from tests.alerts.story import FINISHED, ROUTER, RUN, Case, histogram, run, values

_NOISY = values(0.9 - 0.01 * (i % 3) for i in range(60))
_STAGNATION = (
    Case(
        "EvolutionStagnation",
        "a plateau on which the best of the generation jitters",
        run(fitness_best=_NOISY, generation="0+5x60", diversity_score="0.05x60", mutation_rate="0x60"),
        fires_at="40m",
        says=(
            "Evolution does not improve (run r1)",
            "Generations advance on router:9100, yet the best fitness of run r1 has not risen by 0.001 in 10 minutes, or not at all in 30 generations.",
        ),
    ),
    Case(
        "EvolutionStagnation",
        "stuck from birth: no history to compare with, but the run counts its generations",
        run(fitness_best="0.3x30", generations_since_improvement="0+10x30"),
        fires_at="9m",
    ),
    Case(
        "EvolutionStagnation",
        "a run that improves",
        run(fitness_best="0.1+0.002x120", generations_since_improvement="1x120"),
        until="2h",
    ),
    Case(
        "EvolutionStagnation",
        "restart: a new run starts lower under the same labels and improves",
        run(
            fitness_best=values([*(0.3 + 0.02 * i for i in range(30)), *(0.2 + 0.01 * i for i in range(40))]),
            generation=values([*(3 * i for i in range(30)), *(3 * i for i in range(40))]),
        ),
        until="70m",
    ),
    Case(
        "EvolutionStagnation",
        "finished run: it improved, ended, and its last numbers stay",
        run(
            active=values([1] * 30 + [0] * 90),
            fitness_best=values([*(0.3 + 0.02 * i for i in range(30)), *[0.88] * 90]),
            generation=values([*(3 * i for i in range(30)), *[87] * 90]),
            generations_since_improvement=values([0] * 30 + [40] * 90),
        ),
        until="2h",
    ),
    Case(
        "EvolutionStagnation",
        "start of a run: the first ten minutes have nothing to compare with",
        run(fitness_best="0.3x9", generations_since_improvement="0+1x9", generation="0+1x9"),
        until="9m",
    ),
    Case(
        "EvolutionStagnation",
        "slow run: a generation takes 20 minutes",
        run(fitness_best=values(0.3 + 0.01 * (i // 20) for i in range(120)), generation=values(i // 20 for i in range(120))),
        until="2h",
    ),
    Case(
        "EvolutionStagnation",
        "no traffic and no run: the process only serves",
        histogram(ROUTER, 0, 0, 60),
        until="1h",
    ),
)  # fmt: skip

_DIVERSITY = (
    Case(
        "LowPopulationDiversity",
        "the population has become one genome",
        run(diversity_score="0.04x30"),
        fires_at="6m",
        says=(
            "The population is nearly one genome (run r1)",
            "Diversity on router:9100 is 0.040, under 0.1: the search has probably converged too early.",
        ),
    ),
    Case(
        "LowPopulationDiversity",
        "start of a run: generation 0 reads 0",
        run(diversity_score="0x30", generation="0x30"),
        until="30m",
    ),
    Case(
        "LowPopulationDiversity",
        "finished run: it converged and ended",
        run(active="0x60", diversity_score="0.01x60", generation="100x60"),
        until="1h",
    ),
    Case(
        "LowPopulationDiversity",
        "restart: the first two generations are poor, then the population spreads",
        run(diversity_score=values([0.5] * 10 + [0.05] * 2 + [0.6] * 20)),
        until="30m",
    ),
)

_NAN = (
    Case(
        "EvolutionFitnessNaN",
        "the best fitness is NaN",
        run(fitness_best=values([0.5] * 5 + [math.nan] * 10)),
        fires_at="8m",
        labels=(("metric", "evolution_fitness_best"),),
        says=("Fitness is not a number (run r1)", "evolution_fitness_best on router:9100 is NaN: selection by it means nothing."),
    ),
    Case("EvolutionFitnessNaN", "the mean is NaN", run(fitness_average=values([math.nan] * 10)), fires_at="8m"),
    Case("EvolutionFitnessNaN", "diversity is NaN", run(diversity_score=values([math.nan] * 10)), fires_at="8m"),
    Case("EvolutionFitnessNaN", "the best is infinite", run(fitness_best="+Inf +Inf +Inf +Inf"), fires_at="3m"),
    Case("EvolutionFitnessNaN", "NaN was dropped on the way; the count says it", run(nonfinite_fitness_count="3x10"), fires_at="8m"),
    Case(
        "EvolutionFitnessNaN",
        "finished run: NaN is left behind",
        {**run(active="0x30", nonfinite_fitness_count="3x30", fitness_best=values([math.nan] * 30)), **FINISHED},
        until="30m",
    ),
    Case(
        "EvolutionFitnessNaN",
        "start of a run and restart: nothing said is not NaN",
        run(fitness_best=values([0.1, 0.2, 0.3, 0.1, 0.2]), nonfinite_fitness_count="0x5"),
        until="5m",
    ),
    Case(
        "TrainingLossNaN",
        "the loss is NaN",
        {f"training_loss{{{RUN}}}": values([0.5, *[math.nan] * 5])},
        fires_at="4m",
        says=("Training loss is not a number (run r1)", "The training loss of run r1 on router:9100 is NaN: the experts' weights are lost from here on."),
    ),
    Case("TrainingLossNaN", "the loss is infinite", {f"training_loss{{{RUN}}}": "0.5 +Inf +Inf +Inf"}, fires_at="3m"),
    Case(
        "TrainingLossNaN",
        "finished run: NaN is left behind",
        {f"training_loss{{{RUN}}}": values([math.nan] * 30), **FINISHED},
        until="30m",
    ),
    Case(
        "TrainingLossNaN",
        "start of a run and restart: a high loss is a number",
        {f"training_loss{{{RUN}}}": "1e6 5 0.5 1e6 5 0.5"},
        until="6m",
    ),
)  # fmt: skip


def _stalled_at(minute: int, last: int) -> dict[str, str]:
    """A run of 20-second generations that stops producing them; promtool's clock starts at 0."""
    beat = [60 * min(i, minute) for i in range(last)]
    return run(
        generation=values(3 * min(i, minute) for i in range(last)),
        last_generation_timestamp_seconds=values(beat),
        generation_duration_seconds=f"20x{last}",
    )


_STALLED = (
    Case(
        "GenerationStalled",
        "the heartbeat stops while the run says it is active",
        _stalled_at(10, 40),
        fires_at="20m",
        says=("No new generation (run r1)", "Run r1 on router:9100 has not finished a generation for far longer than one takes."),
    ),
    Case(
        "GenerationStalled",
        "only the guide's metrics: it moved for an hour, then not for 20 minutes",
        {f"evolution_generation_current{{{RUN}}}": values(3 * min(i, 60) for i in range(120))},
        fires_at="82m",
    ),
    Case(
        "GenerationStalled",
        "finished run: the flag says so",
        {**_stalled_at(10, 120), **run(active=values([1] * 10 + [0] * 110), generation=values(3 * min(i, 10) for i in range(120)))},
        until="2h",
    ),
    Case(
        "GenerationStalled",
        "start of a run: the first generation takes long",
        run(generation="0x20"),
        until="20m",
    ),
    Case(
        "GenerationStalled",
        "slow run: a generation takes 20 minutes and it has been 40",
        run(
            generation=values(i // 20 for i in range(61)),
            last_generation_timestamp_seconds=values(60 * 20 * (i // 40) for i in range(61)),
            generation_duration_seconds="1200x61",
        ),
        until="1h",
    ),
    Case(
        "GenerationStalled",
        "restart: three minutes without a generation",
        {
            f"evolution_run_active{{{RUN}}}": "1x20",
            f"evolution_generation_duration_seconds{{{RUN}}}": "20x20",
            f"evolution_last_generation_timestamp_seconds{{{RUN}}}": values(60 * (i if i < 5 or i > 8 else 5) for i in range(20)),
        },
        until="20m",
    ),
)  # fmt: skip

CASES = (
    *_STAGNATION,
    *_DIVERSITY,
    *_NAN,
    *_STALLED,
)
