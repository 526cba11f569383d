"""The newest lines of structured logs: whatever wrote them, however large, wherever they are cut."""

import contextlib
import gzip
import json
import os
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.logs import LogIndex, LogLine, files, parse, tail
from collectors.logs import backwards as backwards_module
from collectors.logs import index as index_module
from collectors.logs.line import Malformed
from collectors.unavailable import Unavailable

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def entry(number: int, **fields: object) -> dict:
    stamp = (BEGAN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    said = {"event": "Evolution generation completed", "level": "info", "logger": "self_evolving_moe"}
    return {
        **said,
        "timestamp": stamp,
        "run_id": "r1",
        "generation": number // 10,
        "number": number,
        **fields,
    }


def write(path: Path, entries: list) -> Path:
    path.write_text("".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in entries))
    return path


def numbers(page) -> list[int]:
    return [line.fields["number"] for line in page.lines]


def one(text: str) -> LogLine:
    return parse(text.encode(), Path("x"), 0)


def test_the_newest_lines_come_first_with_everything_they_say(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", [entry(number) for number in range(10)])
    page = tail([path], limit=3)
    assert numbers(page) == [9, 8, 7]
    line = page.lines[0]
    assert (line.event, line.level, line.logger) == (
        "Evolution generation completed",
        "info",
        "self_evolving_moe",
    )
    assert line.time == BEGAN + timedelta(seconds=9)
    assert path.read_bytes()[line.offset :].startswith(line.raw.encode())
    assert (page.malformed, page.exhausted) == (0, False)
    assert tail([path], limit=10).exhausted or tail([path], limit=11).exhausted


FILTERS = {
    "least level": ({"level": "warning"}, lambda item: item["level"] in {"warning", "error"}),
    "event": ({"event": "Evolution step failed"}, lambda item: item["event"] == "Evolution step failed"),
    "logger and those below": ({"logger": "moe"}, lambda item: item["logger"] in {"moe", "moe.gpu"}),
    "text in any case": ({"text": "cuda OUT"}, lambda item: "CUDA out" in item.get("error_message", "")),
    "text with a quote": ({"text": 'said "no"'}, lambda item: 'said "no"' in item.get("error_message", "")),
    "text beyond ASCII": ({"text": "grüß"}, lambda item: "Grüß" in item.get("error_message", "")),
    "run": ({"run_id": "r2"}, lambda item: item["run_id"] == "r2"),
    "generation": ({"generation": 12}, lambda item: item["generation"] == 12),
    "trace": ({"trace_id": "abc"}, lambda item: item.get("trace_id") == "abc"),
    "several at once": ({"run_id": "r2", "level": "error", "text": "cuda"}, lambda item: (item["run_id"], item["level"], item["error_message"][:4]) == ("r2", "error", "CUDA")),
    "generation and level": ({"generation": 12, "level": "info"}, lambda item: item["generation"] == 12 and item["level"] != "debug"),
}  # fmt: skip


@pytest.mark.parametrize("indexed", [False, True], ids=["read", "indexed"])
@pytest.mark.parametrize(("asked", "passes"), FILTERS.values(), ids=FILTERS)
def test_a_filter_finds_exactly_the_lines_that_pass(
    tmp_path: Path, asked: dict, passes, indexed: bool, monkeypatch: pytest.MonkeyPatch
):
    """The bytes by which lines are passed over may never lose one; small blocks put a border through most lines."""
    monkeypatch.setattr(backwards_module, "FIRST_BYTES", 700)
    monkeypatch.setattr(backwards_module, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(index_module, "PART_BYTES", 2000)
    draw = random.Random(7)
    entries = [
        entry(
            number,
            level=draw.choice(["debug", "info", "info", "warning", "error"]),
            event=draw.choice(["Evolution generation completed", "Evolution step failed"]),
            logger=draw.choice(["moe", "moe.gpu", "moey", "other"]),
            run_id=draw.choice(["r1", "r2", "r22"]),
            error_message=draw.choice(
                ["CUDA out of memory", 'it said "no"', "Grüße", "level", "r2 12 error"]
            ),
            trace_id=draw.choice(["abc", "abcd", None]),
            nested={"level": draw.choice(["error", "info"]), "generation": 12},
        )
        for number in range(400)
    ]
    path = write(tmp_path / "a.jsonl", entries)
    index = LogIndex() if indexed else None
    if index is not None:
        assert index.update([path], seconds=10)
    expected = [item["number"] for item in reversed(entries) if passes(item)]
    assert expected
    page = tail([path], limit=1000, index=index, **asked)
    assert numbers(page) == expected
    assert page.exhausted


@pytest.mark.parametrize(
    "said", [{"level": 50}, {"severity": "ERROR"}, {"lvl": "err"}, {"log.level": "Fatal"}, {"levelname": "CRITICAL"}, {"level": "Error"}]
)  # fmt: skip
def test_a_level_is_found_however_it_is_spelt(tmp_path: Path, said: dict):
    path = write(
        tmp_path / "a.jsonl",
        [{"msg": "a", "level": "info"}, {"msg": "b", **said}, {"msg": "c", "severity": "INFO"}],
    )
    assert [line.event for line in tail([path], level="error").lines] == ["b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"event":"e","level":"info","logger":"l","timestamp":"2026-01-02T03:04:05Z"}', ("e", "info", "l", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))),
        ('{"msg":"e","level":40,"name":"l","time":1767323045000}', ("e", "warning", "l", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))),
        ('{"message":"e","severity":"WARN","time":1767323045.5}', ("e", "warning", None, datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC))),
        ('{"message":"e","@timestamp":"2026-01-02T05:04:05+02:00"}', ("e", None, None, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))),
        ('{"msg":"e","asctime":"2026-01-02 03:04:05,250"}', ("e", None, None, datetime(2026, 1, 2, 3, 4, 5, 250000, tzinfo=UTC))),
        ('{"ts":1767323045123456789}', ("", None, None, datetime(2026, 1, 2, 3, 4, 5, 123457, tzinfo=UTC))),
        ('{"event":{"a":1},"time":"yesterday","level":true}', ('{"a":1}', None, None, None)),
        ('{"time":1e300,"level":"loud"}', ("", "loud", None, None)),
    ],
)  # fmt: skip
def test_other_spellings_mean_the_same(text: str, expected: tuple):
    line = one(text)
    assert (line.event, line.level, line.logger, line.time) == expected
    assert line.time is None or line.time.utcoffset() == timedelta(0)


