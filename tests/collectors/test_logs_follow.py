"""Following a log while a real writer writes, rotates and cuts it."""

import json
import logging
import logging.handlers
from pathlib import Path

from collectors.logs import Follow


def events(lines) -> list[str]:
    return [line.event for line in lines]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_only_new_whole_lines_are_given_each_once(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    append(path, '{"event":"old"}\n')
    follow = Follow(path)
    assert follow.poll() == []
    append(path, '{"event":"a"}\n{"event":"b')
    assert events(follow.poll()) == ["a"]
    append(path, '"}\nno json\n')
    [line] = follow.poll()
    assert line.event == "b"
    assert path.read_bytes()[line.offset :].startswith(line.raw.encode())
    assert follow.malformed == 1
    follow.close()


def test_a_half_line_that_was_there_at_the_start_is_given_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    append(path, '{"event":"old"}\n{"event":"ha')
    follow = Follow(path)
    append(path, 'lf"}\n')
    assert events(follow.poll()) == ["half"]
    follow.close()


def test_a_file_that_does_not_exist_yet_is_waited_for(tmp_path: Path):
    follow = Follow(tmp_path / "a.jsonl")
    assert follow.poll() == []
    append(tmp_path / "a.jsonl", '{"event":"first"}\n')
    assert events(follow.poll()) == ["first"]
    follow.close()


def test_a_file_that_was_cut_is_read_from_its_start(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    append(path, '{"event":"old"}\n' * 10)
    follow = Follow(path)
    path.write_text('{"event":"new"}\n')
    assert events(follow.poll()) == ["new"]
    follow.close()


def test_rotation_loses_no_line_and_repeats_none(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=2000, backupCount=50)
    handler.setFormatter(logging.Formatter("%(message)s"))
    follow = Follow(path, from_start=True)
    seen: list[int] = []
    for number in range(400):
        handler.emit(
            logging.makeLogRecord({"msg": json.dumps({"event": "line", "number": number, "pad": "x" * 40})})
        )
        if number % 7 == 0:  # at most one rotation between two polls
            seen += [line.fields["number"] for line in follow.poll()]
    seen += [line.fields["number"] for line in follow.poll()]
    handler.close()
    follow.close()
    assert seen == list(range(400))
