"""How the experts share the load, whatever scale it was exported on. Pure arithmetic on (experts × points) blocks.

The same number means different things to different routers, so the scale is told from the sums and always stated:
shares sum to 1 over the experts of a layer, token fractions to top-k, load over fair load to the number of experts.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from collectors.unavailable import Unavailable
from dashboard.feed.answer import Asked
from dashboard.feed.window import Grid

Floats = NDArray[np.float64]
Scale = Literal["share", "token_fraction", "load_over_fair"]
_NEAR = 0.02  # relative: float32 sums, dropped tokens and one late expert


@dataclass(frozen=True, slots=True)
class ExpertLoads:
    """Loads of one run, a block a layer.

    `layers` names every layer there is, `experts` the experts of each loaded layer in numeric order; `load[layer]`
    is (experts, points) load ÷ fair load (1 is fair, 0 is dead), `share[layer]` the same as shares that sum to 1;
    `times` (points,) unix seconds and `generations` (points,), NaN where unknown. Layers beyond what one look can
    carry are named but not loaded: ask for one by name.
    """

    run_id: str
    layers: tuple[str, ...] = ()
    experts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    times: Floats = field(default_factory=lambda: np.empty(0))
    generations: Floats = field(default_factory=lambda: np.empty(0))
    load: dict[str, Floats] = field(default_factory=dict)
    share: dict[str, Floats] = field(default_factory=dict)
    scale: Scale | None = None
    scale_said: str = ""
    source: Literal["prometheus", "log", ""] = ""
    looked_at: float | None = None
    unavailable: Unavailable | None = None
    asked: tuple[Asked, ...] = ()
    lines: NDArray[np.int64] | None = None  # which lines of the log the points are; None: from Prometheus
    grid: Grid | None = None  # which instants of Prometheus the points are; None: from the log
    thinned: bool = False  # the log has more points than these


def running_total(counter: Floats) -> Floats:
    """(series, points) of a counter → what it counted since its first known point, resets taken out.

    A counter that falls has begun anew at 0 with its process (Prometheus documentation, "rate()"): what it says then
    was counted since. Unknown points stay NaN; what was counted over them belongs to the next known one.
    """
    total = np.full_like(counter, np.nan)
    for row, values in enumerate(counter):
        known = np.flatnonzero(np.isfinite(values))
        said = values[known]
        step = np.diff(said, prepend=said[:1])
        step[step < 0] = said[step < 0]
        total[row, known] = np.cumsum(step)
    return total


def scale_of(blocks: dict[str, Floats], top_k: int | None, setting: str = "auto") -> tuple[Scale | None, str]:
    """Which scale the numbers are on, and the sentence that says how it is known. `blocks` are raw (experts, points)."""
    sums = np.concatenate([_sums(block) for block in blocks.values()]) if blocks else np.empty(0)
    sums = sums[np.isfinite(sums) & (sums > 0)]
    if setting in ("share", "token_fraction", "load_over_fair"):
        said = {
            "share": "share of the routed load",
            "token_fraction": "fraction of tokens",
            "load_over_fair": "load ÷ fair load",
        }
        return setting, f"Exported as {said[setting]}, by the setting utilization_scale."  # type: ignore[return-value]  # one of the three
    if not len(sums):
        return None, "No load is reported yet, so its scale is unknown."
    total = float(np.median(sums))
    experts = float(np.median([len(block) for block in blocks.values()]))
    if abs(total - 1) <= _NEAR:
        return (
            "share",
            f"Exported as share of the routed load: the {experts:.0f} experts of a layer sum to {total:.3g}.",
        )
    if abs(total - experts) <= _NEAR * experts:
        return (
            "load_over_fair",
            f"Exported as load ÷ fair load: {experts:.0f} experts with a mean of {total / experts:.3g}.",
        )
    nearest = round(total)
    if abs(total - nearest) <= _NEAR * nearest and 1 < nearest < experts and top_k in (None, 0, nearest):
        return (
            "token_fraction",
            f"Exported as fraction of tokens: the experts of a layer sum to {total:.3g}, which is top-k.",
        )
    return (
        None,
        f"The scale is not recognised: the {experts:.0f} experts of a layer sum to {total:.3g}. Shown relative to their mean.",
    )


def shares(block: Floats) -> Floats:
    """Raw utilization on any scale → shares that sum to 1; NaN where nothing was routed."""
    total = _sums(block)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(block / np.where(total > 0, total, np.nan))


def _sums(block: Floats) -> Floats:
    """Sum over experts, NaN where no expert reports."""
    total = np.nansum(block, axis=0)
    return np.where(np.isnan(block).all(axis=0), np.nan, total)
