"""The Logs page: newest first, narrowed by the address, hostile lines as text, malformed ones counted."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.shell.logs import exception_text, files
from dashboard.sources import current
from tests import services
from tests.pages.screen import HOSTILE, unescaped, words


@pytest.fixture
def runs_dir(tmp_path):
    """Two runs: one with generations, errors, a hostile line and a torn one; another with a single line."""
    good = tmp_path / "runs" / "r1"
    good.mkdir(parents=True)
    lines = [
        {"event": "Evolution generation completed", "level": "info", "run_id": "r1", "generation": i, "best_fitness": i / 10,
         "timestamp": f"2026-11-23T10:00:0{i}Z"}
        for i in range(5)
    ]  # fmt: skip
    (good / "generations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = [
        json.dumps({"event": "Evolution step failed", "level": "error", "run_id": "r1", "generation": 3, "error_type": "ValueError",
                    "timestamp": "2026-11-23T10:00:03.5Z", "exception": "Traceback\nValueError: no"}),
        '{"event": "torn',
        json.dumps({"event": HOSTILE, "level": "warning", "run_id": "r1", "timestamp": "2026-11-23T10:00:09Z"}),
    ]  # fmt: skip
    (good / "events.jsonl").write_text("\n".join(events) + "\n")
    other = tmp_path / "runs" / "r2"
    other.mkdir()
    (other / "events.jsonl").write_text(
        json.dumps(
            {"event": "Run started", "level": "info", "run_id": "r2", "timestamp": "2026-11-23T09:00:00Z",
             "logger": "self_evolving_moe.observer", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
        )
        + "\n"
    )  # fmt: skip
    return tmp_path / "runs"


def test_lines_of_all_runs_come_newest_first(open_page, runs_dir):
    table = open_page("logs", runs_dir=runs_dir).dataframe[0].value
    assert len(table) == 8
    assert table["time"].is_monotonic_decreasing
    assert table.iloc[-1][["event", "run"]].tolist() == ["Run started", "r2"]


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ({"level": "error"}, ["Evolution step failed"]),
        ({"text": "VALUEERROR"}, ["Evolution step failed"]),
        ({"run": "r2"}, ["Run started"]),
        ({"generation": "3"}, ["Evolution step failed", "Evolution generation completed"]),
        ({"event": "Run started"}, ["Run started"]),
        ({"logger": "self_evolving_moe"}, ["Run started"]),
        ({"logger": "self_evolving"}, []),
        ({"trace": "4bf92f3577b34da6a3ce929d0e0e4736"}, ["Run started"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_address_narrows_the_lines(open_page, runs_dir, query, events):
    app = open_page("logs", query=query, runs_dir=runs_dir)
    assert [event for table in app.dataframe for event in table.value["event"]] == events


def test_every_filter_of_the_address_stands_in_its_control(open_page, runs_dir):
    query = {"level": "info", "event": "Run started", "logger": "self_evolving_moe.observer", "run": "r2", "generation": "", "trace": "",
             "text": "started"}  # fmt: skip
    app = open_page("logs", query=query, runs_dir=runs_dir)
    held = {field.label: field.value for field in [*app.text_input, *app.selectbox]}
    assert [held[name.title()] for name in query] == list(query.values())
    assert app.dataframe[0].value[["logger", "event"]].to_numpy().tolist() == [
        ["self_evolving_moe.observer", "Run started"]
    ]


def test_a_filter_that_nothing_passes_says_so(open_page, runs_dir):
    app = open_page("logs", query={"text": "nowhere"}, runs_dir=runs_dir)
    assert not app.dataframe
    assert "No line passes this filter." in words(app)


def test_a_malformed_line_is_counted_and_shown_on_request(open_page, runs_dir):
    app = open_page("logs", runs_dir=runs_dir)
    assert "1 malformed line met" in app.toggle(key="malformed").label
    app.toggle(key="malformed").set_value(True).run()
    assert '{"event": "torn' in [code.value for code in app.code]


def test_a_direction_mark_in_a_line_is_shown_and_not_obeyed(open_page, runs_dir):
    events = open_page("logs", runs_dir=runs_dir).dataframe[0].value["event"]
    assert HOSTILE.replace("\u202e", "\\u202e") in events.tolist()


def test_errors_are_grouped_and_show_their_exception(open_page, runs_dir):
    app = open_page("logs", runs_dir=runs_dir)
    assert any(unescaped(expander.label).startswith("ValueError: 1") for expander in app.expander)
    assert "Traceback\nValueError: no" in [code.value for code in app.code]


@pytest.fixture
def many_errors(tmp_path):
    """5 000 lines, an error in each hundred, of two types; the newest 50 lines have none."""
    run = tmp_path / "runs" / "r1"
    run.mkdir(parents=True)
    began = datetime(2026, 11, 23, 10, tzinfo=UTC)
    said = []
    for i in range(5000):
        line = {
            "event": "Routing decision made",
            "level": "info",
            "timestamp": f"{began + timedelta(seconds=i)}",
        }
        if i % 100 == 0:
            line |= {
                "event": "Evolution step failed",
                "level": "error",
                "error_type": "OSError" if i % 300 else "ValueError",
            }
        said.append(json.dumps(line | {"logger": f"moe.part{i % 200 // 100}", "pad": "x" * 200}) + "\n")
    (run / "events.jsonl").write_text("".join(said))
    return tmp_path / "runs"


def grouped(app) -> list[str]:
    return [unescaped(expander.label) for expander in app.expander]


def test_errors_are_counted_over_everything_that_passes_and_not_among_the_shown_lines(open_page, many_errors):
    app = open_page("logs", runs_dir=many_errors, refresh_seconds=60)
    assert "error" not in app.dataframe[0].value["level"].tolist()[:50]
    assert grouped(app) == [
        "OSError: 33 · first 23 Nov 10:01:40 · last 23 Nov 11:21:40",
        "ValueError: 17 · first 23 Nov 10:00:00 · last 23 Nov 11:20:00",
    ]
    narrowed = open_page("logs", query={"logger": "moe.part1"}, runs_dir=many_errors)
    assert [label.split(" · ")[0] for label in grouped(narrowed)] == ["OSError: 17", "ValueError: 8"]
    assert grouped(open_page("logs", query={"text": "nowhere"}, runs_dir=many_errors)) == []


def test_errors_beyond_the_budget_are_not_claimed_to_be_counted(open_page, many_errors, monkeypatch):
    monkeypatch.setattr("dashboard.shell.logs.BUDGET_BYTES", 256 << 10)
    app = open_page("logs", runs_dir=many_errors)
    assert "Errors by type, all that pass the filter in the newest 256 KiB searched" in words(app)
    assert sum(int(label.split(": ")[1].split(" · ")[0]) for label in grouped(app)) < 50
    for _ in range(8):
        if older := [button for button in app.button if button.label == "Search older lines"]:
            older[0].click().run()
    assert [label.split(" · ")[0] for label in grouped(app)] == ["OSError: 33", "ValueError: 17"]
    assert "searched" not in "".join(markdown.value for markdown in app.markdown)


def test_without_following_the_lines_stand_still(open_page, runs_dir):
    app = open_page("logs", runs_dir=runs_dir)
    app.toggle(key="follow").set_value(False).run()
    with (runs_dir / "r2" / "events.jsonl").open("a") as log:
        log.write('{"event": "Later", "timestamp": "2026-11-24T00:00:00Z"}\n')
    assert len(app.run().dataframe[0].value) == 8
    app.toggle(key="follow").set_value(True).run()
    assert app.dataframe[0].value.iloc[0]["event"] == "Later"


def test_a_run_in_the_address_cannot_name_a_folder_elsewhere(open_page, runs_dir):
    (runs_dir.parent / "events.jsonl").write_text('{"event": "secret"}\n')
    app = open_page("logs", query={"run": ".."}, runs_dir=runs_dir)
    assert all("secret" not in event for table in app.dataframe for event in table.value["event"])
    assert all(runs_dir in path.parents for path in files(current(), ".."))


def test_without_a_log_the_page_says_how_to_get_one(open_page):
    assert "MOE_DASHBOARD_RUNS_DIR" in words(open_page("logs"))


def test_a_structured_exception_reads_like_a_traceback():
    exception = [
        {
            "exc_type": "ValueError",
            "exc_value": "no",
            "frames": [{"filename": "a.py", "lineno": 3, "name": "f"}],
        }
    ]
    assert exception_text(exception) == "  a.py:3 in f\nValueError: no"


def test_an_early_generation_of_a_long_log_is_found_through_the_index(open_page, tmp_path, monkeypatch):
    """The search itself may read only the newest 6 MB of 24."""
    run = tmp_path / "runs" / "long"
    run.mkdir(parents=True)
    line = '{"event": "Evolution generation completed", "level": "info", "run_id": "long", "generation": %d, "pad": "%s"}\n'
    (run / "generations.jsonl").write_text("".join(line % (i, "x" * 2000) for i in range(12_000)))
    monkeypatch.setattr("dashboard.shell.logs.BUDGET_BYTES", 6 << 20)
    query = {"run": "long", "generation": "7"}
    app = open_page("logs", query=query, runs_dir=tmp_path / "runs")
    services.wait_until(
        lambda: "1 lines, newest first" in words(app.run()), 10, "the index to know all of it"
    )
    assert app.dataframe[0].value["generation"].tolist() == ["7"]
