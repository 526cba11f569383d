"""The Experts page over a recorded run."""

import json

from tests.pages.runs import directory, figures, points
from tests.pages.screen import words

WEEKS = {"from": "now-30d"}


def test_heatmap_and_balance_are_drawn_from_the_runs_directory_alone(open_page, tmp_path):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    drawn = figures(app)
    assert points(drawn["experts-heatmap"]) > 8 * 150 * 4
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
    assert "carries least" in figures(app)["experts-heatmap"]["alt"]


def test_the_order_of_experts_is_the_viewers_choice(open_page, tmp_path):
    app = open_page("experts", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    before = figures(app)["experts-heatmap"]["figure"]["data"][0]["y"]
    app.selectbox(key="order-picker").set_value("load").run()
    after = figures(app)["experts-heatmap"]["figure"]["data"][0]["y"]
    assert sorted(before) == sorted(after)
    assert before != after


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
