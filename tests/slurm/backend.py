"""The same run through a real Slurm: same directory, same states, and Slurm's own ways to end a job each said as they are.

`make test-slurm` runs it; `make test` does not, because it needs Debian's slurm-wlm and munge and root.
"""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.benchmark import processes, slurm
from dashboard.benchmark.runs import Benchmarks
from dashboard.benchmark.spec import PROFILES
from dashboard.benchmark.starting import CannotStart
from tests.benchmark.conftest import FACTORIES, SHORT, Room, opened
from tests.slurm.cluster import PARTITION, Cluster, cluster

OPTIONS = {"partition": PARTITION, "gres": "gpu:1", "time": "5"}
ROOMY = replace(SHORT, limit_seconds=120, stall_seconds=100, cell_seconds=0.3)
LONG = replace(
    ROOMY, cell_seconds=100, precision=1e-9, max_calls=10_000_000
)  # takes all the time it is given


class SlurmRoom(Room):
    """A benchmark room whose runs go through Slurm."""

    options = OPTIONS

    def another(self) -> Benchmarks:
        names = [f"{FACTORIES}:{name}" for name in ("good", "slow", "ignores_sigterm", "forks", "raises")]
        return Benchmarks(
            self.path / "data", ["reference-moe", *names], lease_dir=self.path / "leases",
            slurm_options=self.options,
        )  # fmt: skip

    def start(self, factory: str, profile=ROOMY, **arguments: object) -> str:
        name = factory if factory == "reference-moe" else f"{FACTORIES}:{factory}"
        return self.benchmarks.start(
            name, device=str(arguments.pop("device", "cpu")), adjust=profile, backend="slurm", **arguments
        )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def slurm_cluster() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def room(tmp_path: Path, slurm_cluster: Cluster) -> Iterator[SlurmRoom]:
    made = SlurmRoom(tmp_path)
    with opened(tmp_path, made):
        yield made
    slurm_cluster.wait_idle()


