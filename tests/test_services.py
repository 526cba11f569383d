"""The services the tests stand on: they start, scrape, alert, come back, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dashboard.processes import Child, ChildFailed, Identity, answers
from tests import services

pytestmark = pytest.mark.services

FIRES = """
groups:
  - name: test
    rules:
      - alert: FitnessThere
        expr: evolution_fitness_best > 0.5
        labels: {severity: warning}
"""


def test_prometheus_scrapes_fires_tells_alertmanager_and_comes_back(prometheus, alertmanager, scrape_target):
    target = scrape_target("evolution_fitness_best 0.75\n")
    receiver = alertmanager()
    server = prometheus(targets={"moe-router": target.target}, rules=[FIRES], alertmanagers=[receiver.target])
    [sample] = server.wait_for("evolution_fitness_best")
    assert sample["value"][1] == "0.75"
    [alert] = services.wait_until(lambda: receiver.get("/api/v2/alerts"), what="the alert in Alertmanager")
    assert alert["labels"]["alertname"] == "FitnessThere"

    server.stop()
    assert not answers(server.url + "/-/ready")
    server.start()
    target.text = "evolution_fitness_best 0.8\n"
    server.wait_for("evolution_fitness_best == 0.8")


def test_history_can_be_put_into_prometheus(prometheus):
    server = prometheus()
    then = int(time.time()) - 3600
    server.backfill(f"# TYPE evolution_fitness_best gauge\nevolution_fitness_best 0.25 {then}\n# EOF\n")
    [sample] = server.query("evolution_fitness_best", at=then + 1)
    assert sample["value"][1] == "0.25"


def test_pushgateway_takes_a_push(pushgateway):
    server = pushgateway()
    server.post("/metrics/job/moe", b"custom_evolution_fitness 0.5\n")
    assert answers(server.url + "/metrics")


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path):
    """The parent gets no chance to clean up: the kernel must do it."""
    program = (
        "import sys, time; from pathlib import Path; from dashboard.processes import Child\n"
        "child = Child('sleeper', ['sleep', '600'], log=Path(sys.argv[1])).start()\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=services.ROOT,
    ) as parent:
        child = Identity.of(int(parent.stdout.readline()))
        assert child is not None
        # the launcher must have become `sleep`, that is: must have asked the kernel already
        services.wait_until(
            lambda: "sleep" in _command(child.pid), what="the program to replace the launcher"
        )
        os.kill(parent.pid, signal.SIGKILL)
    services.wait_until(lambda: not child.alive(), 5, "the child to die")


def test_a_child_that_ends_early_is_named_with_the_end_of_its_log(tmp_path):
    child = Child("Oracle", ["sh", "-c", "echo no tea today; exit 3"], log=tmp_path / "log").start()
    with pytest.raises(ChildFailed, match=r"(?s)Oracle ended with exit status 3 .*no tea today"):
        child.wait_ready("http://127.0.0.1:9/never", 10)


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path):
    child = Child(
        "stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], log=tmp_path / "log"
    )
    with child:
        child.wait_until(lambda: "ready" in child.tail(), timeout_seconds=10)
        child.stop(grace_seconds=0.2)
        assert child.returncode == -signal.SIGKILL


def test_a_reused_pid_is_another_process():
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Identity(me.pid, me.started_ticks - 1, me.boot_id).alive()
    assert not Identity(me.pid, me.started_ticks, "an earlier boot").alive()


def test_a_missing_program_fails_the_test_in_ci_and_skips_it_elsewhere(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        services.program("no-such-program")
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        services.program("no-such-program")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")[0]
    except FileNotFoundError:
        return ""
