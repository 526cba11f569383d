"""`make bench`: how fast numbers come from Prometheus to a frame and from there to a screen, as ratios to a floor measured in the same run.

    python -m tests.benchmarks                  2, 64 and 512 series, the browser, many sessions; some ten minutes
    python -m tests.benchmarks --full           2, 64, 512 and 4 096 series over 1, 6 and 24 h; 10 000 alerts; 5 million log lines
    python -m tests.benchmarks --only browser   one part: feed, browser, sessions, alerts or logs

Starts a Prometheus of its own on generated history (see tsdb.py) and stops it. A missed line is said, row by row and
at the end, and is no failure of the command: on a shared machine a ratio is evidence and not a test.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests import services
from tests.benchmarks import alerts as alert_rows
from tests.benchmarks import browser as browser_rows
from tests.benchmarks import feed as feed_rows
from tests.benchmarks import logs as log_rows
from tests.benchmarks import sessions as session_rows
from tests.benchmarks import tsdb

PARTS = ("feed", "browser", "sessions", "alerts", "logs")


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
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be repeated (all)")
    asked = parser.parse_args()
    rounds, parts, missed = asked.rounds or (5 if asked.full else 7), asked.only or PARTS, 0
    if "feed" in parts:
        missed += _feed(asked.data.resolve(), rounds, full=asked.full)
    if "browser" in parts:
        paint = browser_rows.Report(rounds=rounds)
        missed += _printed(paint.rows(), paint)
    if "sessions" in parts:
        many = session_rows.Report()
        missed += _printed(many.rows(), many)
    if "alerts" in parts:
        alert_rows.run(10_000 if asked.full else 2_000)
    if "logs" in parts:
        with tempfile.TemporaryDirectory(prefix="bench-logs-") as directory:
            lines = log_rows.FULL_LINES if asked.full else log_rows.LINES
            long = log_rows.Report(Path(directory), lines=lines, rounds=rounds)
            missed += _printed(long.rows(), long)
    print(f"{missed} of the lines above missed" if missed else "every line reached")


def _feed(data: Path, rounds: int, *, full: bool) -> int:
    blocks = tsdb.make(data, (2, 64, 512, 4096) if full else (2, 64, 512), 24)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        (directory / "data").symlink_to(blocks)
        server = stack.enter_context(services.prometheus(directory))
        report = feed_rows.Report(server.url, server.child.pid, full=full, rounds=rounds)
        return _printed(report.rows(), report)


def _printed(
    rows: Iterator[str],
    report: feed_rows.Report | browser_rows.Report | session_rows.Report | log_rows.Report,
) -> int:
    """Print as measured; how many lines were missed."""
    for row in rows:
        print(row, flush=True)
    return report.missed


if __name__ == "__main__":
    main()
