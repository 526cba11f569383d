"""What people said survives: a kill in the middle, several processes, a fork; and nothing is said without its author."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import psycopg
import pytest

from collectors.unavailable import Unavailable
from dashboard.store import Author, Store
from tests import postgres, services


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture(scope="module")
def cluster():
    with postgres.cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def database(request, tmp_path: Path) -> Path | str:
    """An empty database of either kind; every promise holds on both."""
    if request.param == "sqlite":
        return tmp_path / "data" / "store.sqlite"
    fresh: str = request.getfixturevalue("cluster").fresh(uuid.uuid4().hex)
    return fresh


@pytest.fixture
def store(database, clock):
    store = Store(database, clock=lambda: clock[0])
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


def test_a_baseline_pinned_by_anyone_is_everyones(store, database, clock):
    assert store.baseline() is None
    store.pin("digits-1", who=Author(" alice ", "10.1.2.3"))
    other = Store(database)
    pinned = other.baseline()
    assert (pinned.run_id, pinned.who, pinned.at) == ("digits-1", "alice", 1000.0)
    clock[0] = 1010.0
    other.pin("digits-2 'x'; --", who="bob")
    other.close()
    assert (store.baseline().run_id, store.baseline().who) == ("digits-2 'x'; --", "bob")
    assert [(one.action, one.subject, one.address) for one in store.audit()] == [
        ("pin baseline", "digits-2 'x'; --", ""),
        ("pin baseline", "digits-1", "10.1.2.3"),
    ]


def test_a_baseline_is_unpinned_by_name_so_that_nobody_removes_another_unseen(store):
    store.pin("digits-2", who="bob")
    store.unpin("digits-1", who="alice")
    assert store.baseline().run_id == "digits-2"
    store.unpin("digits-2", who="alice")
    assert store.baseline() is None
    assert [one.action for one in store.audit()] == ["unpin baseline", "pin baseline"]
    with pytest.raises(ValueError, match="letters"):
        store.pin("", who="alice")


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
        lambda: store.pin("r", who=who),
        lambda: store.unpin("r", who=who),
    ):
        with pytest.raises(ValueError, match="name"):
            say()
    assert store.audit() == ()


def test_an_empty_note_and_a_book_are_refused(store):
    with pytest.raises(ValueError, match="nothing written"):
        store.note("f", alert="A", who="alice", text=" ")
    with pytest.raises(ValueError, match="at most"):
        store.note("f", alert="A", who="alice", text="x" * 10_001)


def test_the_version_moves_with_every_write_of_anybody(store, database):
    before = store.version()
    other = Store(database)
    other.acknowledge("f1", alert="A", who="alice")
    other.close()
    assert store.version() > before
    assert store.acknowledgements()[0].who == "alice"


def test_the_probe_writes_and_leaves_nothing(store):
    store.probe()
    assert store.audit() == ()


def test_many_threads_and_two_stores_lose_nothing(store, database):
    second = Store(database)

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


def test_a_writer_that_is_killed_leaves_whole_transactions(database):
    """Each note has its line in the audit log, however the process ended."""
    script = (
        "from pathlib import Path; from dashboard.store import Store; import sys\n"
        "where = sys.argv[1]; store = Store(where if '://' in where else Path(where)); i = 0\n"
        "while True:\n    store.note('f', alert='A', who='w', text=str(i)); i += 1; print(i, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(database)], stdout=subprocess.PIPE, cwd=services.ROOT
    ) as writer:
        assert writer.stdout is not None
        said = 0
        while said < 20:
            said = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    store = Store(database)
    notes = store.notes("f")
    assert len(notes) >= said
    store.note("f", alert="A", who="next", text="goes on")  # waits for what the dead one still had in hand
    assert len(store.notes("f")) == len(store.audit(limit=100_000))
    store.close()


def test_the_audit_log_says_from_where_and_can_be_narrowed_to_a_time(store, clock):
    store.note("f", alert="A", who=Author(" alice ", "10.1.2.3", "5e55", "sub-1"), text="hello")
    clock[0] = 1100.0
    store.acknowledge("f", alert="A", who=Author("bob"))
    later, first = store.audit()
    assert (first.who, first.address, first.session, first.account) == ("alice", "10.1.2.3", "5e55", "sub-1")
    assert (later.who, later.address, later.session, later.account) == ("bob", "", "", "")
    assert [one.action for one in store.audit(start=1050)] == ["acknowledge"]
    assert [one.action for one in store.audit(end=1050)] == ["note"]


def test_an_end_that_several_dashboards_see_is_written_down_once(store, database):
    store.acknowledge("f1", alert="A", who="alice")
    store.alerts_ended(["f1"])
    other = Store(database)
    other.alerts_ended(["f1", "f2"])
    other.close()
    assert [one.action for one in store.audit()] == ["alerts ended", "acknowledge"]


def test_any_text_is_kept_as_it_was_said(store):
    hostile = "%s ? $1 \u202e🦊 '; DROP TABLE notes; -- {} <script>"
    store.note("f", alert="A", who="alice", text=hostile)
    assert store.notes("f")[0].text == hostile
    store.note("f", alert="A", who="alice", text="zero \x00 character")
    assert store.notes("f")[1].text.startswith("zero")


def test_a_file_of_the_first_version_keeps_what_it_has(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(
            "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL,"
            " action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL); PRAGMA user_version = 1;"
            "INSERT INTO audit (at, who, action, subject, detail) VALUES (1, 'alice', 'note', 'A', '{}');"
        )
    store = Store(path)
    store.note("f", alert="A", who=Author("bob", "10.0.0.1"), text="new")
    assert [(one.who, one.address) for one in store.audit()] == [("bob", "10.0.0.1"), ("alice", "")]
    store.close()


@pytest.mark.services
def test_a_database_that_comes_back_is_used_again_and_its_password_never_said(cluster):
    store = Store(cluster.fresh(uuid.uuid4().hex))
    store.note("f", alert="A", who="alice", text="before")
    cluster.stop()
    try:
        for ask in (store.probe, store.version, lambda: store.note("f", alert="A", who="a", text="lost")):
            with pytest.raises(Unavailable, match="cannot be used") as why:
                ask()
            assert why.value.kind == "store"
            assert postgres.PASSWORD not in f"{why.value!r} {why.value} {store.where}"
    finally:
        cluster.start()
    store.note("f", alert="A", who="alice", text="after")
    assert [note.text for note in store.notes("f")] == ["before", "after"]
    store.close()


@pytest.mark.services
def test_a_connection_cut_while_it_slept_loses_nothing(cluster):
    url = cluster.fresh(uuid.uuid4().hex)
    store = Store(url)
    store.probe()
    with psycopg.connect(cluster.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'moe-dashboard'"
        )
    store.note("f", alert="A", who="alice", text="kept")
    assert store.notes("f")[0].text == "kept"
    store.close()


def test_a_url_that_cannot_be_read_does_not_show_its_password():
    for url in ("postgresql://moe:opense%zzsame@[::1/x", "postgresql://moe:opensesame@127.0.0.1:port/x"):
        store = Store(url)
        with pytest.raises(Unavailable) as why:
            store.version()
        assert "opense" not in f"{why.value} {store.where}"
    with pytest.raises(ValueError, match="postgresql://") as refused:
        Store("mysql://moe:opensesame@127.0.0.1/x")
    assert "opensesame" not in str(refused.value)


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


def test_the_file_is_a_database_anybody_can_read(tmp_path: Path):
    path = tmp_path / "store.sqlite"
    store = Store(path)
    store.acknowledge("f1", alert="A", who="alice")
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT who FROM acknowledgements").fetchall() == [("alice",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    store.close()
