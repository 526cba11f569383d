"""A runs directory as observers leave it, and as crashes and other programs leave it."""

import fcntl
import json
import socket

import numpy as np
import pytest

from collectors.runs import RunsDirectory
from collectors.unavailable import Unavailable


@pytest.fixture
def runs(tmp_path):
    return RunsDirectory(tmp_path)


def record(path, run_id="r1", **more):
    folder = path / run_id
    folder.mkdir(exist_ok=True)
    said = {"schema": 1, "run_id": run_id, "run_name": "Name", "state": "running", "started_at": "2026-01-01T00:00:00Z",
            "ended_at": None, "error": None, "pid": 7, "host": socket.gethostname(), "git_sha": None,
            "config": {"top_k": 2, "name": "x"}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(said | more))
    return folder


def lines(*rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_run_is_read_with_its_times_and_configuration(runs, tmp_path):
    record(tmp_path, ended_at="2026-01-01T02:00:00+01:00", state="finished")
    [run] = runs.runs()
    assert (run.run_id, run.name, run.state) == ("r1", "Name", "finished")
    assert run.ended_at - run.started_at == 3600
    assert run.config == {"top_k": "2", "name": "x"}
    assert run.problem is None


def test_the_lock_tells_whether_the_process_lives(runs, tmp_path):
    lock = record(tmp_path) / "lock"
    assert runs.runs()[0].alive is False
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert runs.runs()[0].alive is True
    assert runs.runs()[0].alive is False


def test_a_lock_of_another_host_is_not_judged(runs, tmp_path):
    record(tmp_path, host="elsewhere")
    assert runs.runs()[0].alive is None


def test_newest_first_and_strangers_left_out(runs, tmp_path):
    record(tmp_path, "old")
    record(tmp_path, "new", started_at="2026-02-01T00:00:00Z")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").write_text("x")
    assert [run.run_id for run in runs.runs()] == ["new", "old"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "\xff", '{"state": 3, "config": 5, "started_at": "yesterday", "host": 1}']
)
def test_a_broken_run_json_is_a_run_with_a_problem(runs, tmp_path, text):
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1" / "run.json").write_text(text, encoding="latin-1")
    [run] = runs.runs()
    assert (run.run_id, run.state, run.started_at, run.config) == ("r1", "unknown", None, {})
    assert (run.problem is None) == text.startswith('{"state"')


def test_a_directory_that_is_not_there_says_so(tmp_path):
    with pytest.raises(Unavailable, match="does not exist") as caught:
        RunsDirectory(tmp_path / "none").runs()
    assert caught.value.kind == "no-directory"


def test_generations_are_columns_with_nan_for_null_and_for_unsaid(runs, tmp_path):
    folder = record(tmp_path)
    (folder / "generations.jsonl").write_bytes(
        lines(
            {"generation": 1, "best_fitness": 0.5, "timestamp": "2026-01-01T00:00:01.5Z"},
            {"generation": 2, "best_fitness": None, "training_loss": 3, "x": True, "u": {"0": 1.0}},
        )
    )
    read = runs.generations("r1")
    assert len(read) == 2
    np.testing.assert_array_equal(read.columns["best_fitness"], [0.5, np.nan])
    np.testing.assert_array_equal(read.columns["training_loss"], [np.nan, 3])
    assert read.times[0] == 1767225601.5
    assert np.isnan(read.times[1])
    assert read.labelled == {"u"}
    assert "x" not in read.columns, "a truth value is no number"
    assert runs.labelled("r1", "u", np.array([1, 0])) == [{"0": 1.0}, None]


def test_only_what_is_new_is_read_and_half_a_line_waits(runs, tmp_path):
    log = record(tmp_path) / "generations.jsonl"
    log.write_bytes(lines({"generation": 1}) + b'{"generation": 2, "best_')
    first = runs.generations("r1")
    assert len(first) == 1
    assert first.malformed == 0
    assert runs.generations("r1") is first, "nothing new: the same object"
    with log.open("ab") as file:
        file.write(b'fitness": 0.25}\n')
    second = runs.generations("r1")
    assert second.columns["generation"].tolist() == [1, 2]
    assert len(first) == 1, "what was handed out does not change"
    log.write_bytes(b"#" * 20 + log.read_bytes()[20:])  # what was read is not read again
    assert len(runs.generations("r1")) == 2


