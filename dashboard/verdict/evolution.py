"""How a run is doing, in one word with its evidence. All rules and thresholds are in this file.

Pure: a run, its points and the time of the look are arguments. Times are unix seconds. The rules, in the order in which
they are asked; the first that holds is the word:

| word | evidence | threshold | why this one |
| --- | --- | --- | --- |
| failed | the run says so, or its process is gone without a word | | a fact, whatever the curves did |
| unknown | its fitness was never a number, or nobody has heard of it lately | | silence is not a state |
| diverged | individuals without a finite fitness, in the newest generation | DIVERGED_SHARE of the population | one evaluation that fails is not a divergence: it is named beside the word |
| | best fitness or training loss was a number and is none | BROKEN_FOR generations | one value may be missing |
| finished | the run says that it is over | | |
| stuck | it says that it runs, and no generation has ended | STUCK_PACES × the usual pace, 3 × the slowest, STUCK_SECONDS | a slow generation is not a stuck one |
| restarted | a new segment has begun | YOUNG generations long | its first values are lower than the last ones were, which is no loss |
| collapsed | hardly a distinct genome is left; where none are counted, the diversity score | FEW_GENOMES of the population, NO_DIVERSITY, COLLAPSED_FOR generations | nothing is left to select from, whatever training gains meanwhile |
| improving | the best-so-far rose by more than GAIN | within the patience: PATIENCE generations, PATIENCE_SHARE of the run or the longest wait so far, MOST_PATIENCE at the most | gains become rare in every healthy run, but hundreds of generations without one are a plateau in a run of any length |
| converged | nothing is gained, and the mean stands at the best | AGREED of the range | the population agrees |
| stagnated | nothing is gained, and the population differs | | it searches and does not find |

GAIN and AGREED are shares of the range that fitness has covered, so that the rules hold for negative fitness and for
fitness above 1. Beside every word of a run that moves, speed that is no progress is named: generations FASTER times as
fast as PACED generations in a row once were, while nothing new is evaluated.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.catalogue import evolution as metrics
from dashboard.catalogue import training
from dashboard.catalogue.spec import Metric
from dashboard.catalogue.units import NUMBER, SECONDS

Floats = NDArray[np.float64]
Word = Literal[
    "improving", "converged", "stagnated", "collapsed", "diverged", "stuck", "restarted", "finished", "failed", "unknown"
]  # fmt: skip

GAIN = 0.001  # of the range of all fitness seen
PATIENCE = 30  # generations without gain, at the least
PATIENCE_SHARE = 0.15  # of the generations so far
PATIENCE_GAPS = 1.0  # times the longest wait for a gain so far
MOST_PATIENCE = 200  # generations, however long the run
FEW_GENOMES = 0.1  # of the population: fewer distinct genomes are a collapse
NO_DIVERSITY = 0.02  # the same by the diversity score, where distinct genomes are not told
COLLAPSED_FOR = 3  # generations in a row
DIVERGED_SHARE = 0.5  # of the population
BROKEN_FOR = 3  # generations in a row
FIRST = 3  # generations before anything is said
YOUNG = 5  # generations of a segment that cannot be judged yet
AGREED = 0.1  # of the range: mean this near to best is a population that agrees
STUCK_PACES = 10.0  # times the usual pace
STUCK_SECONDS = 30.0  # and at the least so long
FASTER = 5.0  # times
PACED = 10  # generations in a row that tell how long one took before
NOTHING_NEW = 0.1  # of the evaluations a generation that there were: fewer are hardly any


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a run besides its points. Times are unix seconds."""

    state: str  # running, paused, finished, failed, unknown
    reason: str  # why that is its state, a sentence
    active: bool  # it evolves now, as far as anybody can tell


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word, what it stands on, and the alert whose runbook helps (or "")."""

    word: Word
    evidence: tuple[str, ...]
    since: float | None = None  # generation since which it is so
    runbook: str = ""

    @property
    def sentence(self) -> str:
        """The evidence in a row."""
        return " ".join(self.evidence)


def judge(standing: Standing, frame: pd.DataFrame, now: float, *, restarts: tuple[str, ...] = ()) -> Verdict:
    """Judge a run.

    Args:
        standing: what the run says of itself.
        frame: its points in order: time (unix s), generation, segment and one column a metric; NaN is not known.
        now: when was looked, unix seconds; of the last good look, where the newest failed.
        restarts: why each segment after the first began.
    """
    if standing.state == "failed":
        return Verdict("failed", (standing.reason, *_reached(frame)), runbook="")
    best = _column(frame, metrics.BEST)
    if frame.empty or not np.isfinite(best).any():
        return _diverged(frame) or Verdict(
            "unknown", (standing.reason, "No fitness is known in this window.")
        )
    diverged = _diverged(frame)
    if diverged is not None:
        return diverged
    if standing.state == "finished":
        return Verdict("finished", (*_reached(frame), *_ending(_newest_segment(frame))))
    if not standing.active and standing.state != "paused":
        return Verdict("unknown", (standing.reason, *_reached(frame)))
    stuck = _stuck(standing, frame, now)
    if stuck is not None:
        return stuck
    segment = _newest_segment(frame)
    if len(segment) < len(frame) and _span(segment) < YOUNG:
        return Verdict(
            "restarted", (_capital(restarts[-1] if restarts else "a new segment began"), *_reached(frame))
        )
    if len(segment) < FIRST:
        return Verdict("unknown", ("Too few generations are known to judge.", *_reached(frame)))
    return _population(segment, paused=standing.state == "paused")


def _population(segment: pd.DataFrame, *, paused: bool) -> Verdict:
    """The verdict on a run that moves."""
    gains = Gains.of(segment)
    some = _nonfinite(segment)
    extra = (
        *(("The run is paused.",) if paused else ()),
        *((some.said,) if some is not None else ()),
        *_faster(segment),
    )
    few = _collapsed(segment)
    if few is not None:
        said, since = few
        rises = ("What still rises is training, not selection: hardly anything is left to choose from.",)
        still = rises if gains.waited < gains.patience else ()
        evidence = (said, *_idle_mutation(segment), *gains.said, *still, *extra)
        return Verdict("collapsed", evidence, since, "LowPopulationDiversity")
    if gains.waited < gains.patience:
        return Verdict("improving", (*gains.said, *extra))
    spread = _column(segment, metrics.BEST) - _column(segment, metrics.AVERAGE)
    known = spread[np.isfinite(spread)][-PATIENCE:]
    variety = _variety(segment)
    since = gains.last_generation
    if known.size and float(np.median(known)) <= AGREED * gains.range:
        agreed = f"The mean stands {NUMBER.format(_short(np.median(known)))} below the best: the population agrees."
        return Verdict("converged", (*gains.said, agreed, *variety, *extra), since, "EvolutionStagnation")
    return Verdict(
        "stagnated", (*gains.said, *variety, *_idle_mutation(segment), *extra), since, "EvolutionStagnation"
    )


@dataclass(frozen=True, slots=True)
class Gains:
    """When a segment last gained, and how long it may wait for the next."""

    range: float  # of all fitness seen in the segment
    threshold: float  # smallest rise that counts
    best: float
    last_generation: float  # at which the best-so-far last rose
    waited: float  # generations since
    patience: float  # generations
    recent: float  # rise over the last `patience` generations

    @classmethod
    def of(cls, segment: pd.DataFrame) -> "Gains":
        """Read the best-so-far of one segment."""
        best = _column(segment, metrics.BEST)
        at = _steps(segment)
        known = np.isfinite(best) & np.isfinite(at)
        best, at = best[known], at[known]
        so_far = np.maximum.accumulate(best)
        everything = np.concatenate(
            [best, *(_column(segment, metric) for metric in (metrics.AVERAGE, metrics.MINIMUM))]
        )
        spread = float(np.nanmax(everything) - np.nanmin(everything))
        threshold = GAIN * spread
        rises = [0]
        for i in range(
            1, so_far.size
        ):  # a slow climb in steps below the threshold still counts once it adds up
            if so_far[i] - so_far[rises[-1]] > threshold:
                rises.append(i)
        moments = at[rises]
        longest = float(np.max(np.diff(moments))) if moments.size > 1 else 0.0
        length = float(at[-1] - at[0])
        patience = min(MOST_PATIENCE, max(PATIENCE, PATIENCE_SHARE * length, PATIENCE_GAPS * longest))
        recent = so_far[-1] - so_far[np.searchsorted(at, at[-1] - patience)]
        return cls(
            range=spread,
            threshold=threshold,
            best=float(so_far[-1]),
            last_generation=float(moments[-1]),
            waited=float(at[-1] - moments[-1]),
            patience=patience,
            recent=float(recent),
        )

    @property
    def said(self) -> tuple[str, ...]:
        """In words."""
        if self.waited < self.patience:
            rose = f"Best rose by {NUMBER.format(_short(self.recent))} to {NUMBER.format(_short(self.best))}"
            since = f"over the last {self.patience:.0f} generations; the last gain was {_ago(self.waited)}."
            return (f"{rose} {since}",)
        gain, best = NUMBER.format(_short(self.threshold)), NUMBER.format(_short(self.best))
        return (f"No gain above {gain} for {_generations(self.waited)}; best is {best}.",)


def _diverged(frame: pd.DataFrame) -> Verdict | None:
    """Numbers that stopped being numbers: said by the count of the run, or a value that was there and is not."""
    newest = _newest_segment(frame)
    if newest.empty:
        return None
    individuals = _nonfinite(newest)
    if individuals is not None and individuals.share >= DIVERGED_SHARE:
        lost = _lost(newest, training.LOSS, "The training loss")
        return Verdict("diverged", (individuals.said, *lost), individuals.since, "EvolutionFitnessNaN")
    for metric, name, runbook in (
        (metrics.BEST, "The best fitness", "EvolutionFitnessNaN"),
        (training.LOSS, "The training loss", "TrainingLossNaN"),
    ):
        lost = _lost(newest, metric, name)
        if lost:
            return Verdict("diverged", lost, _since(newest, ~np.isfinite(_column(newest, metric))), runbook)
    return None


@dataclass(frozen=True, slots=True)
class _Nonfinite:
    """Individuals without a finite fitness in the newest generation."""

    share: float  # of the population; 1 where its size is not known and none has a fitness
    since: float
    said: str


def _nonfinite(segment: pd.DataFrame) -> _Nonfinite | None:
    """What is wrong with some individuals; None where all have a fitness, or nobody counts."""
    counts = _column(segment, metrics.NONFINITE)
    if not np.isfinite(counts).any() or not (newest := counts[np.isfinite(counts)][-1]):
        return None
    population, best = _column(segment, metrics.POPULATION), _column(segment, metrics.BEST)
    size = population[np.isfinite(population)][-1] if np.isfinite(population).any() else np.nan
    since = _since(segment, np.isfinite(counts) & (counts > 0))
    one = newest == 1
    whole = f" of {size:.0f}" if np.isfinite(size) else ""
    who = f"{newest:.0f}{whole} {'individual has' if one and not whole else 'individuals have'}"
    share = newest / size if np.isfinite(size) else float(not np.isfinite(best[-1]))
    return _Nonfinite(float(share), since, f"{who} no finite fitness, since generation {since:.0f}.")


def _lost(segment: pd.DataFrame, metric: Metric, name: str) -> tuple[str, ...]:
    """A value that was reported and is not a number in the newest BROKEN_FOR generations that report anything."""
    values = _column(segment, metric)
    if len(segment) < BROKEN_FOR or not np.isfinite(values).any() or np.isfinite(values[-BROKEN_FOR:]).any():
        return ()
    return (f"{name} is not a number since generation {_since(segment, ~np.isfinite(values)):.0f}.",)


def _stuck(standing: Standing, frame: pd.DataFrame, now: float) -> Verdict | None:
    if standing.state == "paused" or not standing.active:
        return None
    times = _newest_segment(frame)["time"].to_numpy(np.float64)
    paces = _paces(_newest_segment(frame))
    paces = paces[np.isfinite(paces)]
    if paces.size == 0:
        return None
    pace, slowest = float(np.median(paces)), float(paces.max())
    waited = now - float(times[-1])
    if waited <= max(STUCK_SECONDS, STUCK_PACES * pace, 3 * slowest):
        return None
    said = f"No generation has ended for {SECONDS.format(round(waited))}; the last ones took {SECONDS.format(pace)} each."
    return Verdict("stuck", (said, standing.reason), float(frame["generation"].iloc[-1]), "GenerationStalled")


def _collapsed(segment: pd.DataFrame) -> tuple[str, float | None] | None:
    """Hardly a distinct genome left in the newest generations: what is said of it, and since when."""
    distinct, population = _column(segment, metrics.DISTINCT), _column(segment, metrics.POPULATION)
    diversity = _column(segment, metrics.DIVERSITY)
    if np.isfinite(distinct).any():
        size = population[np.isfinite(population)][-1] if np.isfinite(population).any() else np.nan
        limit = max(1.0, FEW_GENOMES * size) if np.isfinite(size) else 1.0
        low = np.isfinite(distinct) & (distinct <= limit)
        count = distinct[np.isfinite(distinct)][-1]
        whole = f" of {size:.0f}" if np.isfinite(size) else ""
        said = f"{'One distinct genome' if count == 1 else f'{count:.0f} distinct genomes'}{whole}"
    elif np.isfinite(diversity).any():
        low = np.isfinite(diversity) & (diversity < NO_DIVERSITY)
        said = "No distinct genomes are reported"
    else:
        return None
    if len(low) < COLLAPSED_FOR or not low[-COLLAPSED_FOR:].all():
        return None
    since = _since(segment, low)
    score = f"; diversity {diversity[np.isfinite(diversity)][-1]:.2f}" if np.isfinite(diversity).any() else ""
    return f"{said}{score}, since generation {since:.0f}.", since


def _variety(segment: pd.DataFrame) -> tuple[str, ...]:
    """How much the population still differs."""
    diversity, distinct = _column(segment, metrics.DIVERSITY), _column(segment, metrics.DISTINCT)
    said = []
    if np.isfinite(diversity).any():
        said.append(f"diversity {diversity[np.isfinite(diversity)][-1]:.2f}")
    if np.isfinite(distinct).any():
        said.append(f"{distinct[np.isfinite(distinct)][-1]:.0f} distinct genomes")
    return (_capital(", ".join(said)),) if said else ()


def _idle_mutation(segment: pd.DataFrame) -> tuple[str, ...]:
    """What mutation does about it."""
    rate = _column(segment, metrics.MUTATION_RATE)
    if not np.isfinite(rate).any():
        return ()
    newest = rate[np.isfinite(rate)][-1]
    if newest == 0:
        return ("Mutation is off: the published rate is 0.",)
    few = _collapsed(segment)
    return (f"The published mutation rate {newest:g} has no effect.",) if few is not None else ()


def _faster(segment: pd.DataFrame) -> tuple[str, ...]:
    """Speed is not progress: generations that came to cost nothing may evaluate nothing. Said for as long as it is so."""
    paces, steps = _paces(segment), _steps(segment)
    known = np.isfinite(paces)
    paces, steps = paces[known], steps[known]
    if paces.size < PACED + YOUNG:
        return ()
    stretches = np.lib.stride_tricks.sliding_window_view(paces, PACED)[:: PACED // 2]
    medians = np.median(stretches, axis=1)
    slowest = int(medians.argmax())
    before, now = float(medians[slowest]), float(np.median(paces[-YOUNG:]))
    if now <= 0 or before / now < FASTER:
        return ()
    since = steps[np.flatnonzero(paces * FASTER > before)[-1]] + 1
    said = (
        f"Generations became {before / now:.0f} times faster ({SECONDS.format(now)} instead of {SECONDS.format(before)})"
        f" since generation {since:.0f}"
    )
    evaluated = _evaluations(segment)[known]
    then = evaluated[slowest * (PACED // 2) :][:PACED]
    newest = evaluated[-YOUNG:]
    if not np.isfinite(newest).any() or not np.isfinite(then).any():
        return (f"{said}: see whether anything new is evaluated.",)
    if np.nanmedian(newest) == 0:
        return (f"{said} because nothing new is evaluated.",)
    if np.nanmedian(newest) < NOTHING_NEW * np.nanmedian(then):
        return (f"{said} because hardly anything new is evaluated.",)
    return ()


def _evaluations(segment: pd.DataFrame) -> Floats:
    """Fitness evaluations of each generation, NaN where they are not told; the count may begin again at 0."""
    total, steps = _column(segment, metrics.EVALUATIONS), _steps(segment)
    gained, passed = np.diff(total, prepend=np.nan), np.diff(steps, prepend=np.nan)
    return np.asarray(
        np.divide(gained, passed, out=np.full(len(total), np.nan), where=(passed > 0) & (gained >= 0))
    )


def _ending(segment: pd.DataFrame) -> tuple[str, ...]:
    if segment.empty or not np.isfinite(_column(segment, metrics.BEST)).any():
        return ()
    gains = Gains.of(segment)
    if gains.waited < 1:
        return ("It was still improving: its last generation gained.",)
    last = f"its last gain came {_generations(gains.waited)} before the end."
    return (f"It was still improving: {last}" if gains.waited < PATIENCE else _capital(last),)


def _reached(frame: pd.DataFrame) -> tuple[str, ...]:
    best = _column(frame, metrics.BEST)
    if frame.empty or not np.isfinite(best).any():
        return ()
    at = int(np.nanargmax(best))
    generation, last = frame["generation"].iloc[at], frame["generation"].iloc[-1]
    if not np.isfinite(generation):
        return (f"Best {NUMBER.format(_short(best[at]))}.",)
    return (f"Best {NUMBER.format(_short(best[at]))} at generation {generation:.0f} of {last:.0f}.",)


def _newest_segment(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if frame.empty else frame[frame["segment"] == frame["segment"].iloc[-1]]


def _column(frame: pd.DataFrame, metric: Metric) -> Floats:
    if metric.name not in frame:
        return np.full(len(frame), np.nan)
    values = frame[metric.name].to_numpy(np.float64)
    return np.asarray(np.where(np.isfinite(values), values, np.nan))


def _steps(frame: pd.DataFrame) -> Floats:
    """Generations, or the numbers of the points where the run tells none."""
    generations = frame["generation"].to_numpy(np.float64)
    return generations if np.isfinite(generations).any() else np.arange(len(frame), dtype=np.float64)


def _span(segment: pd.DataFrame) -> float:
    steps = _steps(segment)
    return float(np.nanmax(steps) - np.nanmin(steps)) if steps.size else 0.0


def _paces(segment: pd.DataFrame) -> Floats:
    """Wall time of each generation, NaN where it is not known: as the run says it, else between the points."""
    told = _column(segment, metrics.GENERATION_DURATION)
    if np.isfinite(told).any():
        return told
    passed = np.diff(_steps(segment), prepend=np.nan)
    seconds = np.diff(segment["time"].to_numpy(np.float64), prepend=np.nan)
    return np.asarray(np.divide(seconds, passed, out=np.full(len(passed), np.nan), where=passed > 0))


def _since(segment: pd.DataFrame, holds: NDArray[np.bool_]) -> float:
    """The generation at which the newest unbroken stretch of `holds` began."""
    broken = np.flatnonzero(~holds)
    return float(_steps(segment)[broken[-1] + 1 if broken.size and broken[-1] + 1 < len(holds) else 0])


def _ago(generations: float) -> str:
    return "in the newest one" if generations < 1 else f"{generations:.0f} before the newest"


def _generations(count: float) -> str:
    return "one generation" if round(count) == 1 else f"{count:.0f} generations"


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".") if words else words
