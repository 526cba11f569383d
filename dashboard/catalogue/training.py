"""Training: is the model behind the router learning?"""

from dashboard.catalogue import joins
from dashboard.catalogue.spec import Alert, Curve, Curves, Metric
from dashboard.catalogue.units import BYTES, COUNT, NUMBER

RUN = ("run_id",)

LOSS = Metric("training_loss", "gauge", NUMBER, "Current training loss", RUN, guide=True)
ACCURACY = Metric("training_accuracy", "gauge", NUMBER, "Current training accuracy", RUN, guide=True)
LEARNING_RATE = Metric("training_learning_rate", "gauge", NUMBER, "Current learning rate", RUN, guide=True)
EPOCH = Metric("training_epoch", "gauge", COUNT, "Current training epoch", RUN, guide=True)
PARAMETERS = Metric("model_parameter_count", "gauge", COUNT, "Number of model parameters", RUN, guide=True)
FLOPS = Metric("model_flops", "gauge", COUNT, "Model FLOPs per forward pass", RUN, guide=True)
SIZE = Metric("model_size_bytes", "gauge", BYTES, "Model size in bytes", RUN, guide=True)

METRICS = (LOSS, ACCURACY, LEARNING_RATE, EPOCH, PARAMETERS, FLOPS, SIZE)

LOSS_CURVES = Curves(
    key="training-loss",
    title="Training loss",
    why="A gap in the line is a loss that was not a number: the run diverged there.",
    unit=NUMBER,
    curves=(Curve(LOSS, "loss"),),
    empty="This run does not report a training loss.",
)
ACCURACY_CURVES = Curves(
    key="training-accuracy",
    title="Training accuracy",
    why="Accuracy rising while fitness stands still: the experts learn, the routing does not use it.",
    unit=NUMBER,
    curves=(Curve(ACCURACY, "accuracy"),),
    empty="This run does not report a training accuracy.",
)
LEARNING_RATE_CURVES = Curves(
    key="learning-rate",
    title="Learning rate",
    why="Steps in the schedule explain steps in the loss.",
    unit=NUMBER,
    curves=(Curve(LEARNING_RATE, "learning rate"),),
    empty="This run does not report a learning rate.",
)
EPOCH_CURVES = Curves(
    key="training-epoch",
    title="Epoch",
    why="How often the training data has been seen.",
    unit=COUNT,
    curves=(Curve(EPOCH, "epoch"),),
    empty="This run does not report an epoch.",
)
CURVES = (LOSS_CURVES, ACCURACY_CURVES, LEARNING_RATE_CURVES, EPOCH_CURVES)

# alerts

LOSS_NAN = Alert(
    name="TrainingLossNaN",
    # Only NaN differs from itself.
    when=f"""({LOSS} != {LOSS} or abs({LOSS}) == Inf)
{joins.UNLESS_RESTING}""",
    lasting="1m",
    severity="critical",
    component="training",
    summary="Training loss is not a number (run {{ or $labels.run_id `-` }})",
    description="The training loss of run {{ or $labels.run_id `-` }} on {{ $labels.instance }} is {{ $value }}: the experts' weights are lost from here on.",
    page="/training?run={{ $labels.run_id | urlquery }}",
)
ALERTS = (LOSS_NAN,)
