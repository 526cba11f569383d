"""The generation axis: what was scraped and what was logged of one run, point by point, with its restarts.

A range query would invent points between scrapes, so this stands on raw samples, joined by scrape timestamp: all
samples of one scrape carry the same time. Scrapes are slower than generations, so most generations are missing from
Prometheus; the run's own log fills them, and every point says where it came from. Pure: no network, no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from collectors.prometheus import RawSeries
from collectors.runs import Generations
from collectors.unavailable import Unavailable
from dashboard.catalogue import evolution, experts, training
from dashboard.catalogue.units import SECONDS
from dashboard.feed.answer import Asked
from dashboard.feed.runs import Run

Floats = NDArray[np.float64]

GENERATION = str(evolution.GENERATION)
# Metrics that exist once a run: those that can stand on the axis.
NAMES = tuple(
    str(metric)
    for metric in (*evolution.METRICS, *training.METRICS, *experts.METRICS)
    if set(metric.labels) <= {"run_id"} and metric not in (evolution.RUN_INFO, evolution.GENERATION)
)
# Those that exist once a run and label: a column for each value of the label, named by `Metric.part`.
PARTS = {str(metric): metric for metric in (evolution.PHASE_DURATION, evolution.FAILURES)}
# The six that the log writes under the guide's own field names.
LOG_NAMES = {
    "best_fitness": str(evolution.BEST),
    "average_fitness": str(evolution.AVERAGE),
    "diversity_score": str(evolution.DIVERSITY),
    "mutation_rate": str(evolution.MUTATION_RATE),
    "population_size": str(evolution.POPULATION),
}
_AGREE = 1e-9  # relative; VictoriaMetrics keeps about 12 digits


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch without a restart; `reason` says what began it."""

    index: int
    start_time: float
    first_generation: int | None
    last_generation: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Evolution:
    """One run against its generations.

    `frame` has one row a point, in order of time: "time" (unix seconds), "generation", "elapsed_seconds" (since the
    run started), "segment" (int), "source" ("prometheus" or "log"), "hole_before" (bool: generations are missing
    between the row before and this one, so no line may join them) and one float64 column per catalogue metric that
    there is, or per part of one (seconds of a phase, failures of a type; see `Metric.part`). A run without a generation metric has one row a scrape and NaN generations.
    """

    run: Run | None = None
    frame: pd.DataFrame = field(default_factory=lambda: _framed({}))
    segments: tuple[Segment, ...] = ()
    coverage: str = ""
    disagreements: int = 0  # generations on which log and Prometheus say different numbers
    unavailable: tuple[Unavailable, ...] = ()
    looked_at: float | None = None
    asked: tuple[Asked, ...] = ()


def scraped(series: Sequence[RawSeries], process_starts: Sequence[RawSeries] = ()) -> pd.DataFrame:
    """Raw samples → one row a generation seen (or a scrape, where no generation is told), with "segment" and "reason".

    The time is that of the first scrape that saw the generation, the values those of the last one.
    """
    by_instance: dict[str, list[RawSeries]] = {}
    for one in series:
        by_instance.setdefault(one.labels.get("instance", ""), []).append(one)
    pieces = []
    for instance, members in by_instance.items():
        times = np.unique(np.concatenate([one.times for one in members]))
        columns = {"time": times}
        for one in members:
            column = columns.setdefault(_column(one.labels), np.full(len(times), np.nan))
            column[np.searchsorted(times, one.times)] = one.values
        piece = pd.DataFrame(columns)
        piece["restarts"] = _restarts(
            times, [one for one in process_starts if one.labels.get("instance", "") == instance]
        )
        piece["instance"] = instance
        pieces.append(piece)
    if not pieces:
        return pd.DataFrame({"time": [], "segment": [], "reason": []})
    table = _one_at_a_time(pieces)
    generation = table[GENERATION].to_numpy() if GENERATION in table else np.full(len(table), np.nan)
    starts, reasons = _segment_starts(generation, table["restarts"].to_numpy(), table["instance"].to_numpy())
    table["segment"] = np.cumsum(starts) - 1
    table["reason"] = reasons
    table = table.drop(columns=["restarts", "instance"])
    if GENERATION not in table:
        return table
    return _one_row_a_generation(table)


