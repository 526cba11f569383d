"""A dashboard whose every source can be broken: proxies before Prometheus and Alertmanager, the store on a small disk."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dashboard.store import Store
from tests import services
from tests.faults.disk import Disk, small_disk
from tests.faults.proxy import Proxy, Way, proxy
from tests.pages.router import serving

LOCKER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
other.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


@dataclass
class Site:
    """The processes, and what stands between them."""

    dashboard: services.Service
    prometheus: services.PrometheusService
    alertmanager: services.Service
    to_prometheus: Proxy
    to_alertmanager: Proxy
    disk: Disk
    before: Path  # a copy of the store as it was when it was sound

    @property
    def store_file(self) -> Path:
        """The dashboard's SQLite file."""
        return self.disk.path / "data" / "store.sqlite"

    def said(self) -> Store:
        """The same store from another process's side."""
        return Store(self.store_file)


@contextlib.contextmanager
def site(directory: Path) -> Iterator[Site]:
    """Run all of it until the block ends; an alert fires and has arrived in Alertmanager."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(small_disk(directory / "disk", megabytes=8))
        alertmanager = stack.enter_context(services.alertmanager(directory / "alertmanager"))
        prometheus = stack.enter_context(
            serving(directory / "prometheus", alertmanagers=[alertmanager.target])
        )
        to_prometheus = stack.enter_context(proxy(prometheus.target))
        to_alertmanager = stack.enter_context(proxy(alertmanager.target))
        runs = directory / "runs"
        shutil.copytree(services.ROOT / "tests" / "recordings" / "runs" / "healthy", runs / "healthy")
        dashboard = stack.enter_context(
            services.dashboard(
                directory / "dashboard", data_dir=disk.path / "data", prometheus_url=to_prometheus.url,
                alertmanager_url=to_alertmanager.url, refresh_seconds=2, prometheus_timeout_seconds=2, runs_dir=runs,
            )
        )  # fmt: skip
        services.wait_until(
            lambda: alertmanager.get("/api/v2/alerts"), 60, "the alerts to arrive in Alertmanager"
        )
        yield Site(
            dashboard,
            prometheus,
            alertmanager,
            to_prometheus,
            to_alertmanager,
            disk,
            directory / "copy.sqlite",
        )


Fault = Callable[[Site], contextlib.AbstractContextManager[None]]


def _stopped(which: str) -> Fault:
    @contextlib.contextmanager
    def fault(site: Site) -> Iterator[None]:
        service: services.Service = getattr(site, which)
        service.stop()
        try:
            yield
        finally:
            service.start()

    return fault


def _frozen(which: str) -> Fault:
    @contextlib.contextmanager
    def fault(site: Site) -> Iterator[None]:
        child = getattr(site, which).child
        child.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            child.signal(signal.SIGCONT)

    return fault


def _on_the_way(which: str, way: Way) -> Fault:
    @contextlib.contextmanager
    def fault(site: Site) -> Iterator[None]:
        between: Proxy = getattr(site, f"to_{which}")
        between.way = way
        between.close()
        try:
            yield
        finally:
            between.way = "pass"
            between.close()

    return fault


@contextlib.contextmanager
def _locked(site: Site) -> Iterator[None]:
    command = [sys.executable, "-c", LOCKER, str(site.store_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"locked\n", "the other process did not get the lock"
        try:
            yield
        finally:
            other.stdin.close()


@contextlib.contextmanager
def _damaged(site: Site) -> Iterator[None]:
    with contextlib.closing(site.said()) as store:
        store.probe()
    _copy(site)
    beside = site.store_file.with_name(
        "beside"
    )  # in its place, not over it: SQLite mends the latter from what it remembers
    beside.write_bytes(b"not a database any more " * 2000)
    _without_companions(site)
    beside.replace(site.store_file)
    try:
        yield
    finally:
        _put_back(site)


@contextlib.contextmanager
def _newer(site: Site) -> Iterator[None]:
    _copy(site)
    with contextlib.closing(sqlite3.connect(site.store_file)) as database:
        found = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute("PRAGMA user_version = 99")
        database.commit()
    beside = site.store_file.with_name(
        "beside"
    )  # an upgrade and a way back: the file is another one each time
    shutil.copy(site.store_file, beside)
    beside.replace(site.store_file)
    _without_companions(site)
    try:
        assert found < 99
        yield
    finally:
        _put_back(site)


@contextlib.contextmanager
def _full(site: Site) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(site.store_file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the log would have some room of its own left
    site.disk.fill()
    try:
        yield
    finally:
        site.disk.make_room()


def _copy(site: Site) -> None:
    with (
        contextlib.closing(sqlite3.connect(site.store_file)) as live,
        contextlib.closing(sqlite3.connect(site.before)) as copy,
    ):
        live.backup(copy)


def _put_back(site: Site) -> None:
    beside = site.store_file.with_name("beside")
    shutil.copy(site.before, beside)
    _without_companions(site)
    os.replace(beside, site.store_file)  # noqa: PTH105  the one step that is atomic


def _without_companions(site: Site) -> None:
    for suffix in ("-wal", "-shm"):
        site.store_file.with_name(site.store_file.name + suffix).unlink(missing_ok=True)


# what breaks -> how, which page says it, and the words that must stand there
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "prometheus stopped": (_stopped("prometheus"), "/alerts", r"(refused|closed) the connection"),
    "prometheus frozen": (_frozen("prometheus"), "/alerts", r"did not answer within 2"),
    "prometheus slow": (_on_the_way("prometheus", "delay"), "/alerts", r"did not answer within 2"),
    "prometheus cuts its answers": (_on_the_way("prometheus", "cut"), "/alerts", r"closed the connection before its answer was whole"),
    "prometheus garbled": (_on_the_way("prometheus", "garble"), "/alerts", r"(?i)not JSON|another shape|cut off|closed the connection"),
    "a login page for prometheus": (_on_the_way("prometheus", "page"), "/alerts", r"(?i)web page"),
    "alertmanager stopped": (_stopped("alertmanager"), "/alerts", r"(refused|closed) the connection"),
    "alertmanager frozen": (_frozen("alertmanager"), "/alerts", r"did not answer within 5"),
    "alertmanager slow": (_on_the_way("alertmanager", "delay"), "/alerts", r""),
    "alertmanager cuts its answers": (_on_the_way("alertmanager", "cut"), "/alerts", r"closed the connection before its answer was whole"),
    "alertmanager garbled": (_on_the_way("alertmanager", "garble"), "/alerts", r"not answered as an Alertmanager would"),
    "a login page for alertmanager": (_on_the_way("alertmanager", "page"), "/alerts", r"not answered as an Alertmanager would"),
    "the store locked": (_locked, "/health-checks", r"locked.*Another process"),
    "the store damaged": (_damaged, "/alerts", r"The store .* cannot be used .*damaged"),
    "the store of a newer version": (_newer, "/alerts", r"newer version of the dashboard"),
    "the disk full": (_full, "/health-checks", r"(?i)full.*make room"),
}  # fmt: skip
QUICK = (
    "prometheus stopped", "prometheus frozen", "prometheus cuts its answers", "a login page for prometheus",
    "alertmanager stopped", "alertmanager garbled", "the store locked", "the store damaged", "the disk full",
)  # fmt: skip