def test_malformed_lines_are_counted_and_skipped(runs, tmp_path):
    log = record(tmp_path) / "generations.jsonl"
    log.write_bytes(
        b"\n" + lines({"generation": 1}, {"event": "other"}, {"generation": "two"}, [], {"generation": True})
        + b"\xff\xfe\n{]\n" + lines({"generation": 2})
    )  # fmt: skip
    read = runs.generations("r1")
    assert read.columns["generation"].tolist() == [1, 2]
    assert read.malformed == 6


def test_a_log_that_was_replaced_or_cut_is_read_from_its_start(runs, tmp_path):
    log = record(tmp_path) / "generations.jsonl"
    log.write_bytes(lines({"generation": 1}, {"generation": 2}))
    assert len(runs.generations("r1")) == 2
    log.write_bytes(lines({"generation": 7}))
    assert runs.generations("r1").columns["generation"].tolist() == [7]
    other = log.with_suffix(".new")
    other.write_bytes(lines(*({"generation": i} for i in range(5))))
    other.rename(log)
    assert len(runs.generations("r1")) == 5
    log.unlink()
    assert len(runs.generations("r1")) == 0


@pytest.mark.parametrize("run_id", ["..", ".", "", "a/../../etc", "/etc", "a\0b", "nope"])
def test_a_run_id_from_a_url_never_leaves_the_directory(runs, run_id):
    with pytest.raises(Unavailable) as caught:
        runs.generations(run_id)
    assert caught.value.kind == "no-run"


def test_the_topology_is_a_matrix_or_nothing(runs, tmp_path):
    folder = record(tmp_path)
    assert runs.topology("r1") is None
    said = {"run_id": "r1", "generation": 3, "fitness": 0.5, "top_k": 1, "matrix": [[0, 1], [1, 0], [1, 0]]}
    (folder / "topology.json").write_text(json.dumps(said))
    topology = runs.topology("r1")
    assert (topology.matrix.shape, topology.generation, topology.top_k) == ((3, 2), 3, 1)
    (folder / "topologies.jsonl").write_bytes(lines(said, said | {"generation": 9}) + b"{half")
    assert [one.generation for one in runs.topologies("r1")] == [3, 9]
    for broken in (
        "{",
        "[]",
        "3",
        json.dumps(said | {"matrix": [[1], [0, 1]]}),
        json.dumps(said | {"generation": None}),
    ):
        (folder / "topology.json").write_text(broken)
        assert runs.topology("r1") is None


def test_fields_asked_for_in_parts_are_columns_of_their_keys(tmp_path):
    folder = record(tmp_path)
    said = [
        {"generation": 1, "phases": {"select": 0.1}, "experts": {"0": 1}},
        {"generation": 2},
        {"generation": 3, "phases": {"select": 0.3, "train": 2, "odd": "x", "none": None, "yes": True}},
    ]
    (folder / "generations.jsonl").write_bytes(lines(*said))
    read = RunsDirectory(tmp_path, {"phases"}).generations("r1")
    assert set(read.columns) == {"generation", "phases{select}", "phases{train}"}
    np.testing.assert_array_equal(read.columns["phases{select}"], [0.1, np.nan, 0.3])
    np.testing.assert_array_equal(read.columns["phases{train}"], [np.nan, np.nan, 2.0])


def test_keys_that_never_repeat_do_not_fill_memory(tmp_path):
    folder = record(tmp_path)
    (folder / "generations.jsonl").write_bytes(
        lines(*({"generation": n, "phases": {f"p{n}": 1.0}} for n in range(1000)))
    )
    read = RunsDirectory(tmp_path, {"phases"}).generations("r1")
    assert len(read) == 1000
    assert len(read.columns) <= 256
