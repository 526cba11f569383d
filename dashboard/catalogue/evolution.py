"""Evolution: is the population still improving, and if not, why?"""

from dashboard.catalogue import joins
from dashboard.catalogue.spec import Alert, Curve, Curves, Metric, Recording
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
PHASE_DURATION = Metric(
    "evolution_phase_duration_seconds", "gauge", SECONDS, "Wall time of a phase of the last generation, by phase",
    (*RUN, "phase"), reason="the parts of a generation's time: what became slow",
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
    RUN_INFO, RUN_ACTIVE, RUN_STATE, LAST_GENERATION, GENERATION_DURATION, PHASE_DURATION, STD, MINIMUM, MEDIAN, DISTINCT,
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
    why="A sudden fall can mean that nothing new is evaluated; a rise, that the machine is shared. Its phases, where the run tells them, lie on each other below the line; what is left to it belongs to none of them.",
    unit=SECONDS,
    curves=(Curve(GENERATION_DURATION, "wall time of a generation"),),
    parts=PHASE_DURATION,
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

# alerts

_RUN_PAGE = "/evolution?run={{ $labels.run_id | urlquery }}"
# Finished, paused and failed runs say so; a run that does not say it (0 was never exported) is taken as evolving.
_NOT_ENDED = f"unless on ({joins.RUN}) {RUN_ACTIVE} == 0"

EVOLVING = Recording(
    joins.EVOLVING,
    f"""group by ({joins.RUN}) (
    {RUN_ACTIVE} == 1
  or
    (
      changes({GENERATION}[30m]) > 0
      {_NOT_ENDED}
    )
)""",
    "1 for every run that evolves: its own word wins, else its generation moved within 30 minutes",
)
RESTING = Recording(
    joins.RESTING,
    f'group by ({joins.RUN}) ({RUN_STATE}{{state=~"finished|paused"}} == 1)',
    "1 for every run that says it was finished or paused; a failed one is neither",
)
RECORDINGS = (EVOLVING, RESTING)

STAGNATION = Alert(
    name="EvolutionStagnation",
    # Maxima over windows, not two instants: the metric is the best of the current generation and jitters.
    # Five generations at least, so a slow or stalled run is not a stagnating one; a restart is a new run.
    when=f"""(
    (
        max_over_time({BEST}[10m])
      - max_over_time({BEST}[10m] offset 10m)
    ) < 0.001
  and on ({joins.RUN})
    ({GENERATION} - {GENERATION} offset 10m) >= 5
  unless on ({joins.RUN})
    resets({GENERATION}[20m]) > 0
  {_NOT_ENDED}
)
or
(
    {SINCE_IMPROVEMENT} >= 30
  {joins.WHILE_EVOLVING}
)""",
    lasting="5m",
    severity="warning",
    component="evolution",
    summary="Evolution does not improve (run {{ or $labels.run_id `-` }})",
    description="Generations advance on {{ $labels.instance }}, yet the best fitness of run {{ or $labels.run_id `-` }} has not risen by 0.001 in 10 minutes, or not at all in 30 generations.",
    page=_RUN_PAGE,
)
LOW_DIVERSITY = Alert(
    name="LowPopulationDiversity",
    # Generation 1 at least: an instrument of prometheus_client reads 0 before it was ever set.
    when=f"""{DIVERSITY} < 0.1
and on ({joins.RUN}) {GENERATION} >= 1
{joins.WHILE_EVOLVING}""",
    lasting="2m",
    severity="warning",
    component="evolution",
    summary="The population is nearly one genome (run {{ or $labels.run_id `-` }})",
    description="Diversity on {{ $labels.instance }} is {{ $value | printf `%.3f` }}, under 0.1: the search has probably converged too early.",
    page=_RUN_PAGE,
)
FITNESS_NAN = Alert(
    name="EvolutionFitnessNaN",
    # Only NaN differs from itself, and NaN < 0.001 is false, so no threshold sees it. VictoriaMetrics drops NaN
    # on the way in: there, and with our observer, the count of non-finite individuals is what alerts.
    when=f"""(
     label_replace({BEST} != {BEST}, "metric", "{BEST}", "", "")
  or label_replace({AVERAGE} != {AVERAGE}, "metric", "{AVERAGE}", "", "")
  or label_replace({DIVERSITY} != {DIVERSITY}, "metric", "{DIVERSITY}", "", "")
  or label_replace(abs({BEST}) == Inf, "metric", "{BEST}", "", "")
  or label_replace({NONFINITE} > 0, "metric", "{NONFINITE}", "", "")
)
unless on ({joins.RUN}) {RUN_STATE}{{state=~"finished|paused"}} == 1""",
    lasting="0s",
    severity="critical",
    component="evolution",
    summary="Fitness is not a number (run {{ or $labels.run_id `-` }})",
    description="{{ $labels.metric }} on {{ $labels.instance }} is {{ $value }}: selection by it means nothing.",
    page=_RUN_PAGE,
)
STALLED = Alert(
    name="GenerationStalled",
    # Heartbeat first: five times the last generation's own wall time, five minutes at least. Without it: the
    # generation moved 24 times in the two hours before and not once in 15 minutes; that ends by itself after two
    # hours, because a finished run that never said so looks the same.
    when=f"""(
    (time() - {LAST_GENERATION}) > clamp_min(5 * {GENERATION_DURATION}, 300)
  and on ({joins.RUN}) {RUN_ACTIVE} == 1
)
or
(
    changes({GENERATION}[15m]) == 0
  and on ({joins.RUN}) changes({GENERATION}[2h] offset 15m) >= 24
  unless on ({joins.RUN}) {RUN_ACTIVE}
)""",
    lasting="2m",
    severity="critical",
    component="evolution",
    summary="No new generation (run {{ or $labels.run_id `-` }})",
    description="Run {{ or $labels.run_id `-` }} on {{ $labels.instance }} has not finished a generation for far longer than one takes.",
    page=_RUN_PAGE,
)
ALERTS = (STAGNATION, LOW_DIVERSITY, FITNESS_NAN, STALLED)
