"""One kind of event out of a run's log, as it grows."""

import json

import pytest

from collectors.run_events import Events

FAILED = "Evolution step failed"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def line(event: str, **fields: object) -> str:
    return json.dumps({"event": event, "timestamp": "2026-11-24T00:00:00Z", **fields}) + "\n"


def test_only_the_event_is_found_and_only_whole_lines(path):
    whole = line(FAILED, error_type="ValueError", generation=3)
    path.write_text(
        line("Inference completed") + whole + line("said", text=f"the {FAILED} of before") + whole[:20]
    )
    events = Events(path, FAILED)
    [found] = events.read()
    assert (found.fields["error_type"], found.fields["generation"], found.time) == (
        "ValueError",
        3,
        1795478400.0,
    )
    assert events.read() is events.read()
    with path.open("a") as file:
        file.write(whole[20:])
    assert len(events.read()) == 2


def test_a_mention_in_another_line_or_a_broken_line_is_no_event(path):
    path.write_text(
        line("said", quoted=FAILED)
        + f'{{"event": "{FAILED}", torn\n'
        + '["Evolution step failed"]\n'
        + line(FAILED)
    )
    assert len(Events(path, FAILED).read()) == 1


def test_a_file_that_was_replaced_or_is_gone_is_read_anew(path):
    path.write_text(line(FAILED) * 3)
    events = Events(path, FAILED)
    assert len(events.read()) == 3
    path.write_text(line(FAILED))
    assert len(events.read()) == 1
    path.unlink()
    assert events.read() == ()


def test_a_line_longer_than_one_read_is_one_line(path, monkeypatch):
    monkeypatch.setattr("collectors.run_events._READ_BYTES", 64)
    path.write_text(line("x", pad="y" * 500) + line(FAILED, error_message="z" * 500) + line("x"))
    [found] = Events(path, FAILED).read()
    assert len(found.fields["error_message"]) == 500


def test_without_a_time_there_is_none(path):
    path.write_text(json.dumps({"event": FAILED, "timestamp": "yesterday"}) + "\n")
    assert Events(path, FAILED).read()[0].time is None
