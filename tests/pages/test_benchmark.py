"""The Benchmark page: one click starts one run, which is watched, judged and taken away; read-only starts nothing."""

import time

import pytest

from dashboard.benchmark.comparison import Comparison, Verdict
from dashboard.benchmark.directory import TERMINAL
from dashboard.shell.benchmark_result import judged, side_by_side, table
from dashboard.sources import current
from tests.pages.screen import words

GOOD, RAISES = "tests.benchmark.factories:good", "tests.benchmark.factories:raises"


def start(app, who="Ada"):
    app.selectbox(key="benchmark-device").select("cpu")
    app.text_input(key="person-benchmark").input(who)
    return app.button(key="benchmark-start").click().run()


def in_address(app):
    value = app.query_params["run"]
    return value if isinstance(value, str) else value[0]


def ended(run_id, seconds=60):
    deadline = time.monotonic() + seconds
    while (view := current().benchmarks.run(run_id)).state not in TERMINAL:
        assert time.monotonic() < deadline, view.progress
        time.sleep(0.2)
    return view


def test_a_click_starts_one_run_and_a_second_click_does_not_start_another(open_page):
    app = start(open_page("benchmark", benchmark_targets=(GOOD,)))
    [run] = current().benchmarks.runs()
    assert (run.owner, run.profile, run.device) == ("Ada", "quick", "cpu")
    assert in_address(app) == run.run_id
    app.button(key="benchmark-start").click().run()
    assert len(current().benchmarks.runs()) == 1
    assert [(action.who, action.action, action.subject) for action in current().store.audit()] == [
        ("Ada", "start benchmark", run.run_id)
    ]
    current().benchmarks.cancel(run.run_id, "test")
    assert ended(run.run_id).state == "cancelled"
    app.run()
    assert "cancelled" in words(app)


def test_a_finished_run_shows_its_cells_with_intervals_and_a_failed_one_says_why(open_page):
    app = open_page("benchmark", benchmark_targets=(GOOD, RAISES))
    app.selectbox(key="benchmark-target").select(RAISES).run()
    start(app)
    failed = current().benchmarks.runs()[0].run_id
    assert ended(failed).state == "failed"
    app.run()
    assert "Failed:" in words(app)
    assert not any(
        "<script>" in element.value for element in [*app.markdown, *app.error] if "\\<" not in element.value
    )
    app.selectbox(key="benchmark-target").select(GOOD).run()
    start(app)
    done = in_address(app)
    assert done != failed
    assert ended(done).state == "done"
    app.run()
    cells = app.dataframe[-2].value
    assert cells["status"].tolist() == ["ok", "ok"]
    assert (cells["95 % from (ms)"] <= cells["median (ms)"]).all()
    assert (cells["median (ms)"] <= cells["95 % to (ms)"]).all()
    assert {button.proto.label for button in app.get("download_button")} == {
        "HTML report",
        "JSON",
        "CSV",
        "Markdown",
    }


def test_nobody_starts_anything_without_a_name(open_page):
    app = start(open_page("benchmark", benchmark_targets=(GOOD,)), who=" ")
    assert "Say who you are" in words(app)
    assert current().benchmarks.runs() == ()


def test_a_read_only_dashboard_starts_nothing(open_page):
    app = open_page("benchmark", benchmark_targets=(GOOD,), read_only=True)
    assert app.button(key="benchmark-start").disabled
    assert "read-only" in words(app)


def test_a_target_that_cannot_run_says_why_and_is_not_started(open_page):
    app = open_page("benchmark", benchmark_targets=("observed-router",))
    assert app.button(key="benchmark-start").disabled
    assert "No runs directory is configured" in words(app)


@pytest.mark.parametrize("run", ["20260101T000000Z-x-quick-abcdef", "../../etc", "<script>"])
def test_an_unknown_run_in_the_address_is_said_and_nothing_else(open_page, run):
    app = open_page("benchmark", query={"run": run})
    assert f"There is no benchmark run {run} here." in words(app)


def cell(key, median, **more):
    params = dict(part.split("=") for part in key.split())
    p50 = None if median is None else {"value": median, "low": median * 0.9, "high": median * 1.1, "n": 10}
    return {"key": key, "params": params, "status": "ok", "p50_seconds": p50, "k": 1} | more


def test_numbers_are_in_the_unit_of_their_column_and_what_n_cannot_carry_is_empty():
    [row] = table(
        {
            "cells": [
                cell("batch=1", 0.002, peak_memory={"resident_bytes": 3 * 2**20}, p99_seconds={"value": None})
            ]
        }
    ).to_dict("records")
    assert row["median (ms)"] == pytest.approx(2.0)
    assert row["peak memory (MiB)"] == 3.0
    assert row["p99 (ms)"] is None


def test_two_runs_stand_side_by_side_and_a_cell_of_only_one_stays():
    frame = side_by_side(
        {"cells": [cell("batch=1", 0.003), cell("batch=2", 0.001)]},
        {"cells": [cell("batch=1", 0.002), cell("batch=4", 0.004)]},
    )
    assert frame["change (%)"].tolist()[0] == pytest.approx(50.0)
    assert frame["batch"].tolist() == ["1", "2", "4"]
    assert frame["status"].tolist() == ["ok", "ok", "only in the earlier run"]


def judgement(word, key="batch=1"):
    verdict = Verdict(key=key, word=word, sentence="because", ratio=1.5, low=1.4, high=1.6)
    return Comparison(mode="pairwise", word=word, sentence=word, canary_ratio=1.0, verdicts=(verdict,))


def test_each_cell_carries_its_verdict_and_one_without_stays():
    report = {"cells": [cell("batch=1", 0.003), cell("batch=2", 0.001)]}
    frame = judged(side_by_side(report, report), judgement("suspect"), report)
    assert frame[["batch", "verdict", "time ÷ before"]].iloc[0].tolist() == ["1", "suspect", 1.5]
    assert frame["verdict"].tolist() == ["suspect", ""]
    assert list(frame.columns)[-1] == "why"


def test_runs_that_do_not_compare_show_no_difference():
    report = {"cells": [cell("batch=1", 0.003)]}
    frame = judged(side_by_side(report, report), judgement("incomparable"), report)
    assert "change (%)" not in frame
    assert "time ÷ before" not in frame
    assert frame["before: median (ms)"].tolist() == [pytest.approx(3.0)]


def test_a_second_run_of_the_same_question_has_a_history_with_a_cell_to_choose(open_page):
    app = start(open_page("benchmark", benchmark_targets=(GOOD,)))
    ended(in_address(app))
    app.run()
    assert "This is the only finished run of its kind" in words(app)
    start(app)
    second = in_address(app)
    ended(second)
    app.run()
    cells = app.selectbox(key="address-cell")
    assert len(cells.options) == 2
    table = next(frame.value for frame in app.dataframe if "environment changed" in frame.value)
    assert table["id"].iloc[0] == second
    assert len(table) == 2
    assert list(table["environment changed"]) == ["", ""]


def test_through_slurm_is_offered_where_it_is_configured_alone(open_page):
    app = open_page("benchmark", benchmark_targets=(GOOD,))
    assert not [box for box in app.selectbox if box.key == "benchmark-where"]
    app = open_page("benchmark", benchmark_targets=(GOOD,), benchmark_slurm={"partition": "gpu"})
    assert list(app.selectbox(key="benchmark-where").options) == ["This machine", "Through Slurm"]
    app.selectbox(key="benchmark-where").select("slurm").run()
    assert list(app.selectbox(key="benchmark-device").options) == ["As configured for Slurm", "CPU"]
