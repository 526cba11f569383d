"""Three hours of a router's life as OpenMetrics text, and what its observer logged meanwhile. Every number is computable.

Run `alpha` evolves twice a second and is scraped every 5 s, restarts once and finishes; run `beta` is instrumented
without a run_id and takes 20 s a generation. Beside them: experts of two layers, a latency histogram, other people's
exporters, a metric that stopped and one that is often NaN.
"""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import time as now

END = (
    int(now() // 7200) * 7200 - 7200
)  # the feed's clock is set to it; recent, because servers refuse the far past and the future
START = END - 3 * 3600
SCRAPE = 5.0
OFFSET = 1.217  # scrapes do not fall on the grid
RESTART = START + 3600.0
FINISHED = END - 1800.0
GENERATION_SECONDS = 0.5
LOSS_STOPS = END - 6000.0


def alpha(time: float) -> tuple[int, float]:
    """(generation, when its process started) at a time."""
    began = START if time < RESTART else RESTART
    return int((min(time, FINISHED) - began) / GENERATION_SECONDS) + 1, float(began)


def best(generation: int) -> float:
    return 1 - 1 / (generation + 1)


def diversity(generation: int) -> float:
    return 0.5 + 0.4 * math.sin(generation / 97)


def share(layer: int, expert: int, generation: int) -> float:
    """Shares of four experts: they sum to 1 and drift; expert 3 of layer 1 is dead."""
    weights = [1.0, 2.0, 3.0 + math.sin(generation / 500), 0.0 if layer == 1 else 1.0]
    return weights[expert] / sum(weights)


def scrapes() -> Iterator[float]:
    time = START + OFFSET
    while time <= END:
        yield round(time, 3)
        time += SCRAPE


def openmetrics() -> str:
    """All series, family by family as the format wants them."""
    lines: list[str] = []

    def family(name: str, kind: str, samples: Iterator[tuple[str, float, float]]) -> None:
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{series} {value!r} {time}" for series, value, time in samples)

    where = 'instance="a:8000",job="moe-router"'
    run = f'{{{where},run_id="alpha"}}'
    times = list(scrapes())
    while_alpha = [time for time in times if time <= FINISHED + 900]
    beta = '{instance="b:8000",job="moe-router"}'
    of_alpha = {
        "evolution_generation_current": lambda time: alpha(time)[0],
        "evolution_fitness_best": lambda time: best(alpha(time)[0]),
        "evolution_diversity_score": lambda time: diversity(alpha(time)[0]),
        "evolution_run_active": lambda time: float(time < FINISHED),
    }
    for name, value in of_alpha.items():
        samples = [(f"{name}{run}", float(value(time)), time) for time in while_alpha]
        if name == "evolution_generation_current":
            samples += [(f"{name}{beta}", float((time - START) // 20), time) for time in times]
        family(name, "gauge", iter(samples))
    info = f'evolution_run_info{{{where},run_id="alpha",run_name="Alpha",num_experts="4",top_k="1"}}'
    family("evolution_run_info", "gauge", ((info, 1.0, time) for time in while_alpha))
    family(
        "evolution_run_state",
        "gauge",
        (
            (f'evolution_run_state{{{where},run_id="alpha",state="{state}"}}', float(on), time)
            for state in ("running", "finished")
            for time in while_alpha
            for on in [(time < FINISHED) == (state == "running")]
        ),
    )
    family(
        "process_start_time_seconds",
        "gauge",
        ((f"process_start_time_seconds{{{where}}}", alpha(time)[1], time) for time in while_alpha),
    )
    family(
        "training_loss", "gauge", ((f"training_loss{run}", 2.5, time) for time in times if time < LOSS_STOPS)
    )
    family(
        "expert_utilization_ratio",
        "gauge",
        (
            (
                f'expert_utilization_ratio{{{where},run_id="alpha",layer="{layer}",expert_id="{expert}"}}',
                share(layer, expert, alpha(time)[0]),
                time,
            )
            for layer in (0, 1)
            for expert in range(4)
            for time in while_alpha
        ),
    )
    family(
        "evolution_fitness_average",
        "gauge",
        (
            (f"evolution_fitness_average{beta}", math.nan if k % 7 == 0 else k / 1000, t)
            for k, t in enumerate(times)
        ),
    )
    family(
        "evolution_mutation_rate", "gauge", ((f"evolution_mutation_rate{beta}", 0.1, time) for time in times)
    )
    family("inference_latency_seconds", "histogram", _latency(times))
    gpu = 'instance="gpu:9400",job="dcgm",UUID="GPU-1"'
    family("DCGM_FI_DEV_GPU_UTIL", "gauge", (
        (f'DCGM_FI_DEV_GPU_UTIL{{gpu="{index}",{gpu}}}', 10.0 * (index + 1), t) for index in (0, 1, 10) for t in times
    ))  # fmt: skip
    for name, mebibytes in (("USED", 1024.0), ("FREE", 3072.0)):
        metric = f"DCGM_FI_DEV_FB_{name}"
        family(metric, "gauge", ((f'{metric}{{gpu="0",{gpu}}}', mebibytes, t) for t in times))
    node = 'instance="n:9100",job="node",mode="idle",cpu="0"'
    family("node_cpu_seconds", "counter", (
        (f"node_cpu_seconds_total{{{node}}}", 0.25 * (t - START), t) for t in times
    ))  # fmt: skip
    lines.append("# EOF\n")
    return "\n".join(lines)


def _latency(times: list[float]) -> Iterator[tuple[str, float, float]]:
    """Ten requests a second: 80 % within 10 ms, all within 100 ms."""
    where = 'instance="a:8000",job="moe-router"'
    for bound, part in (("0.01", 0.8), ("0.1", 1.0), ("1.0", 1.0), ("+Inf", 1.0)):
        for time in times:
            count = float(int(10 * part * (time - START)))
            yield f'inference_latency_seconds_bucket{{{where},le="{bound}"}}', count, time
    for time in times:
        yield f"inference_latency_seconds_count{{{where}}}", float(int(10 * (time - START))), time
    for time in times:
        yield f"inference_latency_seconds_sum{{{where}}}", 0.2 * (time - START), time


def write_run(
    directory: Path, run_id: str = "alpha", state: str = "finished", host: str | None = None
) -> Path:
    """The run's folder as the observer leaves it: every generation, both stretches."""
    folder = directory / run_id
    folder.mkdir(parents=True)
    record = {
        "schema": 1, "run_id": run_id, "run_name": "Alpha", "state": state, "started_at": stamp(START),
        "ended_at": stamp(FINISHED) if state == "finished" else None, "error": None, "pid": 1, "host": host,
        "git_sha": "abc", "config": {"num_experts": 4, "top_k": 1},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    with (folder / "generations.jsonl").open("w") as log:
        for began, ends in ((START, RESTART), (RESTART, FINISHED)):
            for generation in range(1, int((ends - began) / GENERATION_SECONDS) + 1):
                log.write(line(run_id, generation, began + (generation - 1) * GENERATION_SECONDS))
    return folder


def line(run_id: str, generation: int, time: float, **more: object) -> str:
    """One generation as the observer logs it."""
    return (
        json.dumps(
            {
                "event": "Evolution generation completed",
                "timestamp": stamp(time),
                "run_id": run_id,
                "generation": generation,
                "best_fitness": best(generation),
                "diversity_score": diversity(generation),
                "training_loss": None if generation % 5 == 0 else 2.5,
                "elapsed_time_seconds": time - START,
                **more,
            }
        )
        + "\n"
    )


def stamp(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
