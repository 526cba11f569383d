"""Overview: what runs, what fires, and is the monitoring itself sound?"""

from dashboard.catalogue import evolution
from dashboard.shell import Stack, overview, page, pipeline, runs

page(
    title="Overview",
    question="What runs, what fires, and is the monitoring itself sound?",
    rows=[
        [overview.firing, overview.monitoring],
        [runs.cards],
        [Stack("fitness-now", "Fitness", (evolution.FITNESS,))],
    ],
    tells=pipeline.EVERYTHING,
)
