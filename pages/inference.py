"""Inference: how long a request takes, how many keep the objective, and how much is served."""

from dashboard.shell import inference as blocks
from dashboard.shell import page, traces

percentiles, within, throughput, requests, batches = blocks.panels()
page(
    title="Inference",
    question="How long does a request take, how many keep the objective, and how much is served?",
    above=blocks.above,
    rows=[
        [blocks.now],
        [percentiles],
        [traces.slowest],
        [blocks.by_instance],
        [blocks.over_time],
        [within, throughput],
        [requests, batches],
    ],
)
