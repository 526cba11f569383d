"""A supervisor whose history is made up: earlier runs in which case b was twice as fast, or as fast as now at second look.

Everything else is real: workers, launches, the canary, the report. Run by test_suspects.

    python -m tests.benchmark.suspicious RUN_DIRECTORY TICKET_NUMBER
"""

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from dashboard.benchmark import comparison, lease, processes, results
from dashboard.benchmark.directory import RunDirectory
from dashboard.benchmark.supervisor import Supervisor


class Suspicious(Supervisor):
    def _earlier(self) -> list[dict[str, Any]]:
        report = results.report(self._run)
        assert report is not None
        return [self._older(report, 1 + i / 1000) for i in range(6)]

    @staticmethod
    def _older(report: dict[str, Any], jitter: float) -> dict[str, Any]:
        older = deepcopy(report)
        [slow] = [cell for cell in older["cells"] if cell["key"] == "case=b"]
        for launch in slow["launches"]:
            for name in ("p50_seconds", "host_p50_seconds", "cpu_p50_seconds"):
                launch[name] *= 0.05 * jitter
        return older


if __name__ == "__main__":
    comparison.CANARY_MAY_MOVE = comparison.PREEMPTED_MAY_DIFFER = (
        100.0  # a busy machine must not decide the test
    )
    processes.adopt_orphans()
    run = RunDirectory(Path(sys.argv[1]))
    spec = run.spec()
    Suspicious(run, lease.draw(Path(spec.lease_directory), spec.device.lease)).supervise()
