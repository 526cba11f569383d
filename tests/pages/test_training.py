"""The Training page over recorded runs."""

import json

from tests.pages.runs import directory, figures, points
from tests.pages.screen import words

WEEKS = {"from": "now-30d"}


def test_loss_and_accuracy_are_drawn_and_the_model_is_measured(open_page, tmp_path):
    app = open_page("training", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    assert points(figures(app)["curves-training"]) > 0
    assert {metric.label: metric.value for metric in app.metric} == {
        "Parameters": "9.09 k", "FLOPs per forward pass": "61.8 k", "Size": "35.5 KiB",
    }  # fmt: skip


def test_what_is_not_exported_is_said_once_and_not_drawn(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    [log] = runs.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    silent = ("training_accuracy", "training_learning_rate", "model_flops")
    log.write_text(
        "".join(json.dumps({k: v for k, v in line.items() if k not in silent}) + "\n" for line in lines)
    )
    app = open_page("training", runs_dir=runs, query=WEEKS)
    assert words(app).count("does not report: training accuracy, learning rate.") == 1
    assert "does not report: FLOPs per forward pass." in words(app)
    titles = [note["text"] for note in figures(app)["curves-training"]["figure"]["layout"]["annotations"]]
    assert "<b>Training accuracy</b>" not in titles


def test_a_run_whose_loss_stopped_being_a_number_is_called_diverged(open_page, tmp_path):
    runs = directory(tmp_path, "nan")
    [record] = runs.glob("*/run.json")
    app = open_page("training", runs_dir=runs, query=WEEKS)
    assert json.loads(record.read_text())["state"] == "finished"
    assert "diverged" in words(app)
    assert "24 of 24 individuals have no finite fitness, since generation 2." in words(app)


def test_a_run_that_trains_nothing_is_told_in_two_sentences_and_no_empty_panel_is_drawn(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    [log] = runs.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    kept = [{k: v for k, v in line.items() if not k.startswith(("training_", "model_"))} for line in lines]
    log.write_text("".join(json.dumps(line) + "\n" for line in kept))
    app = open_page("training", runs_dir=runs, query=WEEKS)
    assert (
        "Nothing was reported in this window of: training loss, training accuracy, learning rate, epoch."
        in words(app)
    )
    assert "does not report: parameters, FLOPs per forward pass, size." in words(app)
    assert figures(app) == {}


def test_the_axis_the_smoothing_and_the_logarithm_are_those_of_evolution(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    app = open_page("training", runs_dir=runs, query=WEEKS | {"axis": "time", "smooth": "10", "log": "1"})
    document = figures(app)["curves-training"]["figure"]
    assert document["layout"]["xaxis"]["type"] == "date"
    assert document["layout"]["yaxis"]["type"] == "log"
    assert "loss, smoothed" in {trace.get("name") for trace in document["data"]}
