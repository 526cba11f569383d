"""Evolution: is the population still improving, and if not, why?"""

from dashboard.catalogue.spec import Curve, Curves, Metric
from dashboard.catalogue.units import COUNT, NUMBER, SECONDS, TIMESTAMP, TOTAL

RUN = ("run_id",)

GENERATION = Metric(
    "evolution_generation_current", "gauge", COUNT, "Current evolution generation", RUN, guide=True
)
BEST = Metric(
    "evolution_fitness_best", "gauge", NUMBER, "Best fitness score in current generation", RUN, guide=True
)
AVERAGE = Metric(
    "evolution_fitness_average",
    "gauge",
    NUMBER,
    "Average fitness score in current generation",
    RUN,
    guide=True,
)
DIVERSITY = Metric(
    "evolution_diversity_score", "gauge", NUMBER, "Population diversity score", RUN, guide=True
)
CONVERGENCE = Metric(
    "evolution_convergence_rate", "gauge", NUMBER, "Convergence rate over last N generations", RUN, guide=True
)
POPULATION = Metric("evolution_population_size", "gauge", COUNT, "Current population size", RUN, guide=True)
ELITES = Metric("evolution_elite_count", "gauge", COUNT, "Number of elite individuals", RUN, guide=True)
MUTATION_RATE = Metric("evolution_mutation_rate", "gauge", NUMBER, "Current mutation rate", RUN, guide=True)
CROSSOVER_RATE = Metric(
    "evolution_crossover_rate", "gauge", NUMBER, "Current crossover rate", RUN, guide=True
)

RUN_INFO = Metric(
    "evolution_run_info", "gauge", NUMBER, "What the run is: always 1, its configuration in the labels", RUN,
    reason="joined where needed, so that configuration is never repeated on every series",
)  # fmt: skip
RUN_ACTIVE = Metric(
    "evolution_run_active", "gauge", NUMBER, "1 while the run evolves, 0 when it is paused, finished or failed", RUN,
    reason="finished is not down; the alert rules stand on it",
)  # fmt: skip
RUN_STATE = Metric(
    "evolution_run_state", "gauge", NUMBER, "1 for the state the run is in: running, paused, finished or failed",
    (*RUN, "state"), reason="why a run is not active",
)  # fmt: skip
STATES = ("running", "paused", "finished", "failed")
LAST_GENERATION = Metric(
    "evolution_last_generation_timestamp_seconds", "gauge", TIMESTAMP, "Unix time at which the last generation ended", RUN,
    reason="heartbeat: stuck is not stagnant",
)  # fmt: skip
GENERATION_DURATION = Metric(
    "evolution_generation_duration_seconds", "gauge", SECONDS, "Wall time of the last generation", RUN,
    reason="where time goes, and the estimate of the end",
)  # fmt: skip
STD = Metric(
    "evolution_fitness_std", "gauge", NUMBER, "Standard deviation of fitness in the current generation", RUN,
    reason="the band around the mean",
)  # fmt: skip
MINIMUM = Metric(
    "evolution_fitness_min",
    "gauge",
    NUMBER,
    "Worst fitness in the current generation",
    RUN,
    reason="the band around the mean",
)
MEDIAN = Metric(
    "evolution_fitness_median", "gauge", NUMBER, "Median fitness in the current generation", RUN,
    reason="the middle of the population where a few bad individuals drag the mean",
)  # fmt: skip
DISTINCT = Metric(
    "evolution_distinct_genomes", "gauge", COUNT, "Distinct genomes in the current population", RUN,
    reason="collapse as a number",
)  # fmt: skip
SINCE_IMPROVEMENT = Metric(
    "evolution_generations_since_improvement", "gauge", COUNT, "Generations since the best-so-far fitness rose", RUN,
    reason="stagnation as a number",
)  # fmt: skip
NONFINITE = Metric(
    "evolution_nonfinite_fitness_count", "gauge", COUNT, "Individuals with NaN or infinite fitness in the current generation",
    RUN, reason="divergence as a number: NaN itself never alerts, and VictoriaMetrics drops it",
)  # fmt: skip
EVALUATIONS = Metric(
    "evolution_evaluations_total", "counter", TOTAL, "Fitness evaluations since the process started", RUN,
    reason="how much was really evaluated",
)  # fmt: skip
FAILURES = Metric(
    "evolution_evaluation_failures_total", "counter", TOTAL, "Fitness evaluations that raised, by error type",
    (*RUN, "error_type"), reason="failures that a loop swallows",
)  # fmt: skip

METRICS = (
    GENERATION, BEST, AVERAGE, DIVERSITY, CONVERGENCE, POPULATION, ELITES, MUTATION_RATE, CROSSOVER_RATE,
    RUN_INFO, RUN_ACTIVE, RUN_STATE, LAST_GENERATION, GENERATION_DURATION, STD, MINIMUM, MEDIAN, DISTINCT,
    SINCE_IMPROVEMENT, NONFINITE, EVALUATIONS, FAILURES,
)  # fmt: skip

FITNESS = Curves(
    key="fitness",
    title="Fitness",
    why="Best leaving the mean behind is a lucky individual; both flat with a narrow band is convergence; a falling best is normal where fitness is noisy.",
    unit=NUMBER,
    curves=(
        Curve(BEST, "best of the generation", "dots"),
        Curve(BEST, "best so far", "best-so-far"),
        Curve(AVERAGE, "mean"),
        Curve(MEDIAN, "median", "faint"),
    ),
    band=(MINIMUM, BEST),
    empty="No fitness was reported in this window.",
)
DIVERSITY_CURVES = Curves(
    key="diversity",
    title="Diversity",
    why="Below 0.1 the population is nearly one genome: crossover has nothing left to combine.",
    unit=NUMBER,
    curves=(Curve(DIVERSITY, "diversity score"),),
    empty="This run does not report a diversity score.",
)
GENOMES = Curves(
    key="genomes",
    title="Distinct genomes",
    why="One distinct genome in a population of many is collapse, whatever the diversity score says.",
    unit=COUNT,
    curves=(
        Curve(DISTINCT, "distinct genomes"),
        Curve(POPULATION, "population size", "faint"),
        Curve(ELITES, "elites", "faint"),
    ),
    empty="This run does not report its distinct genomes.",
)
RATES = Curves(
    key="rates",
    title="Mutation and crossover rate",
    why="What the algorithm is told to do. A diversity that falls while mutation is on means mutation has no effect.",
    unit=NUMBER,
    curves=(Curve(MUTATION_RATE, "mutation rate"), Curve(CROSSOVER_RATE, "crossover rate")),
    empty="This run does not report its rates.",
)
PACE = Curves(
    key="generation-time",
    title="Generation time",
    why="A sudden fall can mean that nothing new is evaluated; a rise, that the machine is shared.",
    unit=SECONDS,
    curves=(Curve(GENERATION_DURATION, "wall time of a generation"),),
    empty="This run does not report how long a generation takes.",
)
CONVERGENCE_CURVES = Curves(
    key="convergence",
    title="Convergence rate",
    why="Mean gain of the best fitness per generation over the run's own last N generations, as the run reports it.",
    unit=NUMBER,
    curves=(Curve(CONVERGENCE, "convergence rate"),),
    empty="This run does not report a convergence rate.",
)

CURVES = (FITNESS, DIVERSITY_CURVES, GENOMES, RATES, PACE, CONVERGENCE_CURVES)