def test_a_run_is_measured_on_the_node_and_reported_in_the_same_directory(
    room: SlurmRoom, slurm_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MOE_DASHBOARD_PROMETHEUS_PASSWORD", "hunter2")
    run_id = room.start("good", owner="Ada")
    view = room.wait(run_id)
    assert view.state == "done", view.error
    assert view.report is not None
    assert [cell["status"] for cell in view.report["cells"]] == ["ok", "ok"]
    directory = room.benchmarks.directory(run_id)
    assert directory.spec().backend == "slurm"
    job = slurm.submitted(directory.path)
    assert job is not None
    said = slurm_cluster.ask("scontrol", "show", "job", str(job["job_id"]))
    assert f"JobName={run_id}" in said
    assert f"Partition={PARTITION}" in said
    assert "Requeue=0" in said
    assert "gres/gpu" not in said  # who measures on the CPU holds no GPU
    script = next((directory.path / slurm.LOGS).glob("*.sh")).read_text()
    assert "MOE_DASHBOARD" not in script  # the dashboard's environment stays with the dashboard
    assert room.another().run(run_id).state == "done"


def test_the_reference_layer_is_measured_through_slurm(room: SlurmRoom):
    profile = replace(PROFILES["quick"], cell_seconds=0.3, precision=0.1, limit_seconds=240)
    view = room.wait(room.start("reference-moe", profile), 300)
    assert view.state == "done", view.error
    assert view.report is not None
    assert {cell["status"] for cell in view.report["cells"]} == {"ok"}


def test_a_gpu_is_asked_for_where_it_is_configured_and_one_that_nvml_does_not_know_is_said(
    room: SlurmRoom, slurm_cluster: Cluster
):
    run_id = room.start("good", device="cuda")
    view = room.wait(run_id)
    job = slurm.submitted(room.benchmarks.directory(run_id).path)
    assert job is not None
    assert "gres:gpu:1" in slurm_cluster.ask("scontrol", "show", "job", str(job["job_id"]))
    assert view.state == "failed"
    assert "NVML does not know the GPU that Slurm gave (CUDA_VISIBLE_DEVICES='0')" in view.summary.sentence
    room.options = {"partition": PARTITION}
    with pytest.raises(CannotStart, match="asks for no GPU"):
        room.another().start(f"{FACTORIES}:good", device="cuda", backend="slurm")


def test_who_waits_sees_place_holder_and_estimate_and_can_be_cancelled_before_it_starts(room: SlurmRoom):
    first = room.start("slow", LONG)
    room.event(first, "cell started")
    second, third = room.start("good"), room.start("good")
    waiting = room.until(third, lambda view: view.progress.queue_position == 2)
    assert waiting.state == "queued"
    assert waiting.progress.queue_holder is not None
    assert waiting.progress.queue_holder["run_id"] == first
    assert waiting.progress.seconds_to_start is not None
    assert 0 < waiting.progress.seconds_to_start <= 11 * 60
    assert "Slurm's queue" in waiting.progress.phase
    room.benchmarks.cancel(second, "Ada")
    cancelled = room.wait(second)
    assert cancelled.state == "cancelled"
    assert "by Ada" in cancelled.error
    room.until(third, lambda view: view.progress.queue_position == 1)
    room.benchmarks.cancel(first, "Ada")
    assert room.wait(first).state == "cancelled"
    assert room.wait(third).state == "done"


def test_cancel_stops_a_running_job_and_a_worker_that_does_not_listen(room: SlurmRoom):
    run_id = room.start("ignores_sigterm", LONG)
    room.event(run_id, "cell started")
    asked = time.monotonic()
    room.benchmarks.cancel(run_id, "Ada")
    view = room.wait(run_id)
    assert view.state == "cancelled"
    assert "by Ada" in view.error
    assert time.monotonic() - asked < 15
    room.nobody_left(run_id)


def test_scancel_by_somebody_else_is_a_cancelled_run(room: SlurmRoom, slurm_cluster: Cluster):
    run_id = room.start("slow", LONG)
    room.event(run_id, "cell progress")
    slurm_cluster.ask("scancel", f"--name={run_id}")
    view = room.wait(run_id)
    assert view.state == "cancelled"
    assert "a signal" in view.error or "cancelled in Slurm" in view.error
    room.nobody_left(run_id)


def test_the_profiles_time_limit_holds_inside_the_job(room: SlurmRoom):
    view = room.wait(room.start("ignores_sigterm", replace(ROOMY, limit_seconds=5, grace_seconds=1)))
    assert view.state == "timed out"
    assert "time limit of 5 s" in view.error


def test_slurms_own_time_limit_is_said_before_it_kills(room: SlurmRoom, slurm_cluster: Cluster):
    run_id = room.start("ignores_sigterm", LONG)
    room.event(run_id, "cell started")
    job = slurm.submitted(room.benchmarks.directory(run_id).path)
    assert job is not None
    slurm_cluster.ask(
        "scontrol", "update", f"jobid={job['job_id']}", "TimeLimit=1"
    )  # now less than a minute is left
    view = room.wait(run_id, 120)
    assert view.state == "timed out"
    assert "Slurm's time limit" in view.error
    room.nobody_left(run_id)


def test_a_killed_supervisor_is_a_lost_run_and_leaves_nobody(room: SlurmRoom):
    run_id = room.start("forks", LONG)
    room.event(run_id, "cell started")
    supervisor = room.event(run_id, "supervisor started")["process"]
    os.kill(supervisor["pid"], signal.SIGKILL)  # type: ignore[index]
    view = room.wait(run_id)
    assert view.state == "lost"
    room.nobody_left(run_id)
    assert room.another().run(run_id).state == "lost"


def test_a_job_that_is_killed_outright_never_reads_as_running(room: SlurmRoom, slurm_cluster: Cluster):
    run_id = room.start("slow", LONG)
    room.event(run_id, "cell progress")
    slurm_cluster.ask("scancel", "--signal=KILL", f"--name={run_id}")
    assert room.wait(run_id).state in ("cancelled", "lost")
    room.nobody_left(run_id)


def test_a_node_that_goes_down_is_a_failed_run_with_the_nodes_name(room: SlurmRoom, slurm_cluster: Cluster):
    """The node is declared down while slurmd and everything on it is gone: nobody there can say a word."""
    run_id = room.start("slow", LONG)
    room.event(run_id, "cell progress")
    name = slurm_cluster.ask("sinfo", "--noheader", "--format=%N")
    slurm_cluster.node.stop(grace_seconds=0.1)
    processes.sweep(room.benchmarks.directory(run_id).spec().mark)
    supervisor = room.event(run_id, "supervisor started")["process"]
    os.kill(supervisor["pid"], signal.SIGKILL)  # type: ignore[index]
    slurm_cluster.ask("scontrol", "update", f"nodename={name}", "state=down", "reason=test")
    view = room.wait(run_id)
    assert view.state == "failed"
    assert "its node failed" in view.summary.sentence
    assert name in view.summary.sentence
    slurm_cluster.node.start()
    slurm_cluster.ask("scontrol", "update", f"nodename={name}", "state=resume")


def test_a_controller_that_does_not_answer_declares_nobody_dead(
    room: SlurmRoom, monkeypatch: pytest.MonkeyPatch, slurm_cluster: Cluster
):
    first = room.start("slow", LONG)
    room.event(first, "cell progress")
    second = room.start("good")
    with monkeypatch.context() as changed:
        changed.setenv("SLURM_CONF", str(room.path / "nowhere.conf"))
        slurm._forget()
        view = room.benchmarks.run(second)
        assert view.state == "queued"
        assert "Slurm does not answer" in view.progress.phase
        assert room.benchmarks.run(first).state == "running"
    slurm._forget()
    room.benchmarks.cancel(first, "Ada")
    assert room.wait(second).state == "done"


def test_options_slurm_does_not_know_are_a_failed_run_with_its_words(room: SlurmRoom):
    room.options = {"partition": "nowhere"}
    benchmarks = room.another()
    view = benchmarks.run(benchmarks.start(f"{FACTORIES}:good", device="cpu", backend="slurm"))
    assert view.state == "failed"
    assert "invalid partition" in view.error.lower()


def test_without_the_setting_nothing_goes_through_slurm(tmp_path: Path):
    with pytest.raises(CannotStart, match="Slurm is not configured"):
        Benchmarks(tmp_path, ["reference-moe"]).start("reference-moe", backend="slurm")
