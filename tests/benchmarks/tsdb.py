"""A day of a router's metrics as Prometheus blocks, made with `promtool tsdb create-blocks-from openmetrics`.

Scrapes every 15 s, 3.217 s off the grid. Expert shares are counts over varying totals, so that their decimals are as
long as decimals get: the worst case for reading text. Deterministic; kept between runs, because it does not change.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

END = 1_795_406_400  # a multiple of every step used and of the block length
SCRAPE_SECONDS = 15
OFFSET = 3.217
BLOCK_SECONDS = 7200
GAUGES = (
    "evolution_generation_current", "evolution_fitness_average", "evolution_diversity_score",
    "evolution_convergence_rate", "evolution_population_size", "evolution_elite_count", "evolution_mutation_rate",
    "evolution_crossover_rate", "evolution_fitness_std", "evolution_fitness_min", "evolution_fitness_median",
    "evolution_distinct_genomes", "evolution_generations_since_improvement", "training_loss", "training_accuracy",
    "training_learning_rate", "training_epoch", "routing_sparsity_ratio", "routing_efficiency_score",
    "routing_connections_active", "routing_path_length_avg", "expert_load_balance_variance",
)  # fmt: skip
BOUNDS = ("0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "2.0", "5.0", "+Inf")


def make(directory: Path, experts: tuple[int, ...], hours: int) -> Path:
    """Blocks of the last `hours` before END; nothing is done where they are there already."""
    name = f"{'-'.join(map(str, experts))}x{hours}h"
    blocks, mark = directory / name, directory / f"{name}.whole"
    if mark.exists():
        return blocks
    shutil.rmtree(blocks, ignore_errors=True)
    blocks.mkdir(parents=True)
    source = directory / f"{name}.om"
    for number, start in enumerate(range(END - hours * 3600, END, BLOCK_SECONDS)):
        sys.stderr.write(f"\rwriting block {number + 1} of {hours * 3600 // BLOCK_SECONDS} ")
        sys.stderr.flush()
        with source.open("w") as text:
            text.writelines(_block(start, experts))
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(source), str(blocks)]
        subprocess.run(command, check=True, capture_output=True)
    sys.stderr.write("\n")
    source.unlink()
    mark.touch()
    return blocks


def _block(start: int, experts: tuple[int, ...]) -> Iterator[str]:
    """OpenMetrics text of two hours, family by family."""
    rng = np.random.default_rng(start)
    times = np.arange(start, start + BLOCK_SECONDS, SCRAPE_SECONDS) + OFFSET
    stamps = [f"{time:.3f}\n" for time in times]

    def series(name: str, labels: str, values: list[float]) -> Iterator[str]:
        head = f"{name}{{{labels}}} "
        return (f"{head}{value!r} {stamp}" for value, stamp in zip(values, stamps, strict=True))

    where = 'instance="a:8000",job="moe-router",run_id="bench"'
    for name in (*GAUGES, "evolution_fitness_best"):
        yield f"# TYPE {name} gauge\n"
        yield from series(name, where, rng.normal(size=len(times)).tolist())
    yield "# TYPE expert_utilization_ratio gauge\n"
    for count in experts:
        tokens = rng.multinomial(rng.integers(20_000, 30_000), np.ones(count) / count, size=len(times))
        totals = rng.integers(20_000, 30_000, size=(len(times), 1))
        shares = tokens / totals
        for expert in range(count):
            labels = f'expert_id="{expert}",instance="e{count}:8000",job="moe-router",run_id="bench-{count}"'
            yield from series("expert_utilization_ratio", labels, shares[:, expert].tolist())
    yield "# TYPE inference_latency_seconds histogram\n"
    requests = 10.0 * (times - (END - 86_400 * 2))
    for instance in range(4):
        who = f'instance="i{instance}:8000",job="moe-router"'
        for at, bound in enumerate(BOUNDS):
            part = min(1.0, 0.1 + 0.15 * at + 0.01 * instance)
            labels = f'{who},le="{bound}"'
            yield from series("inference_latency_seconds_bucket", labels, np.floor(part * requests).tolist())
        yield from series("inference_latency_seconds_count", who, np.floor(requests).tolist())
        yield from series("inference_latency_seconds_sum", who, (0.01 * requests).tolist())
    yield "# EOF\n"
