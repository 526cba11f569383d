"""What people said survives: a kill in the middle, several processes, a fork; and nothing is said without its author."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from collectors.unavailable import Unavailable
from dashboard.store import Store
from tests import services


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def store(tmp_path: Path, clock):
    store = Store(tmp_path / "data" / "store.sqlite", clock=lambda: clock[0])
    yield store
    store.close()


def test_an_acknowledgement_holds_until_it_is_given_back(store, clock):
    store.acknowledge("f1", alert="ExpertDead", who=" alice ", comment="looking")
    [held] = store.acknowledgements()
    assert (held.fingerprint, held.alert, held.who, held.comment, held.at) == (
        "f1",
        "ExpertDead",
        "alice",
        "looking",
        1000.0,
    )
    clock[0] = 1010.0
    store.release("f1", alert="ExpertDead", who="bob")
    assert store.acknowledgements() == ()
    [ended] = store.acknowledgements(ended=True)
    assert (ended.ended_at, ended.ended_by) == (1010.0, "bob")


def test_the_second_to_take_an_alert_has_it(store):
    store.acknowledge("f1", alert="A", who="alice")
    store.acknowledge("f1", alert="A", who="bob")
    assert [one.who for one in store.acknowledgements()] == ["bob"]


def test_an_alert_that_ends_takes_its_acknowledgement_with_it(store):
    store.acknowledge("f1", alert="A", who="alice")
    store.acknowledge("f2", alert="B", who="alice")
    store.alerts_ended(["f1"])
    assert [one.fingerprint for one in store.acknowledgements()] == ["f2"]
    assert store.acknowledgements(fingerprint="f1", ended=True)[0].ended_by is None


def test_notes_are_kept_in_order(store, clock):
    store.note("f1", alert="A", who="alice", text="first")
    clock[0] = 1100.0
    store.note("f1", alert="A", who="bob", text="second; <b>not html</b> '; DROP TABLE notes; --")
    store.note("f2", alert="B", who="bob", text="other")
    assert [(one.who, one.text[:6]) for one in store.notes("f1")] == [("alice", "first"), ("bob", "second")]
    assert len(store.notes()) == 3
    assert [one.text for one in store.notes(start=0, end=1050)] == ["first"]


def test_ticks_belong_to_an_episode(store):
    store.tick("f1@100", "look-at-it", who="alice", note="was 0.04")
    store.tick("f1@100", "look-at-it", who="bob")
    store.tick("f1@900", "look-at-it", who="carol")
    assert store.ticks("f1@100")["look-at-it"].who == "bob"
    store.untick("f1@100", "look-at-it", who="bob")
    assert store.ticks("f1@100") == {}
    assert set(store.ticks("f1@900")) == {"look-at-it"}


def test_everything_that_is_said_is_in_the_audit_log(store):
    store.acknowledge("f1", alert="A", who="alice", comment="mine")
    store.release("f1", alert="A", who="alice")
    store.note("f1", alert="A", who="alice", text="hello")
    store.tick("f1@1", "step", who="alice")
    store.untick("f1@1", "step", who="alice")
    store.record(who="alice", action="silence", subject="A", id="abc", hours=2)
    log = store.audit()
    assert [one.action for one in log] == ["silence", "untick", "tick", "note", "release", "acknowledge"]
    assert log[0].detail == {"id": "abc", "hours": 2}
    assert log[-1].detail == {"fingerprint": "f1", "comment": "mine"}
    assert [one.action for one in store.audit(subject="step")] == ["untick", "tick"]


@pytest.mark.parametrize("who", ["", "  ", "x" * 201])
def test_nothing_is_said_without_a_name(store, who):
    for say in (
        lambda: store.acknowledge("f", alert="A", who=who),
        lambda: store.note("f", alert="A", who=who, text="x"),
        lambda: store.tick("e", "s", who=who),
        lambda: store.record(who=who, action="a", subject="s"),
    ):
        with pytest.raises(ValueError, match="name"):
            say()
    assert store.audit() == ()


def test_an_empty_note_and_a_book_are_refused(store):
    with pytest.raises(ValueError, match="nothing written"):
        store.note("f", alert="A", who="alice", text=" ")
    with pytest.raises(ValueError, match="at most"):
        store.note("f", alert="A", who="alice", text="x" * 10_001)


def test_the_version_moves_with_every_write_of_anybody(store):
    before = store.version()
    other = Store(store.path)
    other.acknowledge("f1", alert="A", who="alice")
    other.close()
    assert store.version() > before
    assert store.acknowledgements()[0].who == "alice"


def test_the_probe_writes_and_leaves_nothing(store):
    store.probe()
    assert store.audit() == ()


def test_many_threads_and_two_stores_lose_nothing(store):
    second = Store(store.path)

    def write(target: Store, name: str) -> None:
        for i in range(25):
            target.note("f", alert="A", who=name, text=str(i))

    threads = [
        threading.Thread(target=write, args=(target, f"t{i}"))
        for i, target in enumerate([store, store, second])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second.close()
    assert len(store.notes("f")) == len(store.audit(limit=1000)) == 75


def test_a_writer_that_is_killed_leaves_whole_transactions(tmp_path: Path):
    """Each note has its line in the audit log, however the process ended."""
    path = tmp_path / "store.sqlite"
    script = (
        "from pathlib import Path; from dashboard.store import Store; import sys\n"
        "store = Store(Path(sys.argv[1])); i = 0\n"
        "while True:\n    store.note('f', alert='A', who='w', text=str(i)); i += 1; print(i, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, cwd=services.ROOT
    ) as writer:
        assert writer.stdout is not None
        said = 0
        while said < 20:
            said = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    store = Store(path)
    notes = store.notes("f")
    assert len(notes) >= said
    assert len(notes) == len(store.audit(limit=100_000))
    store.note("f", alert="A", who="next", text="goes on")
    store.close()


def test_a_file_that_is_no_store_is_said_and_left_alone(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is not a database, but somebody's file" * 50)
    store = Store(path)
    for ask in (store.probe, store.version, store.acknowledgements):
        with pytest.raises(Unavailable, match="cannot be used") as why:
            ask()
        assert why.value.kind == "store"
    assert path.read_bytes().startswith(b"this is not")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="cannot be used"):
        Store(tmp_path / "file" / "store.sqlite").probe()


def test_the_file_is_a_database_anybody_can_read(store):
    store.acknowledge("f1", alert="A", who="alice")
    with sqlite3.connect(store.path) as other:
        assert other.execute("SELECT who FROM acknowledgements").fetchall() == [("alice",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
