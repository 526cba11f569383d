"""The demo: it starts everything, says what is in the way, and leaves no process behind, however it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dashboard import cli
from dashboard.demo import CannotStart, Demo
from dashboard.ports import Ports, port_is_free
from dashboard.processes import Identity, answers
from tests import services


class RunningDemo:
    """`moe-dashboard demo` in a process of its own, its output read as it comes."""

    def __init__(self, directory: Path, port: int, *words: str) -> None:
        self.directory, self.port = directory, port
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dashboard.cli", "demo", "--port", str(port), "--directory", str(directory), *words],
            cwd=services.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_until_up(self) -> None:
        def up() -> bool:
            assert self.process.poll() is None, self.output
            return "Ctrl-C stops everything" in self.output

        services.wait_until(up, 180, "the demo to be up")

    def processes(self) -> dict[str, Identity]:
        state = json.loads((self.directory / "state.json").read_text())
        return {name: Identity(**identity) for name, identity in state.items()}

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(10)
        self.process.stdout.close()
        return code


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "demo"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", services.free_base() + 3))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_is_named_with_its_owner_and_the_way_out(directory, taken_port):
    base = taken_port - 3
    with pytest.raises(CannotStart) as refused:
        Demo(directory, Ports.following(base), say=lambda _: None).start()
    text = str(refused.value)
    assert (
        f"Port {taken_port}, wanted for the prometheus, is in use by {psutil.Process().name()} (pid {os.getpid()})."
        in text
    )
    chosen = int(re.search(r"make demo PORT=(\d+)", text)[1])
    assert not Ports.following(chosen).taken()


def test_ports_follow_the_base_so_that_two_demos_do_not_meet():
    assert Ports.following(8601) == Ports(8601, 8602, 8603, 8604, 8605)


@pytest.mark.parametrize("port", ["0", "65532", "-1"])
def test_a_base_without_room_for_five_ports_is_refused(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["demo", f"--port={port}"])
    assert "are not all between 1 and 65535" in capsys.readouterr().err


def test_a_missing_program_is_named_with_the_way_to_get_it(directory, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CannotStart, match="apt-get install prometheus prometheus-alertmanager"):
        Demo(directory, Ports.following(services.free_base())).start()


@pytest.mark.services
@pytest.mark.timeout(400)
def test_the_demo_comes_up_refuses_a_twin_dies_completely_and_starts_again(directory):
    demo = RunningDemo(directory, services.free_base())
    demo.wait_until_up()
    processes = demo.processes()
    assert set(processes) == {"Alertmanager", "Prometheus", "exporter", "router", "dashboard"}
    assert all(identity.alive() for identity in processes.values())
    assert answers(f"http://127.0.0.1:{demo.port}/livez")

    # the same folder and the same ports; then another folder, so that only the ports are in the way
    for folder in (directory, directory.with_name("other")):
        twin = RunningDemo(folder, demo.port)
        assert twin.end(signal.SIGCONT) == 1
        assert f"Port {demo.port}" in twin.output
        assert re.search(r"make demo PORT=\d+", twin.output)
        assert "Traceback" not in twin.output

    demo.end(signal.SIGKILL)
    services.wait_until(
        lambda: not any(i.alive() for i in processes.values()), 10, "everything to die with the demo"
    )

    again = RunningDemo(directory, demo.port)
    again.wait_until_up()
    processes = again.processes()
    assert again.end(signal.SIGINT) == 0
    assert not any(identity.alive() for identity in processes.values())
    assert [line for line in again.output.splitlines() if line.startswith("Stopping")] == [
        f"Stopping {name}" for name in ("dashboard", "router", "exporter", "Prometheus", "Alertmanager")
    ]
    assert all(port_is_free(port) for port in range(demo.port, demo.port + 5))
    assert not (directory / "state.json").exists()


@pytest.mark.services
def test_a_router_that_cannot_start_is_named_with_the_end_of_its_log(directory):
    demo = RunningDemo(directory, services.free_base(), "--router-args=--no-such-flag")
    began = time.monotonic()
    services.wait_until(lambda: demo.process.poll() is not None, 120, "the demo to give up")
    assert demo.end(signal.SIGCONT) == 1
    assert re.search(r"router ended with exit status 2\b.*--no-such-flag", demo.output, re.DOTALL), (
        demo.output
    )
    assert time.monotonic() - began < 120
    assert "Stopping Prometheus" in demo.output