def logged(
    log: Generations, process_starts: Sequence[RawSeries] = (), *, ahead_seconds: float = 0.0
) -> pd.DataFrame:
    """The log's rows under catalogue names, with "segment" and "reason"; times that a line lacks are interpolated.

    "line" is the place among the log's lines. `ahead_seconds` is added to their times: how far the clock that stamps the scrapes is ahead of the log's.
    """
    if not len(log):
        return pd.DataFrame({"time": [], "segment": [], "reason": []})
    times = np.array(log.times)
    known = np.flatnonzero(~np.isnan(times))
    if len(known):
        times = np.interp(np.arange(len(times)), known, times[known]) + ahead_seconds
    columns: dict[str, Floats] = {"time": times, "line": np.arange(len(times), dtype=np.float64)}
    for name, values in log.columns.items():
        name = LOG_NAMES.get(name, name)  # noqa: PLW2901  # the same column under its catalogue name
        if name in NAMES or name.partition("{")[0] in PARTS:
            columns[name] = values
    generation = log.columns["generation"]
    columns[GENERATION] = generation
    table = pd.DataFrame(columns)
    if "elapsed_time_seconds" in log.columns:
        table["elapsed_seconds"] = log.columns["elapsed_time_seconds"]
    starts, reasons = _segment_starts(generation, _restarts(times, process_starts), np.zeros(len(table)))
    table["segment"] = np.cumsum(starts) - 1
    table["reason"] = reasons
    return table.drop_duplicates(["segment", GENERATION], keep="last").reset_index(drop=True)


def joined(
    seen: pd.DataFrame, log: pd.DataFrame | None, started_at: float | None
) -> tuple[pd.DataFrame, tuple[Segment, ...], int]:
    """(frame as in `Evolution`, its segments, disagreements). A point both know keeps what was scraped and is filled from the log."""
    seen = seen.assign(source="prometheus")
    if log is None or log.empty:
        table, disagreements = seen, 0
    else:
        table, disagreements = _filled(seen, log.assign(source="log"))
    if table.empty:
        return _framed({}), (), disagreements
    table = table.reset_index(drop=True)
    segment = pd.factorize(table["segment"].to_numpy())[0]
    table["segment"] = segment
    generation = table[GENERATION].to_numpy() if GENERATION in table else np.full(len(table), np.nan)
    began = np.append(True, np.diff(segment) != 0)
    table["hole_before"] = ~began & (np.append(0.0, np.diff(generation)) > 1)
    since = started_at if started_at is not None else float(table["time"].iloc[0])
    elapsed = table["time"] - since
    table["elapsed_seconds"] = (
        table["elapsed_seconds"].fillna(elapsed) if "elapsed_seconds" in table else elapsed
    )
    table["generation"] = generation
    reasons = table["reason"] if "reason" in table else pd.Series("", index=table.index)
    segments = tuple(
        _segment(index, table[segment == index], str(reasons[np.flatnonzero(segment == index)[0]]))
        for index in range(int(segment[-1]) + 1)
    )
    return _framed({name: table[name] for name in table.columns}), segments, disagreements


def coverage(
    frame: pd.DataFrame,
    seen_generations: int,
    *,
    log: bool,
    scrape_seconds: float | None,
) -> str:
    """How much of the run each source knows, in words."""
    if frame.empty:
        return "No generation is known in this window."
    if frame["generation"].isna().all():
        return "The run reports no generation, so its points stand at the times they were scraped."
    total = sum(
        int(part.max() - part.min()) + 1
        for _, part in frame.groupby("segment")["generation"]
        if part.notna().any()
    )
    known = len(frame)
    pace = ""
    durations = frame["time"].diff()[1:] / frame["generation"].diff()[1:].where(lambda step: step > 0)
    if scrape_seconds and durations.notna().any():
        pace = f" (scrape {SECONDS.format(scrape_seconds)}, generation {SECONDS.format(float(durations.median()))})"
    if not seen_generations:
        return f"The log holds {_of(known, total)} generations; Prometheus saw none of them."
    said = f"Prometheus saw {_of(seen_generations, total)} generations{pace}"
    if log and known > seen_generations:
        rest = (
            "the log filled the rest" if known >= total else f"the log filled {known - seen_generations} more"
        )
        return f"{said}; {rest}."
    return f"{said}."


def _of(known: int, total: int) -> str:
    return f"all {total}" if known >= total else f"{known} of {total}"


def _column(labels: Mapping[str, str]) -> str:
    name = labels["__name__"]
    metric = PARTS.get(name)
    return name if metric is None else metric.part(labels.get(metric.labels[-1], ""))


def _restarts(times: Floats, process_starts: Sequence[RawSeries]) -> NDArray[np.int64]:
    """How many processes had been started by each time; their start times are in the values."""
    if not process_starts:
        return np.zeros(len(times), np.int64)
    starts = np.unique(np.concatenate([one.values for one in process_starts]))
    return np.searchsorted(starts, times, side="right").astype(np.int64)