def test_malformed_lines_are_counted_skipped_and_given_on_request(tmp_path: Path):
    path = write(
        tmp_path / "a.jsonl", [entry(1), '{"event": "cut o', "", "[1, 2]", entry(2), "plain text", "   "]
    )
    page = tail([path])
    assert numbers(page) == [2, 1]
    assert page.malformed == 3
    assert [line.raw for line in tail([path], only_malformed=True).lines] == [
        "plain text",
        "[1, 2]",
        '{"event": "cut o',
    ]


def test_bytes_that_are_no_text_are_malformed_and_shown_as_far_as_they_can_be(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"event":"\xff\xfe"}\n{"event":"ok"}\n')
    assert [line.event for line in tail([path]).lines] == ["ok"]
    assert "\ufffd" in tail([path], only_malformed=True).lines[0].raw


def test_a_last_line_that_is_still_being_written_is_neither_shown_nor_malformed(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", [entry(1)])
    with path.open("a") as file:
        file.write('{"event": "half')
    page = tail([path])
    assert (numbers(page), page.malformed) == ([1], 0)


def test_a_last_line_without_its_newline_counts_once_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(entry(1)) + "\n" + json.dumps(entry(2)))
    assert numbers(tail([path])) == [2, 1]


def test_several_files_are_merged_by_the_time_of_their_lines(tmp_path: Path):
    one, two, three = (
        write(tmp_path / f"{name}.jsonl", [entry(number) for number in range(start, 60, 3)])
        for start, name in enumerate("abc")
    )
    assert numbers(tail([one, two, three], limit=40)) == list(range(59, 19, -1))


def test_an_old_file_is_not_read_while_newer_lines_suffice(tmp_path: Path):
    new = write(tmp_path / "new.jsonl", [entry(number) for number in range(1000, 1300)])
    old = write(tmp_path / "old.jsonl", [entry(number) for number in range(900)])
    for path, seconds in ((new, 1300), (old, 900)):
        changed = (BEGAN + timedelta(seconds=seconds)).timestamp()
        os.utime(path, (changed, changed))
    page = tail([new, old], limit=100)
    assert numbers(page) == list(range(1299, 1199, -1))
    assert page.scanned_bytes == new.stat().st_size
    assert not page.exhausted
    assert numbers(tail([new, old], limit=301))[-1] == 899


