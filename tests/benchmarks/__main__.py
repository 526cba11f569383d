"""`make bench`: how fast numbers come from Prometheus to a frame, as ratios to a floor measured in the same run.

    python -m tests.benchmarks            2, 64 and 512 series, a few minutes
    python -m tests.benchmarks --full     2, 64, 512 and 4 096 series over 1, 6 and 24 h

Starts a Prometheus of its own on generated history (see tsdb.py) and stops it. A missed line is said, row by row and
at the end, and is no failure of the command: on a shared machine a ratio is evidence and not a test.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path

from tests import services
from tests.benchmarks import feed as feed_rows
from tests.benchmarks import tsdb


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="4 096 series and 24 h too; about half an hour the first time"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("var/bench"), help="where generated history is kept"
    )
    parser.add_argument(
        "--rounds", type=int, default=0, help="rounds of each comparison (default 7, or 5 with --full)"
    )
    asked = parser.parse_args()
    experts = (2, 64, 512, 4096) if asked.full else (2, 64, 512)
    blocks = tsdb.make(asked.data.resolve(), experts, 24)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        (directory / "data").symlink_to(blocks)
        server = stack.enter_context(services.prometheus(directory))
        report = feed_rows.Report(
            server.url, server.child.pid, full=asked.full, rounds=asked.rounds or (5 if asked.full else 7)
        )
        for row in report.rows():
            print(row, flush=True)
    print(f"{report.missed} of the lines above missed" if report.missed else "every line reached")


if __name__ == "__main__":
    main()
