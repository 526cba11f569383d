"""Errors by type: counted over everything a filter matches, whatever the files are, and never beyond the budget."""

import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.logs import LogIndex, tail
from collectors.logs import errors as counted
from collectors.logs.errors import MOST_TYPES

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def said(number: int, **fields: object) -> str:
    line = {
        "timestamp": (BEGAN + timedelta(seconds=number)).isoformat(),
        "level": "error",
        "event": "Step failed",
    }
    return json.dumps(line | {"number": number} | fields) + "\n"


def by_type(found) -> dict[str, tuple[int, int, int, int]]:
    """type -> count, seconds of the first and the last, the newest line's number"""
    return {
        kind.name: (
            kind.count, round((kind.first - BEGAN).total_seconds()), round((kind.last - BEGAN).total_seconds()),
            kind.newest.fields["number"],
        )
        for kind in found.types
    }  # fmt: skip


def test_each_type_has_its_count_its_first_and_its_last_over_all_files(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(said(i, error_type="ValueError" if i % 3 else "OSError") for i in range(1000, 2000))
    )
    with gzip.open(tmp_path / "a.jsonl.1.gz", "wt") as file:
        file.write("".join(said(i, error_type="KeyError" if i == 5 else "OSError") for i in range(900)))
    with path.open("a") as file:
        file.write(said(3000, level="info", error_type="OSError") + "no line\n")
    found = counted([path])
    assert by_type(found) == {
        "OSError": (899 + 333, 0, 1998, 1998),
        "ValueError": (667, 1000, 1999, 1999),
        "KeyError": (1, 5, 5, 5),
    }
    assert (found.further, found.exhausted) == (0, True)


def test_a_type_is_the_exceptions_or_what_happened(tmp_path: Path):
    chain = [{"exc_type": "KeyError", "exc_value": "a"}, {"exc_type": "RuntimeError", "exc_value": "b"}]
    path = tmp_path / "a.jsonl"
    path.write_text(
        said(1, exception=chain) + said(2, exception="Traceback") + said(3, event="") + said(4, level="fatal")
        + said(5, error_type="OSError", exception=chain) + said(6, exception=["odd"])
    )  # fmt: skip
    assert {name: count for name, (count, *_) in by_type(counted([path])).items()} == {
        "Step failed": 3, "RuntimeError": 1, "error": 1, "OSError": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, {1, 2, 3}),
        ({"level": "debug"}, {1, 2, 3}),
        ({"level": "critical"}, {2}),
        ({"logger": "moe"}, {3}),
        ({"event": "Other"}, {1}),
        ({"run_id": "r1"}, {2, 3}),
        ({"generation": 7}, {1}),
        ({"trace_id": "abc"}, {2}),
        ({"text": "ODD"}, {3}),
    ],
    ids=str,
)
def test_what_narrows_the_lines_narrows_the_errors(tmp_path: Path, asked: dict, numbers: set):
    path = tmp_path / "a.jsonl"
    path.write_text(
        said(1, event="Other", generation=7, error_type="one")
        + said(2, level="critical", run_id="r1", trace_id="abc", error_type="two")
        + said(3, run_id="r1", logger="moe.part", note="odd", error_type="three")
        + said(
            4,
            level="warning",
            run_id="r1",
            logger="moe",
            event="Other",
            generation=7,
            trace_id="abc",
            note="odd",
        )
    )
    found = {kind.newest.fields["number"] for kind in counted([path], **asked).types}
    assert found == numbers
    assert found == {
        line.fields["number"] for line in tail([path], **asked).lines if line.level in ("error", "critical")
    }


def test_counting_stays_within_its_budget_and_says_that_older_errors_exist(tmp_path: Path):
    new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
    new.write_text("".join(said(i, pad="x" * 300) for i in range(5000, 10_000)))
    old.write_text("".join(said(i) for i in range(5000)))
    os.utime(old, (1, 1))
    budget = 1 << 20
    found = counted([old, new], budget_bytes=budget)
    assert not found.exhausted
    assert budget // 2 < found.scanned_bytes <= budget
    [kind] = found.types
    assert kind.newest.fields["number"] == 9999
    assert 2000 < kind.count < 3000


def test_parts_without_an_error_are_passed_over_through_the_index(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(said(i, level="error" if i == 100 else "info", pad="x" * 1000) for i in range(20_000))
    )
    index = LogIndex()
    assert index.update([path], seconds=60)
    found = counted([path], budget_bytes=10 << 20, index=index)
    assert by_type(found) == {"Step failed": (1, 100, 100, 100)}
    assert found.exhausted


def test_an_event_that_is_another_every_time_is_counted_and_not_listed_without_end(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(said(i, event=f"request {i} failed") for i in range(MOST_TYPES + 70)))
    found = counted([path])
    assert (len(found.types), found.further) == (MOST_TYPES, 70)


def test_errors_without_a_time_are_counted(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(said(1, timestamp=None) + said(2, timestamp="yesterday"))
    [kind] = counted([path]).types
    assert (kind.count, kind.first, kind.last) == (2, None, None)


def test_a_level_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="loud"):
        counted([tmp_path], level="loud")
