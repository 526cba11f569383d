"""The Experts page over a recorded run."""

import json
import struct

import numpy as np

from dashboard.figures.cells import DIGEST
from tests.pages.runs import directory, figures, points, wide
from tests.pages.screen import words

WEEKS = {"from": "now-30d"}


def heatmap(app: object) -> tuple[dict, np.ndarray]:
    """What was sent to the canvas: its head, and the levels of (experts, points)."""
    [sent] = [
        one.proto.bytes
        for one in app.get("bidi_component")
        if one.proto.component_name.endswith("dashboard.heatmap")
    ]
    (length,) = struct.unpack("<I", sent[DIGEST : DIGEST + 4])
    head = json.loads(sent[DIGEST + 4 : DIGEST + 4 + length])
    return head, np.frombuffer(sent[DIGEST + 4 + length :], np.uint8).reshape(len(head["rows"]), -1)


def rewritten(runs, change) -> None:
    """Every line of the one run's log, changed."""
    [log] = runs.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(change(i, line)) + "\n" for i, line in enumerate(lines)))


def layered(runs, layers: int) -> None:
    """The run's experts in several layers; expert 1 of layer 2 dies in generation 41."""

    def change(i: int, line: dict) -> dict:
        said = {}
        for layer in range(layers):
            load = dict(line["expert_utilization_ratio"])
            if layer == 2 and i >= 40:
                load["1"] = 0.0
            total = sum(load.values())
            said[str(layer)] = {name: value / total for name, value in load.items()}
        return line | {"expert_utilization_ratio": said}

    rewritten(runs, change)


def test_heatmap_and_balance_are_drawn_from_the_runs_directory_alone(open_page, tmp_path):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    drawn = figures(app)
    _, cells = heatmap(app)
    assert cells.shape == (8, 150)
    assert (cells > 0).mean() > 0.9
    assert points(drawn["curves-balance"]) > 0
    assert {metric.label for metric in app.metric} >= {
        "Effective experts",
        "Dead experts",
        "Coefficient of variation",
    }


def test_the_scale_of_the_load_is_stated(open_page, tmp_path):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    assert "Exported as share of the routed load: the 8 experts of a layer sum to 1" in words(app)


def test_a_dead_expert_is_named_with_the_generation_it_died_in_and_a_way_out(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    [log] = runs.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines[40:]:
        load = line["expert_utilization_ratio"]
        rest = 1 - load["3"]
        line["expert_utilization_ratio"] = {
            name: 0.0 if name == "3" else value / rest for name, value in load.items()
        }
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    app = open_page("experts", runs_dir=runs, query=WEEKS)
    assert "3 (0.00 since generation 41)" in words(app).replace("**", "")
    [link] = [link for link in app.get("page_link") if "alert=ExpertDead" in link.proto.query_string]
    assert link.proto.page == "runbooks"


def test_the_heatmap_is_described_in_words(open_page, tmp_path):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    assert "carries least" in heatmap(app)[0]["alt"]


def test_the_order_of_experts_is_the_viewers_choice(open_page, tmp_path):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    before, cells = heatmap(app)
    app.selectbox(key="order").set_value("load").run()
    after, ordered = heatmap(app)
    assert sorted(before["rows"]) == sorted(after["rows"])
    assert before["rows"] != after["rows"]
    newest = cells[:, -1].argsort(kind="stable")[::-1]
    assert cells[newest, -1].tolist() == ordered[:, -1].tolist()


def test_order_layer_and_lines_stand_in_the_address(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    layered(runs, 3)
    app = open_page("experts", runs_dir=runs, query=WEEKS | {"layer": "2", "order": "Load now", "lines": "1"})
    head, _ = heatmap(app)
    assert head["layer"] == "2"
    assert head["rows"][-1] == "1", "the dead one carries least"
    assert head["revision"].split("|")[1:3] == ["2", "load"]
    assert figures(app)["expert-lines-figure"]["alt"] == "Load divided by fair load. Now: expert 1 0.00."


def test_the_dead_are_named_by_layer_and_the_detector_is_about_the_least_even_one(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    layered(runs, 3)
    app = open_page("experts", runs_dir=runs, query=WEEKS)
    said = words(app).replace("**", "")
    assert "Layer 2. " in said
    assert "Dead: 1 (0.00 since generation 41)" in said
    assert "Layer 0. Dead" not in said
    assert "Layer 2 is the least even of 3" in said


def test_formulas_stand_on_the_page_with_their_sources_and_lines_for_this_number_of_experts(
    open_page, tmp_path
):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    assert not [one for one in app.markdown if one.value.startswith("| measure")], "not before it is opened"
    app.session_state["formulas"] = True
    app.run()
    [table] = [one.value for one in app.markdown if one.value.startswith("| measure")]
    table = table.replace("\\", "")
    assert "2 of 8" in table, "a collapse is below a quarter of 8"
    assert "0.109" in table, "the largest variance of 8 shares is 7/64"
    for source in ("Hill 1973", "Shazeer et al. 2017", "Wang et al. 2024"):
        assert source in table


def test_specialization_imbalance_and_fitness_stand_on_one_cursor(open_page, tmp_path):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    names = {trace["name"] for trace in figures(app)["curves-balance"]["figure"]["data"]}
    assert {
        "effective ÷ all",
        "coefficient of variation",
        "maximal violation",
        "best so far",
        "median",
        "sparsity",
    } <= names
    assert "does not report: inference latency" in words(app).lower()


def test_a_run_without_experts_says_so(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    [log] = runs.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text(
        "".join(
            json.dumps({k: v for k, v in line.items() if not k.startswith("expert_")}) + "\n"
            for line in lines
        )
    )
    app = open_page("experts", runs_dir=runs, query=WEEKS)
    assert "does not report what its experts carry" in words(app)
    assert not app.exception


def test_of_thousands_of_experts_one_types_the_number_and_nonsense_draws_nothing(open_page, tmp_path):
    runs = wide(tmp_path, experts=300, generations=5)
    app = open_page("experts", runs_dir=runs, query=WEEKS | {"lines": "299"})
    assert len(app.multiselect(key="lines").options) < 10
    assert "expert 299" in figures(app)["expert-lines-figure"]["alt"]
    app.multiselect(key="lines").set_value(["nobody"]).run()
    assert "expert-lines-figure" not in figures(app)
    assert not app.exception
