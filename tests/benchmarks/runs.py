"""`python -m tests.benchmarks.runs`: how long hundreds of run directories take to be listed, filtered and laid over each other.

Copies of a recorded run under other names, each with its own configuration and start; read through the feed as pages do.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamlit.testing.v1 import AppTest

from collectors.runs import RunsDirectory
from dashboard import settings as configuration
from dashboard import sources
from dashboard.feed import Feed, Window, choosing
from dashboard.feed.axis import PARTS
from dashboard.figures import overlay
from dashboard.figures.overlay import Drawing
from dashboard.settings import Settings
from dashboard.shell import compare
from dashboard.verdict import progress
from tests.pages.conftest import _one_page as one_page

RECORDED = Path(__file__).parents[1] / "recordings" / "runs" / "healthy"
WINDOW = Window("now-1h", "now")


def make(directory: Path, count: int) -> None:
    """`count` runs, the newest started now."""
    lines = (RECORDED / "generations.jsonl").read_bytes()
    record = json.loads((RECORDED / "run.json").read_text())
    now = datetime.now(UTC)
    for number in range(count):
        folder = directory / f"run-{number:04d}"
        folder.mkdir(parents=True)
        started = (now - timedelta(minutes=10 * number)).isoformat().replace("+00:00", "Z")
        said = record | {"run_id": folder.name, "run_name": f"run {number}", "started_at": started}
        said["config"] = record["config"] | {"seed": number, "population": 24 + number % 5}
        (folder / "run.json").write_text(json.dumps(said))
        (folder / "generations.jsonl").write_bytes(lines)


def seconds(work: Callable[[], object], rounds: int = 7) -> tuple[float, float]:
    """Median wall time, and median processor time of this process: the one to read on a busy machine."""
    wall, cpu = [], []
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(cpu)


def grow(directory: Path, number: int) -> None:
    """One generation more of one run."""
    log = directory / f"run-{number:04d}" / "generations.jsonl"
    line = json.loads(log.read_bytes().splitlines()[-1])
    line["generation"] += 1
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.runs", description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-runs-") as folder:
        directory = Path(folder)
        make(directory, asked.runs)
        feed = Feed(None, RunsDirectory(directory, PARTS), refresh_seconds=0.0)
        generations = len(RECORDED.joinpath("generations.jsonl").read_bytes().splitlines())
        print(f"{asked.runs} runs of {generations} generations\n\n| what | wall | CPU |\n|---|---|---|")

        def row(what: str, taken: tuple[float, float]) -> None:
            print(f"| {what} | {1000 * taken[0]:,.1f} ms | {1000 * taken[1]:,.1f} ms |", flush=True)

        row("listed for the first time, every log read", seconds(lambda: feed.runs(WINDOW), 1))
        row("listed again, nothing new", seconds(lambda: feed.runs(WINDOW)))
        row("listed again, one run a generation on", seconds(lambda: (grow(directory, 3), feed.runs(WINDOW))))
        known = feed.runs(WINDOW).runs
        terms = choosing.read("state:finished seed>=100 best>0.9 population=24")
        row(
            "narrowed by an expression of four terms",
            seconds(lambda: [run for run in known if choosing.matches(run, terms)]),
        )
        row("rows of the table", seconds(lambda: compare.rows(known, time.time(), None)))
        chosen = known[:12]
        row("12 runs read whole, first time", seconds(lambda: [feed.whole(run, WINDOW) for run in chosen], 1))
        row("12 runs read whole, again", seconds(lambda: [feed.whole(run, WINDOW) for run in chosen]))
        frames = {run.name: feed.whole(run, WINDOW).frame for run in chosen}
        first, second = list(frames)[:2]
        row(
            "12 runs drawn with an area", seconds(lambda: overlay.draw(frames, Drawing(area=(first, second))))
        )
        row(
            "mean difference of 11 runs to one",
            seconds(
                lambda: [progress.between(frame, frames[first], "generation") for frame in frames.values()]
            ),
        )
        feed.close()
        for count in (10, asked.runs):
            page = Path(folder) / f"page-{count}"
            make(page / "runs", count)
            chosen_settings = Settings(data_dir=page / "data", runs_dir=page / "runs", refresh_seconds=1.0)
            configuration.use(chosen_settings)
            sources._current[:] = [sources.Sources(chosen_settings)]
            app = AppTest.from_function(one_page, kwargs={"name": "evolution"}, default_timeout=300)
            app.query_params["from"] = "now-30d"
            row(f"the Evolution page's script with {count} runs, first time", seconds(app.run, 1))
            row(f"the Evolution page's script with {count} runs, again", seconds(app.run))
            sources.current().feed.close()


if __name__ == "__main__":
    main()
