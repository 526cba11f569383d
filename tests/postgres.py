"""A PostgreSQL of the tests' own: a fresh cluster on a free loopback port, run by somebody who is not root, gone afterwards."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from dashboard.ports import free_port
from dashboard.processes import Child
from tests import services

PASSWORD = "opensesame"  # looked for in messages, where it must never be
USER = "nobody"  # PostgreSQL refuses to run as root


@dataclass
class Cluster:
    """A running PostgreSQL: where it answers, and its process."""

    url: str
    child: Child

    def fresh(self, name: str) -> str:
        """The URL of a new, empty schema."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE SCHEMA "{name}"')
        return f"{self.url}?{urllib.parse.urlencode({'options': f'-c search_path={name}'}, quote_via=urllib.parse.quote)}"

    def stop(self) -> None:
        """Stop at once, as in an outage: open connections are cut."""
        if self.child.running:
            os.kill(self.child.pid, signal.SIGINT)
        self.child.stop()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.child.start()
        services.wait_until(self._answers, 20, "PostgreSQL to answer")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL until the block ends."""
    programs = _programs()
    root = os.geteuid() == 0
    as_somebody = (
        ["setpriv", f"--reuid={USER}", f"--regid={_group()}", "--clear-groups", "--pdeathsig=KILL", "--"]
        if root
        else []
    )
    directory = Path(tempfile.mkdtemp(prefix="moe-postgres-"))  # not tmp_path: only its owner may enter that
    try:
        if root:
            shutil.chown(directory, USER)
        (directory / "password").write_text(PASSWORD)
        (directory / "password").chmod(0o644)
        port = free_port()
        subprocess.run(
            [*as_somebody, str(programs / "initdb"), "-D", str(directory / "data"), "-U", "moe", "--no-sync",
             "--auth=scram-sha-256", "--pwfile", str(directory / "password"), "--encoding=UTF8", "--locale=C"],
            check=True, capture_output=True, cwd=directory,
        )  # fmt: skip
        options = {
            "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "fsync": "off"
        }  # fmt: skip
        child = Child(
            "PostgreSQL",
            [*as_somebody, str(programs / "postgres"), "-D", str(directory / "data"),
             *(word for name, value in options.items() for word in ("-c", f"{name}={value}"))],
            log=directory / "postgres.log",
            cwd=directory,
        )  # fmt: skip
        running = Cluster(f"postgresql://moe:{PASSWORD}@127.0.0.1:{port}/postgres", child)
        try:
            running.start()
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(directory)


def _programs() -> Path:
    """Debian keeps PostgreSQL's programs off PATH, one folder a version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    if shutil.which("initdb"):
        return Path(str(shutil.which("initdb"))).parent
    reason = "PostgreSQL is not installed; on Debian: apt-get install postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _group() -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam(USER).pw_gid).gr_name
