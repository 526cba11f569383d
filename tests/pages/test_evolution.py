"""The Evolution page over recorded runs: from the runs directory alone, with nothing, and with what the address says."""

import json

import pytest

from dashboard.sources import current
from tests.pages.runs import directory, figures, points
from tests.pages.screen import HOSTILE, words

WEEKS = {"from": "now-30d"}


@pytest.fixture
def two_runs(tmp_path):
    return directory(tmp_path, "healthy", "mutation-zero")


def test_curves_and_topology_are_drawn_from_the_runs_directory_alone(open_page, tmp_path):
    app = open_page("evolution", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    drawn = figures(app)
    assert set(drawn) == {"curves-evolution", "timeline", "topology", "topology-graph"}
    assert points(drawn["curves-evolution"]) > 150 * 4
    assert "The log holds all 150 generations" in words(app)


def test_the_page_says_how_the_run_is_doing(open_page, tmp_path):
    app = open_page("evolution", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    assert "generation 150" in words(app)
    assert "Best 0.907 at generation 150 of 150." in words(app)


def test_a_figure_is_described_for_those_who_cannot_see_it(open_page, tmp_path):
    app = open_page("evolution", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    assert "best so far 0.9075" in figures(app)["curves-evolution"]["alt"]


def test_the_run_the_axis_and_the_smoothing_of_an_address_are_shown(open_page, two_runs):
    run = next(path.name for path in two_runs.iterdir() if path.name.startswith("mutation-zero"))
    app = open_page(
        "evolution",
        runs_dir=two_runs,
        query=WEEKS | {"run": run, "axis": "elapsed", "smooth": "10", "log": "1"},
    )
    document = figures(app)["curves-evolution"]
    assert app.selectbox(key="run-picker").value == run
    assert document["figure"]["layout"]["xaxis"]["title"]["text"] == "Elapsed time"
    assert any("smoothed" in trace.get("name", "") for trace in document["figure"]["data"])


def test_choosing_an_axis_changes_the_address(open_page, two_runs):
    app = open_page("evolution", runs_dir=two_runs, query=WEEKS)
    app.segmented_control(key="axis-picker").set_value("time").run()
    assert "time" in app.query_params["axis"]
    assert figures(app)["curves-evolution"]["figure"]["layout"]["xaxis"]["type"] == "date"


def test_all_runs_are_listed_to_be_compared(open_page, two_runs):
    app = open_page("evolution", runs_dir=two_runs, query=WEEKS)
    [table] = [frame.value for frame in app.dataframe]
    assert sorted(table["run"]) == ["healthy", "mutation-zero"]
    assert {"state", "age", "generations", "best fitness", "configuration"} <= set(table)


def ids(runs) -> dict[str, str]:
    return {path.name.rsplit("-", 3)[0]: path.name for path in runs.iterdir()}


def test_chosen_runs_alignment_and_goal_of_an_address_are_shown(open_page, two_runs):
    known = ids(two_runs)
    app = open_page(
        "evolution",
        runs_dir=two_runs,
        query={"runs": [known["healthy"], known["mutation-zero"]], "align": "evaluations", "goal": "0.9"},
    )
    drawn = figures(app)["overlay"]
    assert drawn["figure"]["layout"]["xaxis"]["title"]["text"] == "Fitness evaluations"
    names = {trace.get("name") for trace in drawn["figure"]["data"]}
    assert {"healthy", "mutation-zero", "healthy ahead"} <= names
    numbers = next(frame.value for frame in app.dataframe if "evaluations" in frame.value).set_index("run")
    assert numbers.loc["healthy", "reached 0.9 at"].startswith("generation ")
    assert int(numbers.loc["healthy", "evaluations"].replace(",", "")) % 24 == 0
    assert numbers.loc["mutation-zero", "evaluations"] == "never reached"
    assert "on average" in words(app)


def test_every_run_that_matches_an_expression_is_compared(open_page, two_runs):
    app = open_page("evolution", runs_dir=two_runs, query={"where": "mutation_rate=0", "all": "1"})
    listed = next(frame.value for frame in app.dataframe if "configuration" in frame.value)
    assert list(listed["run"]) == ["mutation-zero"]
    assert {trace.get("name") for trace in figures(app)["overlay"]["figure"]["data"]} == {"mutation-zero"}
    app = open_page("evolution", runs_dir=two_runs, query={"where": "mutatoin_rate=0"})
    assert "No run says mutatoin_rate." in words(app)


def test_a_baseline_that_somebody_pinned_is_seen_by_everybody(open_page, two_runs):
    known = ids(two_runs)
    query = WEEKS | {"run": known["mutation-zero"]}
    app = open_page("evolution", runs_dir=two_runs, query=query)
    assert "overlay" not in figures(app)
    current().store.pin(known["healthy"], who="alice")
    app = open_page("evolution", runs_dir=two_runs, query=query)
    listed = next(frame.value for frame in app.dataframe if "configuration" in frame.value)
    assert listed.set_index("run")[""].to_dict() == {"healthy": "★", "mutation-zero": ""}
    assert [
        trace["name"] for trace in figures(app)["overlay"]["figure"]["data"] if not trace.get("fill")
    ] == ["healthy ★", "mutation-zero"]
    current().store.pin("of another dashboard", who="bob")
    app = open_page("evolution", runs_dir=two_runs, query=query)
    assert "The baseline of another dashboard is not known in this window." in words(app)


def test_a_run_of_long_ago_is_compared_whole_whatever_the_window(open_page, two_runs):
    app = open_page(
        "evolution", runs_dir=two_runs, query={"runs": list(ids(two_runs).values()), "from": "now-5m"}
    )
    assert points(figures(app)["overlay"]) > 0


def test_the_topology_that_is_shown_and_the_one_it_is_compared_with_are_in_the_address(open_page, tmp_path):
    runs = directory(tmp_path, "healthy")
    app = open_page("evolution", runs_dir=runs, query=WEEKS)
    generations = [int(one) for one in app.select_slider(key="topology-shown").options]
    app.select_slider(key="topology-shown").set_value(generations[-2]).run()
    assert str(generations[-2]) in app.query_params["best"]
    app = open_page(
        "evolution", runs_dir=runs, query=WEEKS | {"best": str(generations[-2]), "since": str(generations[0])}
    )
    assert f"Generation {generations[-2]}, fitness" in words(app)
    assert f"Since generation {generations[0]}: " in words(app)
    app = open_page("evolution", runs_dir=runs, query=WEEKS | {"best": "999999", "since": "<b>"})
    assert f"Generation {generations[-1]}, fitness" in words(app)
    assert not app.exception


def test_a_run_that_lies_outside_the_window_can_be_seen_whole(open_page, tmp_path):
    app = open_page("evolution", runs_dir=directory(tmp_path, "healthy"), query={"from": "now-5m"})
    assert "curves-evolution" not in figures(app)
    assert "Nothing was reported in this window of: fitness" in words(app)
    app.button(key="whole-run").click().run()
    assert "The log holds all 150 generations" in words(app)
    assert app.query_params["from"][0].isdecimal()
    assert "whole-run" not in [button.key for button in app.button]


def test_a_run_that_is_not_known_is_said_and_nothing_else_is_shown_in_its_place(open_page, two_runs):
    app = open_page("evolution", runs_dir=two_runs, query=WEEKS | {"run": "no-such-run"})
    assert "The run no-such-run is not known in this window." in words(app)
    assert "curves-evolution" not in figures(app)


def test_without_any_run_the_page_says_so(open_page, tmp_path):
    (tmp_path / "empty").mkdir()
    app = open_page("evolution", runs_dir=tmp_path / "empty")
    assert "No run is known in this window." in words(app)
    assert not app.exception


def test_a_window_that_cannot_be_used_is_said_and_the_default_is_shown(open_page, two_runs):
    app = open_page("evolution", runs_dir=two_runs, query={"from": "yesterday <b>"})
    assert "'yesterday <b>' is not a time" in words(app)


def test_the_same_figure_serves_the_next_session_as_the_same_bytes(open_page, two_runs):
    first = open_page("evolution", runs_dir=two_runs, query=WEEKS | {"axis": "elapsed"})
    again = first.run()
    assert figures(first)["curves-evolution"] == figures(again)["curves-evolution"]


def test_a_prometheus_that_is_off_is_said_with_its_reason_and_the_log_still_shows_the_run(
    open_page, tmp_path
):
    app = open_page(
        "evolution", runs_dir=directory(tmp_path, "healthy"), prometheus_url="http://127.0.0.1:9", query=WEEKS
    )
    assert "refused" in words(app)
    assert points(figures(app)["curves-evolution"]) > 0
    assert not app.exception


def failing(tmp_path):
    """The healthy run with evaluations that raised from generation 5 on, phases, and a step that failed."""
    runs = directory(tmp_path, "healthy")
    [log] = runs.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        line["evolution_phase_duration_seconds"] = {"fitness_evaluation": 1.0, "selection": 0.2}
        if line["generation"] >= 5:
            line["evolution_evaluation_failures_total"] = {HOSTILE: min(line["generation"], 9) - 4}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    failed = {
        "event": "Evolution step failed",
        "level": "error",
        "error_type": "RuntimeError",
        "generation": 7,
        "timestamp": lines[6]["timestamp"],
    }
    (log.parent / "events.jsonl").write_text(json.dumps(failed) + "\n")
    return runs


def test_failures_are_told_by_error_type_with_first_and_last_generation(open_page, tmp_path):
    app = open_page("evolution", runs_dir=failing(tmp_path), query=WEEKS)
    assert "5 failed evaluations and 1 failed step, of 2 error types." in words(app)
    listed = next(frame.value for frame in app.dataframe if "error type" in frame.value).set_index(
        "failed in"
    )
    assert listed.loc["an evaluation", "first"].startswith("generation 5 · ")
    assert listed.loc["an evaluation", "last"].startswith("generation 9 · ")
    assert (listed.loc["a step", "error type"], listed.loc["a step", "times"]) == ("RuntimeError", 1)
    assert "failed step" in {trace.get("name") for trace in figures(app)["failures"]["figure"]["data"]}
    assert not app.exception


def test_a_run_in_which_nothing_failed_says_so_in_a_line(open_page, tmp_path):
    app = open_page("evolution", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    assert "failures" not in figures(app)
    assert "No failed evaluation was counted and no failed step was logged in this window." in words(app)


def test_the_parts_of_a_generation_are_in_its_time_and_on_the_timeline(open_page, tmp_path):
    app = open_page("evolution", runs_dir=failing(tmp_path), query=WEEKS | {"timeline": "100"})
    for key in ("curves-evolution", "timeline"):
        assert {"fitness_evaluation", "selection"} <= {
            trace.get("name") for trace in figures(app)[key]["figure"]["data"]
        }
    assert "Generations 51 to 150" in words(app)
    assert "selection 9%" in words(app)


def test_rate_and_what_a_generation_takes_are_numbers(open_page, tmp_path):
    app = open_page("evolution", runs_dir=directory(tmp_path, "healthy"), query=WEEKS)
    numbers = {metric.label: metric.value for metric in app.metric}
    assert numbers["A generation takes"].endswith(" s")
    assert numbers["Rate"].endswith("/min")
    assert float(numbers["Evaluations"].removesuffix(" /s")) > 1
