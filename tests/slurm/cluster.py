"""A real Slurm of one node, from Debian's packages: munged, slurmctld and slurmd in a folder of their own, gone afterwards.

Runs as root in a container without systemd. `GPU` is a device file that is no GPU: enough for Slurm to give it away.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dashboard.ports import free_port
from dashboard.processes import Child

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
PARTITION = "bench"
KILL_WAIT_SECONDS = 5

_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait={kill_wait}
SlurmdTimeout=10
MinJobAge=300
ReturnToService=2
SchedulerParameters=bf_interval=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=1 Gres=gpu:1 State=UNKNOWN
PartitionName={partition} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """One node that takes one job at a time."""

    folder: Path
    node: Child
    node_command: list[str]

    def ask(self, *command: str) -> str:
        """One of Slurm's commands; never waits for ever."""
        return subprocess.run(
            ["timeout", "30", *command], check=True, capture_output=True, text=True
        ).stdout.strip()

    def wait_idle(self, seconds: float = 60) -> None:
        """Until the node can take a job."""
        deadline = time.monotonic() + seconds
        while (state := self.ask("sinfo", "--noheader", "--format=%T")) != "idle":
            assert time.monotonic() < deadline, f"the node is {state}: {self._logs()}"
            time.sleep(0.2)

    def _logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Start all of it; SLURM_CONF of this process names it while it lives."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-test-"))
    before = os.environ.get("SLURM_CONF")
    try:
        with contextlib.ExitStack() as stack:
            yield _started(folder, stack)
    finally:
        if before is None:
            os.environ.pop("SLURM_CONF", None)
        else:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, stack: contextlib.ExitStack) -> Cluster:
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            controller_port=free_port(),
            node_port=free_port(),
            kill_wait=KILL_WAIT_SECONDS,
            partition=PARTITION,
        )
    )
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # a count without a file drains the node
    os.environ["SLURM_CONF"] = str(configuration)
    munged = [
        _program("munged"), "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed",
    ]  # fmt: skip
    stack.enter_context(Child("munged", munged, log=folder / "munged.out.log"))
    _until((folder / "munge.socket").exists, "munged")
    controller = [_program("slurmctld"), "-D", "-i", "-f", str(configuration)]
    stack.enter_context(Child("slurmctld", controller, log=folder / "slurmctld.log"))
    node_command = [_program("slurmd"), "-D", "-f", str(configuration)]
    node = stack.enter_context(Child("slurmd", node_command, log=folder / "slurmd.log"))
    made = Cluster(folder, node, node_command)
    _until(lambda: _answers(made), "slurmctld")
    made.wait_idle()
    return made


def _answers(made: Cluster) -> bool:
    try:
        return made.ask("scontrol", "ping").startswith("Slurmctld(primary)") and " UP" in made.ask(
            "scontrol", "ping"
        )
    except subprocess.CalledProcessError:
        return False


def _until(so, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, f"{what} did not come up"
        time.sleep(0.1)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is missing: apt-get install slurm-wlm munge"
    return found
