"""Inference: how long a request takes, how many keep the objective, and how much is served."""

from dashboard.catalogue import inference
from dashboard.shell import inference as blocks
from dashboard.shell import instances, page, traces

page(
    title="Inference",
    question="How long does a request take, how many keep the objective, and how much is served?",
    above=instances.picker([f"{inference.LATENCY}_count"]),
    rows=[
        [blocks.now],
        [inference.PERCENTILES],
        [traces.slowest],
        [blocks.by_instance],
        [blocks.over_time],
        [inference.WITHIN_OBJECTIVE, inference.THROUGHPUT_PANEL],
        [inference.REQUEST_RATE, inference.BATCHES],
    ],
)
