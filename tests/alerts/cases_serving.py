"""Stories of what serves: experts and their load, latency, the benchmark."""

from collections.abc import Iterable

from tests.alerts.story import ROUTER, RUN, Case, experts, histogram, run, values

_EVEN = [0.125] * 8
_ONE_DEAD = [0.0, *[1 / 7] * 7]
_HALF_ON_ONE = [0.65, *[0.05] * 7]
_COLLAPSED = [0.994, *[0.006 / 7] * 7]


def _at_first(loads: Iterable[float], steps: int) -> dict[str, str]:
    """These loads for a while, then an even one."""
    return {
        f'expert_utilization_ratio{{{RUN},expert_id="{i}"}}': values([load] * steps + [0.125] * (40 - steps))
        for i, load in enumerate(loads)
    }


_EXPERTS = (
    Case(
        "ExpertImbalance",
        "one of eight experts takes 65 % of the load",
        {**run(), **experts(_HALF_ON_ONE, 60)},
        fires_at="20m",
        says=("Experts carry unequal load (run r1)", "The load of the experts on router:9100 varies by 1.59 times its mean."),
    ),
    Case("ExpertImbalance", "the scale is not a share: the same loads as load over fair", {**run(), **experts([8 * x for x in _HALF_ON_ONE], 60)}, fires_at="20m"),
    Case("ExpertImbalance", "a process without runs that only serves", {**histogram(ROUTER, 60, 0, 60), **experts(_HALF_ON_ONE, 60, ROUTER)}, fires_at="20m"),
    Case("ExpertImbalance", "an even load", {**run(), **experts(_EVEN, 60)}, until="1h"),
    Case("ExpertImbalance", "one layer of a healthy small model", {**run(), **experts([0.55, *[0.45 / 7] * 7], 60, f'{RUN},layer="2"')}, until="1h"),
    Case("ExpertImbalance", "finished run: its last load stays", {**run(active="0x60", generation="9x60"), **experts(_HALF_ON_ONE, 60)}, until="1h"),
    Case("ExpertImbalance", "start of a run and restart: four skewed minutes", {**run(), **_at_first(_HALF_ON_ONE, 4)}, until="40m"),
    Case("ExpertImbalance", "no traffic: nothing was routed", {**run(active="0x60", generation="9x60"), **experts([0.0] * 8, 60)}, until="1h"),
    Case(
        "ExpertDead",
        "one of eight experts gets nothing",
        {**run(), **experts(_ONE_DEAD, 60)},
        fires_at="30m",
        says=("1 dead expert(s) (run r1)", "Under 5 % of their fair share on router:9100, experts: 0."),
    ),
    Case("ExpertDead", "two of eight in one layer: one alert", {**run(), **experts([0, 0, *[1 / 6] * 6], 60, f'{RUN},layer="1"')}, fires_at="30m"),
    Case("ExpertDead", "two runs with one dead expert each: an alert each", {**run(), **experts(_ONE_DEAD, 60), **run(labels=f'{ROUTER},run_id="r2"'), **experts(_ONE_DEAD, 60, f'{ROUTER},run_id="r2"')}, fires_at="30m", count=2),
    Case("ExpertDead", "an even load", {**run(), **experts(_EVEN, 60)}, until="1h"),
    Case("ExpertDead", "start of a run and restart: cold for ten minutes", {**run(), **_at_first(_ONE_DEAD, 10)}, until="40m"),
    Case("ExpertDead", "finished run: its last load stays", {**run(active="0x60", generation="9x60"), **experts(_ONE_DEAD, 60)}, until="1h"),
    Case("ExpertDead", "no traffic: no expert is asked", {**run(), **experts([0.0] * 8, 60)}, until="1h"),
    Case(
        "RouterCollapse",
        "everything goes to one of eight",
        {**run(), **experts(_COLLAPSED, 60)},
        fires_at="20m",
        says=("The router has collapsed (run r1)", "Only 13.12% of the experts are effectively in use on router:9100 (exp of the entropy of their shares ÷ their count)."),
    ),
    Case("RouterCollapse", "skewed, but not collapsed", {**run(), **experts(_HALF_ON_ONE, 60)}, until="1h"),
    Case("RouterCollapse", "one of three experts: too few to speak of collapse", {**run(), **experts([1, 0, 0], 60)}, until="1h"),
    Case("RouterCollapse", "finished run: its last load stays", {**run(active="0x60", generation="9x60"), **experts(_COLLAPSED, 60)}, until="1h"),
    Case("RouterCollapse", "start of a run and restart: four collapsed minutes", {**run(), **_at_first(_COLLAPSED, 4)}, until="40m"),
    Case("RouterCollapse", "no traffic: nothing was routed", {**run(), **experts([0.0] * 8, 60)}, until="1h"),
)  # fmt: skip


