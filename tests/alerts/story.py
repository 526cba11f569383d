"""A story about one alert, and the series of the usual actors in it. Plays nothing."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ROUTER = 'job="moe-router",instance="router:9100"'
RUN = f'{ROUTER},run_id="r1"'


@dataclass(frozen=True, eq=False)  # each is itself: a story may stand in a dict
class Case:
    """One story about one alert.

    `series` are promtool's input series, one value every `interval`. With `fires_at` the alert must fire then,
    exactly `count` times, and its first instance must read `says` (summary, description); without, it must not
    have fired at any moment until `until`.
    """

    alert: str
    story: str
    series: Mapping[str, str]
    fires_at: str = ""
    until: str = ""
    count: int = 1
    labels: tuple[tuple[str, str], ...] = ()
    says: tuple[str, str] = ("", "")
    interval: str = "1m"
    evaluation: str = "1m"


def values(numbers: Iterable[float]) -> str:
    """Numbers in promtool's notation."""
    return " ".join("NaN" if math.isnan(n) else f"{n:g}" for n in numbers)


def histogram(labels: str, fast_per_step: float, slow_per_step: float, steps: int) -> dict[str, str]:
    """A latency histogram: fast requests take under 50 ms, slow ones between 100 and 500 ms."""
    both = fast_per_step + slow_per_step
    rates = {"0.05": fast_per_step, "0.1": fast_per_step, "0.5": both, "+Inf": both}
    buckets = {
        f'inference_latency_seconds_bucket{{{labels},le="{le}"}}': f"0+{rate:g}x{steps}"
        for le, rate in rates.items()
    }
    return {**buckets, f"inference_latency_seconds_count{{{labels}}}": f"0+{both:g}x{steps}"}


def experts(loads: Iterable[float], steps: int, labels: str = RUN) -> dict[str, str]:
    """Each expert's share, held for `steps`."""
    return {
        f'expert_utilization_ratio{{{labels},expert_id="{i}"}}': f"{load:g}x{steps}"
        for i, load in enumerate(loads)
    }


def run(
    *, active: str = "1x200", generation: str = "0+3x200", labels: str = RUN, **more: str
) -> dict[str, str]:
    """A run's own words: active, generation, and further evolution_* series by their short name."""
    words = {"run_active": active, "generation_current": generation, **more}
    return {f"evolution_{name}{{{labels}}}": text for name, text in words.items()}


FINISHED = {f'evolution_run_state{{{RUN},state="finished"}}': "1x200"}
