"""When each alert must fire and when it must stay silent, as series that promtool plays back.

A case is a story; `tests.alerts.test_rules` hands all of them to `promtool test rules`.
"""

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


_NOISY = values(0.9 - 0.01 * (i % 3) for i in range(60))
_EVEN = [0.125] * 8
_ONE_DEAD = [0.0, *[1 / 7] * 7]
_HALF_ON_ONE = [0.65, *[0.05] * 7]
_COLLAPSED = [0.994, *[0.006 / 7] * 7]
_FINISHED = {f'evolution_run_state{{{RUN},state="finished"}}': "1x200"}

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
        {**run(active="0x30", nonfinite_fitness_count="3x30", fitness_best=values([math.nan] * 30)), **_FINISHED},
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
        {f"training_loss{{{RUN}}}": values([math.nan] * 30), **_FINISHED},
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

_GPU = 'job="moe-exporter",instance="gpu-host:9105",gpu_id="0"'
_DCGM = 'job="dcgm",instance="gpu-host:9400",gpu="0",UUID="GPU-1"'
_HARDWARE = (
    Case(
        "GPUMemoryHigh",
        "95 % in use",
        {f"gpu_memory_usage_percent{{{_GPU}}}": "95x10"},
        fires_at="5m",
        says=("GPU memory is nearly full: GPU 0 on gpu-host:9105", "95.0 % of the memory of GPU 0 on gpu-host:9105 is in use."),
    ),
    Case("GPUMemoryHigh", "only used and total are known", {f"gpu_memory_used_bytes{{{_GPU}}}": "75e9x10", f"gpu_memory_total_bytes{{{_GPU}}}": "80e9x10"}, fires_at="5m"),
    Case("GPUMemoryHigh", "dcgm-exporter's names, in MiB", {f"DCGM_FI_DEV_FB_USED{{{_DCGM}}}": "76000x10", f"DCGM_FI_DEV_FB_FREE{{{_DCGM}}}": "4000x10"}, fires_at="5m"),
    Case("GPUMemoryHigh", "15 GB of 141 are not much", {f"gpu_memory_used_bytes{{{_GPU}}}": "15e9x10", f"gpu_memory_total_bytes{{{_GPU}}}": "141e9x10"}, until="10m"),
    Case("GPUMemoryHigh", "start, restart: full for one minute", {f"gpu_memory_usage_percent{{{_GPU}}}": "50 95 50 50 95 50"}, until="10m"),
    Case(
        "GPUThrottled",
        "too hot",
        {f'gpu_throttled{{{_GPU},reason="hw_thermal"}}': "1x10"},
        fires_at="8m",
        says=("GPU 0 on gpu-host:9105 is held back", "The clocks of GPU 0 have been reduced for 5 minutes (hw_thermal): latency and generation time suffer."),
    ),
    Case("GPUThrottled", "dcgm-exporter's mask: 64 is heat", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{{{_DCGM}}}": "65x10"}, fires_at="8m"),
    Case("GPUThrottled", "dcgm-exporter's count by event", {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{{_DCGM},clock_event="sw_thermal"}}': "3x10"}, fires_at="8m"),
    Case("GPUThrottled", "idle and the software power cap are normal", {f'gpu_throttled{{{_GPU},reason="sw_power_cap"}}': "1x10", f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{{{_DCGM}}}": "5x10"}, until="10m"),
    Case("GPUThrottled", "start, restart: hot for two minutes", {f'gpu_throttled{{{_GPU},reason="hw_thermal"}}': "1 1 0 0 1 1 0 0"}, until="10m"),
    Case(
        "GPUXidError",
        "Xid 79, a counter that is born at 1",
        {f"gpu_memory_usage_percent{{{_GPU}}}": "1x10", f'gpu_xid_errors_total{{{_GPU},xid="79"}}': "_x5 1x10"},
        fires_at="8m",
        labels=(("xid", "79"),),
        says=("GPU 0 on gpu-host:9105: Xid 79", "GPU 0 on gpu-host:9105 reported Xid 79, a fault of the hardware class: take the node out of service."),
    ),
    Case("GPUXidError", "the second equal error", {f'gpu_xid_errors_total{{{_GPU},xid="79"}}': "1x60 2x10"}, fires_at="65m"),
    Case("GPUXidError", "dcgm-exporter's gauge, already replaced by the next Xid", {f'DCGM_FI_DEV_XID_ERRORS{{{_DCGM},err_code="79"}}': "79x2 _x20"}, fires_at="8m"),
    Case("GPUXidError", "Xid 31 is the application's own fault", {f'gpu_xid_errors_total{{{_GPU},xid="31"}}': "0+1x20"}, until="20m"),
    Case("GPUXidError", "start, restart: the counter begins at 0", {f'gpu_xid_errors_total{{{_GPU},xid="79"}}': "0x20 _x3 0x20"}, until="40m"),
    Case(
        "GPUUncorrectableMemoryError",
        "one more uncorrectable error",
        {f"gpu_ecc_uncorrected_total{{{_GPU}}}": "0x10 1x10"},
        fires_at="15m",
        says=(
            "Memory of GPU 0 on gpu-host:9105 has an error that could not be corrected",
            "GPU 0 on gpu-host:9105 reported an uncorrectable ECC error or a row it could not remap: results since then are suspect.",
        ),
    ),
    Case("GPUUncorrectableMemoryError", "a row could not be remapped", {f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{_DCGM}}}": "0x5 1x10"}, fires_at="10m"),
    Case("GPUUncorrectableMemoryError", "start, restart: old errors are old", {f"gpu_ecc_uncorrected_total{{{_GPU}}}": "4x20 _x10 4x20"}, until="50m"),
)  # fmt: skip

_HOST = 'job="moe-exporter",instance="host:9105",mount_point="/data"'
_NODE = 'job="node",instance="host:9100",mountpoint="/data",fstype="ext4",device="/dev/sda1"'
_DISK = (
    Case(
        "DiskAlmostFull",
        "3 % left",
        {f"disk_usage_bytes{{{_HOST}}}": "97e9x10", f"disk_total_bytes{{{_HOST}}}": "100e9x10"},
        fires_at="8m",
        says=("Disk almost full: /data on host:9105", "3.0 % is left on /data of host:9105: checkpoints and logs will fail."),
    ),
    Case("DiskAlmostFull", "node_exporter's names", {f"node_filesystem_avail_bytes{{{_NODE}}}": "3e9x10", f"node_filesystem_size_bytes{{{_NODE}}}": "100e9x10", f"node_filesystem_readonly{{{_NODE}}}": "0x10"}, fires_at="8m"),
    Case("DiskAlmostFull", "a read-only image is always full", {f"node_filesystem_avail_bytes{{{_NODE}}}": "0x10", f"node_filesystem_size_bytes{{{_NODE}}}": "100e9x10", f"node_filesystem_readonly{{{_NODE}}}": "1x10"}, until="10m"),
    Case("DiskAlmostFull", "start, restart: 20 % left, then nothing said", {f"disk_usage_bytes{{{_HOST}}}": "80e9x10 _x10 80e9x10", f"disk_total_bytes{{{_HOST}}}": "100e9x10 _x10 100e9x10"}, until="30m"),
    Case(
        "DiskWillFill",
        "70 % used and 2 % more every hour",
        {f"disk_usage_bytes{{{_HOST}}}": "58e9+1e9x15", f"disk_total_bytes{{{_HOST}}}": "100e9x15"},
        fires_at="7h",
        says=("/data on host:9105 will be full within a day", "28% is left on /data of host:9105, and falling as fast as in the last 6 hours it will not last 24."),
        interval="30m",
        evaluation="30m",
    ),
    Case("DiskWillFill", "node_exporter's names", {f"node_filesystem_avail_bytes{{{_NODE}}}": "42e9-1e9x15", f"node_filesystem_size_bytes{{{_NODE}}}": "100e9x15", f"node_filesystem_readonly{{{_NODE}}}": "0x15"}, fires_at="7h", interval="30m", evaluation="30m"),
    Case("DiskWillFill", "full, but not growing", {f"disk_usage_bytes{{{_HOST}}}": "80e9x15", f"disk_total_bytes{{{_HOST}}}": "100e9x15"}, until="7h", interval="30m", evaluation="30m"),
    Case("DiskWillFill", "start: a burst on a disk that is nearly empty", {f"disk_usage_bytes{{{_HOST}}}": "5e9+2e9x15", f"disk_total_bytes{{{_HOST}}}": "100e9x15"}, until="7h", interval="30m", evaluation="30m"),
)  # fmt: skip

_UP = f"up{{{ROUTER}}}"
_APPLICATION = (
    Case(
        "ApplicationDown",
        "the target does not answer",
        {_UP: "1x5 0x10"},
        fires_at="8m",
        says=("The router is down: router:9100", "Prometheus has not reached the router (router:9100) for more than a minute, or reaches it less than half of the time."),
    ),
    Case(
        "ApplicationDown",
        "gone from service discovery",
        {'up{job="other",instance="x"}': "1x20"},
        fires_at="5m",
        says=("The router is down: no target at all", "Prometheus has not reached the router (no target at all) for more than a minute, or reaches it less than half of the time."),
    ),
    Case("ApplicationDown", "crash loop: up in one scrape of four", {_UP: "1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0"}, fires_at="14m"),
    Case("ApplicationDown", "up", {_UP: "1x30"}, until="30m"),
    Case("ApplicationDown", "restart: one scrape is lost", {_UP: "1 1 1 1 1 0 1 1 1 1 1"}, until="10m"),
    Case("ApplicationDown", "finished run: the process ends after it said so", {_UP: "1x10 0x30", f"evolution_run_active{{{RUN}}}": "1x8 0 0 _x30"}, until="40m"),
    Case("ApplicationDown", "start: the first scrape is lost", {_UP: "0 1 1 1 1 1"}, until="5m"),
    Case(
        "ApplicationRestarting",
        "three starts in ten minutes",
        {f"process_start_time_seconds{{{ROUTER}}}": "10 10 200 200 400 400 400 400"},
        fires_at="7m",
        says=("router:9100 restarted 2 times in 15 minutes", "The router at router:9100 keeps restarting: a crash loop, the kernel out of memory, or a liveness probe that fails."),
    ),
    Case("ApplicationRestarting", "one restart", {f"process_start_time_seconds{{{ROUTER}}}": "10x10 700x20"}, until="30m"),
    Case("ApplicationRestarting", "start, finished run: it comes and goes once", {f"process_start_time_seconds{{{ROUTER}}}": "_x5 10x10 _x10"}, until="25m"),
    Case(
        "MetricsMissing",
        "the target answers with somebody else's metrics",
        {_UP: "1x30", f"scrape_samples_scraped{{{ROUTER}}}": "8x30"},
        fires_at="15m",
        says=("router:9100 exposes no router metrics", "router:9100 answers the scrape, but says neither a generation nor an inference: it is not instrumented, or another program has its port."),
    ),
    Case("MetricsMissing", "it evolves", {_UP: "1x30", **run()}, until="30m"),
    Case("MetricsMissing", "no traffic: it serves, nobody asks", {_UP: "1x30", **histogram(ROUTER, 0, 0, 30)}, until="30m"),
    Case("MetricsMissing", "start, restart: nothing is said for five minutes", {_UP: "1x40", f"evolution_generation_current{{{RUN}}}": "_x5 1+1x10 _x5 1+1x20"}, until="40m"),
    Case("MetricsMissing", "finished run: the process is gone", {_UP: "1x5 0x20"}, until="25m"),
    Case(
        "MetricsLagging",
        "the newest sample is two minutes old and more",
        {f"evolution_generation_current{{{RUN}}}": "0 1"},
        interval="1m",
        fires_at="5m",
        labels=(("cause", "old samples"),),
        says=("Metrics of moe-router/router:9100 are late: old samples", "moe-router/router:9100: old samples, 4m 0s. What the dashboard shows of it is old."),
    ),
    Case("MetricsLagging", "a scrape takes eight seconds", {f"scrape_duration_seconds{{{ROUTER}}}": "8x20", **run()}, fires_at="5m"),
    Case("MetricsLagging", "nothing was pushed for an hour", {f"push_time_seconds{{{RUN}}}": "0x90"}, fires_at="1h"),
    Case("MetricsLagging", "finished run: what it pushed stays", {f"push_time_seconds{{{RUN}}}": "0x90", f"evolution_run_active{{{RUN}}}": "0x90"}, until="90m"),
    Case("MetricsLagging", "start, restart: scraped in time", {f"scrape_duration_seconds{{{ROUTER}}}": "0.01x30", **run()}, until="30m"),
)  # fmt: skip

_PIPELINE = (
    Case(
        "AlertingPipelineBroken",
        "Prometheus knows no Alertmanager",
        {'prometheus_notifications_alertmanagers_discovered{job="prometheus",instance="p:9090"}': "0x10"},
        fires_at="8m",
        labels=(("cause", "Prometheus knows no Alertmanager"),),
        says=("Alerting is broken: Prometheus knows no Alertmanager (p:9090)", "On p:9090: Prometheus knows no Alertmanager. Other alerts may not reach anybody."),
    ),
    Case("AlertingPipelineBroken", "rules fail", {'prometheus_rule_evaluation_failures_total{job="prometheus",instance="p:9090"}': "0+1x20"}, fires_at="10m"),
    Case("AlertingPipelineBroken", "notifications are dropped", {'prometheus_notifications_dropped_total{job="prometheus",instance="p:9090"}': "0+1x20"}, fires_at="10m"),
    Case("AlertingPipelineBroken", "a receiver refuses", {'alertmanager_notifications_failed_total{job="alertmanager",instance="a:9093",integration="webhook"}': "0+1x20"}, fires_at="10m"),
    Case(
        "AlertingPipelineBroken",
        "start, restart: the counters begin again, and one Alertmanager is known",
        {
            'prometheus_notifications_alertmanagers_discovered{job="prometheus",instance="p:9090"}': "1x30",
            'prometheus_rule_evaluation_failures_total{job="prometheus",instance="p:9090"}': "5x10 0x20",
        },
        until="30m",
    ),
    Case("Watchdog", "always", {}, fires_at="1m", says=("Alerting works", "Always fires, on purpose: where it is missing, alerts do not arrive. Send it to a dead man's switch.")),
)  # fmt: skip

CASES = (
    *_STAGNATION, *_DIVERSITY, *_NAN, *_STALLED, *_EXPERTS, *_LATENCY, *_REGRESSION, *_HARDWARE, *_DISK,
    *_APPLICATION, *_PIPELINE,
)  # fmt: skip
