"""The store when its file is locked, full, read-only, damaged, replaced or of another version, and when its server hangs."""

import contextlib
import resource
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from collectors.unavailable import Unavailable
from dashboard.store import Store
from tests import postgres, services
from tests.faults.disk import small_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.sqlite"


@pytest.fixture
def store(path: Path):
    store = Store(path)
    store.note("f", alert="A", who="ada", text="before")
    yield store
    store.close()


def refused(ask, words: str) -> Unavailable:
    with pytest.raises(Unavailable, match=words) as why:
        ask()
    assert why.value.kind == "store"
    assert why.value.advice
    return why.value


def texts(store: Store) -> list[str]:
    return [note.text for note in store.notes("f")]


def write(store: Store, text: str) -> None:
    store.note("f", alert="A", who="ada", text=text)


def whole(store: Store) -> None:
    """Every note has its line in the audit log, and no line is without its note."""
    assert [note.text for note in store.notes()] == [
        line.detail["text"] for line in reversed(store.audit(limit=100_000))
    ]


LOCKER = """
import sqlite3, sys, time
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


def test_a_file_that_another_process_holds_can_be_read_at_once_and_is_written_again(store, path):
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        why = refused(lambda: write(store, "lost"), "locked")
        assert "Another process" in why.advice
        began = time.monotonic()
        assert texts(store) == ["before"]
        assert time.monotonic() - began < 1, "readers do not queue behind a writer that waits"
        other.stdin.write(b"\n")
        other.stdin.flush()
    write(store, "after")
    assert texts(store) == ["before", "after"]
    whole(store)


def test_a_file_of_a_newer_version_is_named_and_left_alone(path):
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.executescript("CREATE TABLE audit (other TEXT); PRAGMA user_version = 99;")
    before = path.read_bytes()
    store = Store(path)
    for ask in (store.probe, store.acknowledgements, lambda: write(store, "x")):
        why = refused(ask, "newer version")
        assert "left as it is" in why.advice
    store.close()
    assert path.read_bytes() == before


def test_a_file_overwritten_while_it_is_open_is_named_and_a_copy_put_back_is_used(store, path):
    store.close()  # so that the copy is whole
    kept = path.read_bytes()
    store.probe()
    path.write_bytes(b"garbage, not a database at all " * 4000)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    why = refused(lambda: write(store, "lost"), "cannot be used")
    assert "damaged" in why.advice
    refused(lambda: texts(store), "cannot be used")
    copy = path.with_name("copy")
    copy.write_bytes(kept)
    copy.replace(path)
    write(store, "after")
    assert texts(store) == ["before", "after"]
    whole(store)


def test_what_is_written_after_the_file_was_deleted_is_in_the_new_one(store, path):
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    write(store, "after")
    other = Store(path)
    assert texts(other) == ["after"]
    other.close()


def test_a_full_disk_refuses_what_is_new_and_keeps_what_was(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        store = Store(disk.path / "store.sqlite")
        write(store, "before")
        disk.fill()
        why = refused(lambda: [write(store, "x" * 9000) for _ in range(50)], "full")
        assert "make room" in why.advice
        said = texts(store)
        assert said[0] == "before"
        disk.make_room()
        write(store, "after")
        assert texts(store) == [*said, "after"]
        whole(store)
        store.close()


def test_a_limit_on_the_size_of_files_is_a_full_disk_for_one_process(store, path):
    """The same for machines where nothing can be mounted: EFBIG instead of ENOSPC, and the same promises."""
    write(store, "y" * 9000)
    size = path.with_name(path.name + "-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, before[1]))
    try:
        refused(lambda: [write(store, "z" * 9000) for _ in range(50)], "cannot be used")
        said = texts(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    write(store, "after")
    assert texts(store) == [*said, "after"]
    whole(store)


def test_a_disk_that_turns_read_only_can_be_read_and_is_written_again(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        store = Store(disk.path / "store.sqlite")
        write(store, "before")
        store.close()
        disk.read_only(True)
        why = refused(lambda: write(store, "lost"), "cannot be used")
        assert "read-only" in why.advice
        disk.read_only(False)
        write(store, "after")
        assert texts(store) == ["before", "after"]
        whole(store)
        store.close()


@pytest.mark.services
def test_a_database_server_that_hangs_holds_nobody_for_long():
    """Frozen, it still keeps its connections: only a clock on this side ends the wait; then nobody else waits either."""
    with postgres.cluster() as cluster:
        store = Store(cluster.fresh(uuid.uuid4().hex))
        write(store, "before")
        frozen = family(cluster.child.pid)
        for process in frozen:
            process.suspend()
        try:
            began = time.monotonic()
            refused(lambda: write(store, "lost"), "cannot be used")
            first = time.monotonic() - began
            began = time.monotonic()
            for _ in range(20):
                refused(lambda: texts(store), "cannot be used")
            assert time.monotonic() - began < 1, "who comes next is told at once"
            assert first < 20
        finally:
            for process in frozen:
                process.resume()
        services.wait_until(lambda: _works(store), 20, "the store to work again")
        write(store, "after")
        assert texts(store) == ["before", "after"]
        whole(store)
        store.close()


def family(pid: int) -> list[psutil.Process]:
    """The server and its backends, each of which has a session of its own."""
    server = psutil.Process(pid)
    return [server, *server.children(recursive=True)]


def _works(store: Store) -> bool:
    try:
        store.probe()
    except Unavailable:
        return False
    return True


def test_another_process_that_closes_the_file_does_not_take_the_log_from_under_us(tmp_path: Path):
    """SQLite's locks on a file end in the whole process when any descriptor of it is closed: then the other is the last one."""
    store = Store(tmp_path / "store.sqlite")
    store.note("n", alert="A", who="ada", text="one")
    store.notes("n")
    log = tmp_path / "store.sqlite-wal"
    before = log.stat().st_ino
    opened = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM audit').fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", opened, str(tmp_path / "store.sqlite")], check=True)
    assert log.stat().st_ino == before
    store.close()
