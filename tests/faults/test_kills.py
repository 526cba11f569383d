"""Whatever was confirmed is there with its line in the audit log, and nothing is there by half, however the writer ended.

`make test` kills each kind of store a few times, KILLS=100 (in `make faults`) a hundred times, at random moments.
"""

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from collectors.alertmanager import Alertmanager
from collectors.runs import RunsDirectory
from dashboard.benchmark.directory import RunDirectory
from dashboard.benchmark.index import Index
from dashboard.store import Store
from tests import postgres, services

KILLS = int(os.environ.get("KILLS", "8"))
SHORTEST, LONGEST = 0.0, 0.25  # seconds of writing before it ends; a write takes a few thousandths


def killed(command: list[str], chance: random.Random, how: signal.Signals) -> list[str]:
    """Run a writer until a random moment after its first confirmation, end it, and return every whole line it said."""
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, cwd=services.ROOT
    ) as writer:
        assert writer.stdout is not None
        said = b""
        while b"kept" not in said:
            assert select.select([writer.stdout], [], [], 60)[0], "the writer never began"
            said += os.read(writer.stdout.fileno(), 1 << 20)
        until = time.monotonic() + chance.uniform(SHORTEST, LONGEST)
        while (left := until - time.monotonic()) > 0:
            if select.select([writer.stdout], [], [], left)[0]:
                said += os.read(writer.stdout.fileno(), 1 << 20)
        writer.send_signal(how)
        said += writer.stdout.read()
    return said.decode().split("\n")[:-1]


def confirmed(lines: list[str]) -> list[tuple[str, str, str]]:
    """(kind, key, what it got) of every write that was confirmed."""
    return [
        (words[1], words[2], words[3] if len(words) > 3 else "")
        for line in lines
        if (words := line.split())[0] == "kept"
    ]


@pytest.mark.services
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_confirmed_is_there_however_the_server_ended(kind, tmp_path, alertmanager, request):
    chance = random.Random(f"{kind} {KILLS}")
    database = str(tmp_path / "store.sqlite")
    if kind == "postgres":
        database = request.getfixturevalue("cluster").fresh(uuid.uuid4().hex)
    silences = alertmanager()
    (tmp_path / "benchmarks").mkdir()
    kept: list[tuple[str, str, str]] = []
    for at in range(KILLS):
        how = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        command = ["tests.faults.writer", database, str(tmp_path), str(at), silences.url]
        kept += confirmed(killed(command, chance, how))
    assert len(kept) >= KILLS, "the writer wrote"
    store = Store(database if "://" in database else Path(database))
    store.note("after", alert="A", who="next", text="goes on")  # waits for what a dead one still held
    audit = list(reversed(store.audit(limit=1_000_000)))
    _nothing_by_half(store, audit)
    lines = Counter((line.action, line.subject) for line in audit) + Counter(
        ("note", line.detail.get("text")) for line in audit
    )
    lines += Counter(("tick", line.detail.get("note")) for line in audit)
    names = {"record": "end silence", "benchmark": "start benchmark"}
    there = {silence.comment: silence for silence in Alertmanager(silences.url).silences()}
    indexed = Index(tmp_path / "index.sqlite").read([key for what, key, _ in kept if what == "index"])
    for what, key, got in kept:
        if what == "index":
            assert indexed[key].owner
            continue
        if what != "untick":  # its subject is the step
            assert lines[names.get(what, what), key] == 1, (
                f"{what} {key} was confirmed and is not in the audit log once"
            )
        if what == "silence":
            assert there[key].id == got
        if what == "benchmark":
            assert RunDirectory(tmp_path / "benchmarks" / key).spec().run_id == key
    for path in (tmp_path / "benchmarks").iterdir():
        if not path.name.startswith("."):
            assert RunDirectory(path).spec().run_id == path.name, "a run's folder appears whole"
    store.close()


def _nothing_by_half(store: Store, audit: list) -> None:
    """The tables say what the audit log says, line by line."""
    assert [note.text for note in store.notes("f")] == [
        line.detail["text"]
        for line in audit
        if line.action == "note" and line.subject == "A" and line.who != "next"
    ]
    taken = [line for line in audit if line.action == "acknowledge"]
    held = store.acknowledgements(ended=True)
    assert [one.comment for one in held] == [line.detail["comment"] for line in taken]
    current: dict[str, str | None] = {}
    done: dict[str, str | None] = {}
    for line in audit:
        if line.action in ("acknowledge", "release"):
            current[line.detail["fingerprint"]] = line.detail.get("comment")
        if line.action in ("tick", "untick"):
            done[line.detail["episode"]] = line.detail.get("note")
    assert {one.fingerprint: one.comment for one in store.acknowledgements()} == {
        key: said for key, said in current.items() if said
    }
    for episode, said in done.items():
        tick = store.ticks(episode).get("step")
        assert (tick.note if tick else None) == said


@pytest.fixture(scope="module")
def cluster():
    with postgres.cluster() as running:
        yield running


def test_the_file_is_sound_after_the_kills(tmp_path):
    for at in range(3):
        killed(
            ["tests.faults.writer", str(tmp_path / "store.sqlite"), str(tmp_path), str(at)],
            random.Random(at),
            signal.SIGKILL,
        )
    with sqlite3.connect(tmp_path / "store.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


ROUTER = """
import sys
from pathlib import Path
from dashboard.observer import Observer
observer = Observer(port=None, run_name="killed", runs_dir=Path(sys.argv[1]))
with observer.run(config={"num_experts": 64}):
    generation = 0
    while True:
        generation += 1
        load = {expert: 1 / 64 for expert in range(64)}
        observer.log({"fitness_best": generation / 7, "expert_utilization_ratio": load}, step=generation)
        print(generation, flush=True)
"""


def test_a_router_killed_in_the_middle_of_a_line_leaves_whole_lines_alone(tmp_path):
    chance = random.Random(KILLS)
    (tmp_path / "router.py").write_text(ROUTER)
    runs = tmp_path / "runs"
    for _ in range(max(3, KILLS // 2)):
        with subprocess.Popen(
            [sys.executable, str(tmp_path / "router.py"), str(runs)],
            stdout=subprocess.PIPE,
            cwd=services.ROOT,
            env={**os.environ, "PYTHONPATH": str(services.ROOT)},
        ) as router:
            assert router.stdout is not None
            router.stdout.readline()
            time.sleep(chance.uniform(0, 0.2))
            router.send_signal(signal.SIGKILL)
            said = router.stdout.read().decode().split("\n")[:-1]
        directory = RunsDirectory(runs)
        newest = directory.runs()[0]
        assert (newest.state, newest.alive) == ("running", False), "that it died without a word can be told"
        read = directory.generations(newest.run_id)
        generations = [int(value) for value in read.columns["generation"]]
        assert generations == list(range(1, len(generations) + 1)), "whole lines, none twice, none left out"
        assert read.malformed == 0
        if said:
            assert len(generations) >= int(said[-1]) - 1
        tail = (runs / newest.run_id / "generations.jsonl").read_bytes()
        cut = tail[
            : max(1, len(tail) - chance.randrange(1, 400))
        ]  # and wherever the kernel would have cut it
        (runs / newest.run_id / "generations.jsonl").write_bytes(cut)
        again = RunsDirectory(runs).generations(newest.run_id)
        assert list(again.columns["generation"]) == list(range(1, cut.count(b"\n") + 1))
        assert all(json.loads(line) for line in cut.split(b"\n")[:-1])
        for path in (runs / newest.run_id).iterdir():
            path.unlink()
        (runs / newest.run_id).rmdir()