def _one_at_a_time(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    """Several instances of one run in order of time; where they overlap, the one with more samples speaks."""
    pieces.sort(key=len, reverse=True)
    kept = pieces[:1]
    for piece in pieces[1:]:
        free = np.ones(len(piece), bool)
        for other in kept:
            free &= ~piece["time"].between(other["time"].iloc[0], other["time"].iloc[-1]).to_numpy()
        if free.any():
            kept.append(piece[free])
    return pd.concat(kept).sort_values("time", kind="stable").reset_index(drop=True)


def _segment_starts(
    generation: Floats, restarts: NDArray[np.generic], instance: NDArray[np.generic]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Where a segment begins, and why."""
    count = len(generation)
    starts = np.zeros(count, bool)
    reasons = [""] * count
    if not count:
        return starts, reasons
    starts[0], reasons[0] = True, "first seen"
    known = pd.Series(generation).ffill().to_numpy()
    fell = np.append(False, np.diff(known) < 0)
    again = np.append(False, restarts[1:] != restarts[:-1])
    moved = np.append(False, instance[1:] != instance[:-1])
    for at in np.flatnonzero(fell | again | moved):
        starts[at] = True
        if fell[at]:
            reasons[at] = f"generation fell from {known[at - 1]:.0f} to {known[at]:.0f}"
        elif again[at]:
            reasons[at] = "the process was restarted"
        else:
            reasons[at] = f"the run moved to {instance[at]}"
    return starts, reasons


def _one_row_a_generation(table: pd.DataFrame) -> pd.DataFrame:
    """Several scrapes of one generation → one row. Scrapes without a generation are left out."""
    table = table[table[GENERATION].notna()]
    groups = table.groupby(["segment", GENERATION], sort=False)
    rows = groups.last()
    rows["time"] = groups["time"].first()
    rows["reason"] = groups["reason"].first()
    return rows.reset_index()


def _filled(seen: pd.DataFrame, log: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Log and scraped rows as one table, a row a generation; and the count of generations on which they disagree."""
    if seen.empty or GENERATION not in seen:
        return log, 0
    # Segments are the log's: it misses no restart. A scraped row belongs to the segment running at its time.
    begins = log.groupby("segment")["time"].first().to_numpy()
    order = log["segment"].unique()
    slack = 1.0  # a scrape may come before the line is stamped
    place = np.clip(np.searchsorted(begins, seen["time"].to_numpy() + slack, side="right") - 1, 0, None)
    seen = seen.assign(segment=order[place]).drop_duplicates(["segment", GENERATION], keep="last")
    both = log.merge(
        seen[["segment", GENERATION]].assign(row=np.arange(len(seen))), on=["segment", GENERATION], how="left"
    )
    matched = both["row"].notna().to_numpy()
    here, there = (
        log[matched].reset_index(drop=True),
        seen.iloc[both["row"][matched].astype(int)].reset_index(drop=True),
    )
    metrics = [name for name in NAMES if name in here and name in there]
    differ = np.zeros(len(here), bool)
    for name in metrics:
        one, two = here[name].to_numpy(), there[name].to_numpy()
        differ |= ~np.isclose(one, two, rtol=_AGREE, atol=0, equal_nan=True) & ~np.isnan(one) & ~np.isnan(two)
    combined = there.combine_first(here)
    combined["time"] = here["time"]  # the end of the generation, not the scrape after it
    combined["source"] = "prometheus"
    only_seen = seen[~np.isin(np.arange(len(seen)), both["row"].dropna().to_numpy())]
    table = pd.concat([log[~matched], combined, only_seen])
    return table.sort_values(["segment", GENERATION], kind="stable"), int(differ.sum())


def _segment(index: int, rows: pd.DataFrame, reason: str) -> Segment:
    generations = rows["generation"].dropna()
    return Segment(
        index=index,
        start_time=float(rows["time"].iloc[0]),
        first_generation=int(generations.iloc[0]) if len(generations) else None,
        last_generation=int(generations.iloc[-1]) if len(generations) else None,
        reason=reason or "first seen",
    )


def _framed(columns: Mapping[str, object]) -> pd.DataFrame:
    """The frame's columns in their order and types."""
    kinds = {"time": "float64", "generation": "float64", "elapsed_seconds": "float64", "segment": "int64",
             "source": "object", "hole_before": "bool"}  # fmt: skip
    table = pd.DataFrame(dict(columns)) if columns else pd.DataFrame(columns=list(kinds))
    parts = [name for metric in PARTS.values() for name in metric.parts(map(str, table.columns)).values()]
    metrics = [name for name in (*NAMES, *parts) if name in table and table[name].notna().any()]
    return table[[*kinds, *metrics]].astype(kinds | dict.fromkeys(metrics, "float64")).reset_index(drop=True)