def test_rotated_and_gzipped_predecessors_belong_to_a_file(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", [entry(number) for number in range(20, 30)])
    write(tmp_path / "a.jsonl.1", [entry(number) for number in range(10, 20)])
    with gzip.open(tmp_path / "a.jsonl.2.gz", "wt") as file:
        file.write("".join(json.dumps(entry(number)) + "\n" for number in range(10)))
    write(tmp_path / "a.jsonl.bak", [entry(99)])
    write(tmp_path / "a.jsonlines", [entry(98)])
    assert [item.name for item in files([path])] == ["a.jsonl", "a.jsonl.1", "a.jsonl.2.gz"]
    page = tail([path])
    assert numbers(page) == list(range(29, -1, -1))
    assert page.exhausted
    assert numbers(tail([path], generation=0)) == list(range(9, -1, -1))


def test_globs_name_files_and_each_file_counts_once(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl", "c.txt"):
        write(tmp_path / name, [entry(1)])
    found = files([f"{tmp_path}/*.jsonl", tmp_path / "a.jsonl"])
    assert [path.name for path in found] == ["a.jsonl", "b.jsonl"]
    odd = write(tmp_path / "run[1].jsonl", [entry(1)])
    assert files([odd]) == [odd]


def test_a_damaged_gzip_gives_what_it_holds_and_says_so(tmp_path: Path):
    whole = gzip.compress("".join(json.dumps(entry(number)) + "\n" for number in range(50_000)).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    good = write(tmp_path / "b.jsonl", [entry(50_001)])
    page = tail([tmp_path / "a.jsonl.gz", good], limit=10)
    assert numbers(page)[0] == 50_001
    assert "damaged" in page.unreadable[tmp_path / "a.jsonl.gz"]


def test_no_file_and_no_permission_are_unavailable_not_empty(tmp_path: Path):
    with pytest.raises(Unavailable) as why:
        tail([tmp_path / "none.jsonl"])
    assert why.value.kind == "no-file"
    locked = write(tmp_path / "a.jsonl", [entry(1)])
    locked.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    with pytest.raises(Unavailable) as why:
        tail([locked])
    assert why.value.kind == "unreadable"


def test_an_empty_file_is_empty_and_exhausted(tmp_path: Path):
    page = tail([write(tmp_path / "a.jsonl", [])])
    assert (page.lines, page.malformed, page.exhausted) == ((), 0, True)


def test_a_level_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="loud"):
        tail([write(tmp_path / "a.jsonl", [])], level="loud")


@pytest.mark.parametrize("asked", [{}, {"text": "needle"}], ids=["every line", "rare lines"])
def test_a_search_within_a_budget_is_resumed_without_losing_or_repeating_a_line(
    tmp_path: Path, asked: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backwards_module, "FIRST_BYTES", 1 << 12)
    monkeypatch.setattr(backwards_module, "BLOCK_BYTES", 1 << 14)
    paths = [
        write(tmp_path / name, [entry(number, note="needle" if number % 97 == start else "hay") for number in range(start, 2000, 2)])
        for start, name in enumerate(("a.jsonl", "b.jsonl"))
    ]  # fmt: skip
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(entry(number, note="needle")) + "\n" for number in range(-50, 0)))
    paths.append(tmp_path / "c.jsonl.gz")
    whole = numbers(tail(paths, limit=10_000, **asked))
    found: list[int] = []
    page = tail(paths, limit=30, budget_bytes=40_000, **asked)
    looks = 1
    while True:
        found += numbers(page)
        assert page.scanned_bytes < 40_000 + (1 << 14) + 20_000
        if page.exhausted:
            break
        page = tail(paths, limit=30, budget_bytes=40_000, resume=page.resume, **asked)
        looks += 1
        assert looks < 200, "a resumed search must get on"
    assert sorted(found) == sorted(whole)
    assert looks > 5


def test_a_line_longer_than_a_block_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backwards_module, "FIRST_BYTES", 1 << 10)
    monkeypatch.setattr(backwards_module, "BLOCK_BYTES", 1 << 10)
    path = write(tmp_path / "a.jsonl", [entry(1), entry(2, note="x" * 100_000), entry(3)])
    page = tail([path])
    assert numbers(page) == [3, 2, 1]
    assert len(page.lines[1].fields["note"]) == 100_000


def test_an_endless_line_is_passed_over_without_holding_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backwards_module, "LONGEST_LINE_BYTES", 1 << 20)
    path = write(tmp_path / "a.jsonl", [entry(1), '{"event":"' + "x" * (9 << 20), entry(2)])
    page = tail([path])
    assert numbers(page) == [2, 1]
    assert page.malformed == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["event", "msg", "level", "severity", "time", "timestamp", "ts", "logger", "generation", "run_id", "x"]
)


@given(st.dictionaries(KEYS, JSON, max_size=6))
@settings(max_examples=300, deadline=None)
def test_whatever_a_line_says_it_is_read_without_an_error(fields: dict):
    try:
        line = one(json.dumps(fields))
    except Malformed:
        return  # NaN and infinity, which Python writes and JSON does not know; halves of surrogate pairs
    assert line.time is None or line.time.utcoffset() == timedelta(0)
    assert isinstance(line.event, str)
    assert line.level is None or isinstance(line.level, str)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_whatever_bytes_a_line_has_it_is_a_line_or_malformed(raw: bytes):
    with contextlib.suppress(Malformed):
        assert isinstance(parse(raw, Path("x"), 0).fields, dict)


