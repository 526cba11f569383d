"""Training: is the model behind the router learning, and how large is it?"""

from dashboard.catalogue import training
from dashboard.shell import Stack, page, runs
from dashboard.shell.training import model

page(
    title="Training",
    question="Is the model behind the router learning, and how large is it?",
    controls=("run", "axis", "window"),
    rows=[
        [runs.state],
        [model],
        [Stack("training", "Training", training.CURVES)],
    ],
)
