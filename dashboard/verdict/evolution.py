"""How a run is doing, in one word with its evidence. All rules and thresholds are in this file.

Pure: a run, its points and the time of the look are arguments. The rules, in the order in which they are asked:

failed      the run says so, or its process is gone without a word
unknown     nothing is known of its fitness, or nobody has heard of it lately
diverged    fitness or loss stopped being a number in the newest generations
finished    the run says that it is over
stuck       it says that it runs, and no generation has ended for many times the usual pace
restarted   a new segment has begun, and is too young to be judged
collapsed   hardly a distinct genome is left to choose from, whatever fitness does meanwhile
improving   something was gained within the run's patience
converged   nothing is gained, and the population agrees on it: its mean stands at its best
stagnated   nothing is gained, although the population still differs

A gain is a rise of the best-so-far fitness by more than GAIN of the range that fitness has covered, so that the rules hold
for negative fitness and for fitness above 1. Patience grows with the run: improvements become rare in every healthy run.
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
FEW_GENOMES = 0.1  # of the population: fewer distinct genomes are a collapse
NO_DIVERSITY = 0.02  # the same by the diversity score, where distinct genomes are not told
COLLAPSED_FOR = 3  # generations in a row
FIRST = 3  # generations before anything is said
YOUNG = 5  # generations of a segment that cannot be judged yet
AGREED = 0.1  # of the range: mean this near to best is a population that agrees
STUCK_PACES = 10.0  # times the usual pace
STUCK_SECONDS = 30.0  # and at the least so long
FASTER = 5.0  # generations so many times faster than before are named


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
    extra = (("The run is paused.",) if paused else ()) + _faster(segment)
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
        patience = max(PATIENCE, PATIENCE_SHARE * length, PATIENCE_GAPS * longest)
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
        return (f"No gain above {gain} for {self.waited:.0f} generations; best is {best}.",)


def _diverged(frame: pd.DataFrame) -> Verdict | None:
    """Numbers that stopped being numbers: said by the count of the run, or a value that was there and is not."""
    newest = _newest_segment(frame)
    if newest.empty:
        return None
    broken = _column(newest, metrics.NONFINITE)
    if np.isfinite(broken).any() and broken[np.isfinite(broken)][-1] > 0:
        holds = np.isfinite(broken) & (broken > 0)
        since = _since(newest, holds)
        population = _column(newest, metrics.POPULATION)
        whole = f" of {population[np.isfinite(population)][-1]:.0f}" if np.isfinite(population).any() else ""
        said = f"{broken[np.isfinite(broken)][-1]:.0f}{whole} individuals have no finite fitness, since generation {since:.0f}."
        return Verdict(
            "diverged",
            (said, *_lost(newest, training.LOSS, "The training loss")),
            since,
            "EvolutionFitnessNaN",
        )
    for metric, name, runbook in (
        (metrics.BEST, "The best fitness", "EvolutionFitnessNaN"),
        (training.LOSS, "The training loss", "TrainingLossNaN"),
    ):
        lost = _lost(newest, metric, name)
        if lost:
            return Verdict("diverged", lost, _since(newest, ~np.isfinite(_column(newest, metric))), runbook)
    return None


def _lost(segment: pd.DataFrame, metric: Metric, name: str) -> tuple[str, ...]:
    """A value that was reported and is not a number in the newest COLLAPSED_FOR generations that report anything."""
    values = _column(segment, metric)
    if (
        len(segment) < COLLAPSED_FOR
        or not np.isfinite(values).any()
        or np.isfinite(values[-COLLAPSED_FOR:]).any()
    ):
        return ()
    return (f"{name} is not a number since generation {_since(segment, ~np.isfinite(values)):.0f}.",)


def _stuck(standing: Standing, frame: pd.DataFrame, now: float) -> Verdict | None:
    if standing.state == "paused" or not standing.active or len(frame) < 2:
        return None
    times = _newest_segment(frame)["time"].to_numpy(np.float64)
    paces = _paces(_newest_segment(frame))
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
    """Speed is not progress: generations that suddenly cost nothing may evaluate nothing."""
    paces = _paces(segment)
    if paces.size < 4 * YOUNG:
        return ()
    before, now = float(np.median(paces[: paces.size // 2])), float(np.median(paces[-YOUNG:]))
    if now <= 0 or before / now < FASTER:
        return ()
    said = f"Generations became {before / now:.0f} times faster ({SECONDS.format(now)} instead of {SECONDS.format(before)})"
    evaluations = np.diff(_column(segment, metrics.EVALUATIONS))
    if np.isfinite(evaluations[-YOUNG:]).any() and np.nanmedian(evaluations[-YOUNG:]) == 0:
        return (f"{said} because nothing new is evaluated.",)
    return (f"{said}: see whether anything new is evaluated.",)


def _ending(segment: pd.DataFrame) -> tuple[str, ...]:
    if segment.empty or not np.isfinite(_column(segment, metrics.BEST)).any():
        return ()
    gains = Gains.of(segment)
    if gains.waited < PATIENCE:
        return (f"It was still improving: its last gain came {gains.waited:.0f} generations before the end.",)
    return (f"Its last gain came {gains.waited:.0f} generations before the end.",)


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
    """Wall time of the generations: as the run says it, else between the points."""
    told = _column(segment, metrics.GENERATION_DURATION)
    if np.isfinite(told).any():
        return told[np.isfinite(told)]
    steps = np.diff(_steps(segment))
    with np.errstate(divide="ignore", invalid="ignore"):
        paces = np.diff(segment["time"].to_numpy(np.float64)) / np.where(steps > 0, steps, np.nan)
    return np.asarray(paces[np.isfinite(paces)])


def _since(segment: pd.DataFrame, holds: NDArray[np.bool_]) -> float:
    """The generation at which the newest unbroken stretch of `holds` began."""
    broken = np.flatnonzero(~holds)
    return float(_steps(segment)[broken[-1] + 1 if broken.size and broken[-1] + 1 < len(holds) else 0])


def _ago(generations: float) -> str:
    return "in the newest one" if generations < 1 else f"{generations:.0f} before the newest"


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".") if words else words