@given(
    st.lists(st.one_of(st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"")), st.integers(0, 5)), max_size=40),
    st.integers(20, 200), st.sampled_from([{}, {"level": "error"}, {"generation": 3}, {"text": "a"}, {"run_id": "r1"}]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_reading_backwards_in_blocks_finds_what_reading_forwards_finds(tmp_path_factory, lines, block, asked):
    raw = [
        line if isinstance(line, bytes) else json.dumps(entry(line * 10, level="error" if line % 2 else "info", note="a" * line)).encode()
        for line in lines
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("log") / "a.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    plain = tail([path], limit=1000, **asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backwards_module, "FIRST_BYTES", block)
        patch.setattr(backwards_module, "BLOCK_BYTES", block)
        cut = tail([path], limit=1000, **asked)
    assert [(line.offset, line.raw) for line in cut.lines] == [
        (line.offset, line.raw) for line in plain.lines
    ]
    assert cut.malformed == plain.malformed
    forwards, offset = [], 0
    for line in raw:
        with contextlib.suppress(Malformed):
            forwards.append(parse(line, path, offset))
        offset += len(line) + 1
    if not asked:
        assert [line.offset for line in plain.lines] == [line.offset for line in reversed(forwards)]


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 000 lines, 54 MB, with rare errors, rarer half lines, 100 lines a generation."""
    draw = random.Random(1)
    path = tmp_path_factory.mktemp("long") / "events.jsonl"
    with path.open("w") as file:
        for number in range(200_000):
            chance = draw.random()
            if chance < 0.00002:
                file.write('{"event": "cut\n')
            level = "error" if chance < 0.0005 else "info" if number % 3 else "debug"
            event = "Evolution step failed" if level == "error" else "Routing decision made"
            said = entry(
                number,
                level=level,
                event=event,
                generation=number // 100,
                note="x" * 60,
                token_id=number % 512,
            )
            file.write(json.dumps(said) + "\n")
    return path


def test_the_last_lines_of_a_long_log_are_there_at_once(long_log: Path):
    tail([long_log])
    began = time.perf_counter()
    page = tail([long_log], limit=200)
    assert time.perf_counter() - began < 0.05
    assert len(page.lines) == 200
    assert page.scanned_bytes < 1 << 20


def test_a_generation_in_a_long_log_is_found_through_the_index_without_reading_the_rest(long_log: Path):
    index = LogIndex()
    began = time.perf_counter()
    assert index.update([long_log], seconds=60)
    built = time.perf_counter() - began
    began = time.perf_counter()
    page = tail([long_log], generation=700, index=index)
    looked = time.perf_counter() - began
    assert numbers(page) == list(range(70_099, 69_999, -1))
    assert page.exhausted
    assert page.scanned_bytes < 13 << 20, "one part of 4 MB, or two, and what is not indexed yet"
    assert looked < built
    assert tail([long_log], generation=700).scanned_bytes > 40 << 20


def test_the_index_counts_every_malformed_line(long_log: Path):
    index = LogIndex()
    index.update([long_log], seconds=60)
    known = index.malformed(long_log)
    assert 0 < known <= tail([long_log], only_malformed=True).malformed


def test_the_index_grows_with_its_file_and_begins_anew_when_the_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(index_module, "PART_BYTES", 2000)
    path = write(tmp_path / "a.jsonl", [entry(number) for number in range(100)])
    index = LogIndex()
    index.update([path], seconds=10)
    assert numbers(tail([path], generation=3, index=index)) == list(range(39, 29, -1))
    with path.open("a") as file:
        file.write("".join(json.dumps(entry(number)) + "\n" for number in range(100, 200)))
    assert numbers(tail([path], generation=15, index=index)) == list(range(159, 149, -1)), (
        "not indexed yet: searched"
    )
    index.update([path], seconds=10)
    assert numbers(tail([path], generation=15, index=index)) == list(range(159, 149, -1))
    other = write(tmp_path / "b.jsonl", [entry(number) for number in range(500, 700)])
    other.replace(path)
    assert numbers(tail([path], generation=55, index=index)) == list(range(559, 549, -1)), (
        "its predecessor's index is not used"
    )
    index.update([path], seconds=10)
    assert numbers(tail([path], generation=55, index=index)) == list(range(559, 549, -1))


def test_the_index_takes_no_longer_than_it_is_given(long_log: Path):
    index = LogIndex()
    began = time.perf_counter()
    assert index.update([long_log], seconds=0.01) is False
    assert time.perf_counter() - began < 2
    for _ in range(100):
        if index.update([long_log], seconds=0.05):
            return
    pytest.fail("the index never got done")
