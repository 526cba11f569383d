"""Inference: how long a request takes, how many keep the objective, and how much is served."""

from dashboard.shell import inference as blocks
from dashboard.shell import page

page(
    title="Inference",
    question="How long does a request take, how many keep the objective, and how much is served?",
    above=blocks.above,
    rows=blocks.rows(),
)
