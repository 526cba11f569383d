"""Evolution: is the population still improving, and if not, why?"""

from dashboard.catalogue import evolution
from dashboard.shell import Stack, compare, failures, pace, page, report, runs, topology

page(
    title="Evolution",
    question="Is the population still improving, and if not, why?",
    controls=("run", "axis", "window"),
    rows=[
        [runs.state],
        [Stack("evolution", "Evolution", evolution.CURVES)],
        [pace.timeline],
        [failures.by_type],
        [topology.matrix],
        [compare.table],
        [report.of_run],
    ],
)