def _counted(labels: str, fast: list[int], slow: list[int]) -> dict[str, str]:
    """A latency histogram from its counters: requests under 50 ms, and between 100 and 500 ms."""
    both = [one + other for one, other in zip(fast, slow, strict=True)]
    buckets = {
        f'inference_latency_seconds_bucket{{{labels},le="{le}"}}': values(count)
        for le, count in {"0.05": fast, "0.1": fast, "0.5": both, "+Inf": both}.items()
    }
    return {**buckets, f"inference_latency_seconds_count{{{labels}}}": values(both)}


def _outage(labels: str, fast_minutes: int, slow_minutes: int) -> dict[str, str]:
    """60 requests a minute, all fast, then all slow."""
    minutes = range(fast_minutes + slow_minutes)
    fast = [60 * min(i, fast_minutes) for i in minutes]
    return _counted(labels, fast, [60 * i - fast[i] for i in minutes])


_AGAIN = [*range(0, 1200, 60), *range(0, 1200, 60)]  # a counter whose process restarts in the middle
_LATENCY = (
    Case(
        "HighInferenceLatency",
        "six healthy hours do not hide ten slow minutes",
        _outage(ROUTER, 360, 12),
        fires_at="6h8m",
        says=("Inference is slow on router:9100", "Of the last 5 minutes' requests, one in 20 took longer than 480ms; the objective is 100 ms."),
    ),
    Case("HighInferenceLatency", "one alert, however many batch sizes", {**_outage(f'{ROUTER},batch_size="1"', 10, 10), **_outage(f'{ROUTER},batch_size="32"', 10, 10)}, fires_at="19m"),
    Case("HighInferenceLatency", "healthy", histogram(ROUTER, 60, 0, 60), until="1h"),
    Case("HighInferenceLatency", "start of a process: three slow warm-up requests", histogram(ROUTER, 0, 1, 3), until="20m"),
    Case("HighInferenceLatency", "no traffic, finished run: the counters stand still after a slow hour", _counted(ROUTER, fast=[0] * 60, slow=[100] * 60), until="1h"),
    Case("HighInferenceLatency", "restart: the counters start again, all fast", _counted(ROUTER, fast=_AGAIN, slow=[0] * 40), until="40m"),
    Case(
        "InferenceLatencySLOBurn",
        "half of the requests are slow for an hour",
        histogram(ROUTER, 30, 30, 70),
        fires_at="65m",
        count=4,  # it is the whole history, so every window sees it
        labels=(("window", "1h"),),
        says=(
            "The latency objective of moe-router spends its error budget too fast",
            "50% of the requests of moe-router over 1h took longer than 100 ms; the objective (99 % within 100 ms over 30 days) allows 1 %.",
        ),
    ),
    Case("InferenceLatencySLOBurn", "2 % slow: too little for every window but the slowest", histogram(ROUTER, 1764, 36, 60), fires_at="50m"),
    Case("InferenceLatencySLOBurn", "start: 20 requests, all slow", histogram(ROUTER, 0, 1, 20), until="20m"),
    Case("InferenceLatencySLOBurn", "0.5 % slow is within the budget", histogram(ROUTER, 1791, 9, 60), until="1h"),
    Case("InferenceLatencySLOBurn", "no traffic", histogram(ROUTER, 0, 0, 120), until="2h"),
    Case("InferenceLatencySLOBurn", "restart and finished run: all fast, then nothing", _counted(ROUTER, fast=[*_AGAIN, *[1140] * 60], slow=[0] * 100), until="100m"),
)  # fmt: skip

_BENCH = 'job="moe-dashboard",instance="bench:8501",benchmark="reference-moe"'
_REGRESSION = (
    Case(
        "BenchmarkRegression",
        "latency is half as much again as in the week before",
        {f"benchmark_latency_seconds{{{_BENCH}}}": values([0.02] * 160 + [0.03] * 6)},
        fires_at="80h30m",
        labels=(("metric", "latency"),),
        says=(
            "Benchmark reference-moe: latency is 1.50 times worse than its 7-day median",
            "The latency of reference-moe on bench:8501 is more than 20 % worse than the median of the seven days before.",
        ),
        interval="30m",
        evaluation="10m",
    ),
    Case("BenchmarkRegression", "throughput fell by a third", {f"benchmark_throughput_samples_per_second{{{_BENCH}}}": values([900] * 160 + [600] * 6)}, fires_at="80h30m", interval="30m", evaluation="10m"),
    Case("BenchmarkRegression", "start: the first result has no week before it", {f"benchmark_latency_seconds{{{_BENCH}}}": "0.02x10"}, until="30m", evaluation="10m"),
    Case("BenchmarkRegression", "faster is no regression", {f"benchmark_latency_seconds{{{_BENCH}}}": values([0.02] * 160 + [0.01] * 6)}, until="83h", interval="30m", evaluation="10m"),
    Case("BenchmarkRegression", "restart and finished run: the same result again", {f"benchmark_latency_seconds{{{_BENCH}}}": "0.02x100 _x10 0.02x50"}, until="80h", interval="30m", evaluation="10m"),
)  # fmt: skip

CASES = (
    *_EXPERTS,
    *_LATENCY,
    *_REGRESSION,
)
