"""`moe-dashboard benchmark`: run, list, show, compare, report. For people at a terminal and for CI.

Progress goes to standard error; with --json the last line of standard output is one JSON document.
Exit status: 0 fine; 1 the run or one of its cells failed, it regressed, or its result could not be pushed; 2 asked wrongly.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dashboard.benchmark import comparison, exports, judging, rebaseline
from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.progress import Progress
from dashboard.benchmark.runs import Benchmarks, NoSuchRun, RunView
from dashboard.benchmark.spec import PROFILES, Side
from dashboard.benchmark.starting import CannotStart
from dashboard.catalogue.units import SAMPLES_PER_SECOND, SECONDS
from dashboard.settings import Settings

_LOOK_EVERY_SECONDS = 0.2
_SAY_EVERY_SECONDS = 2.0
_PAIRS = 10


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `benchmark` and its own subcommands."""
    about = "measure a model: run, list, show, compare, report"
    parser = subparsers.add_parser("benchmark", help=about, description=about)
    commands = parser.add_subparsers(metavar="ACTION", required=True)

    def command(
        name: str, about: str, run: Callable[[argparse.Namespace, Benchmarks], int]
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(run=lambda arguments, settings: _guarded(run, arguments, settings), push=None)
        return added

    run = command("run", "measure a target and wait for the result", _run)
    run.add_argument("target", help="a name from the setting benchmark_targets")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda or the UUID of a GPU")
    run.add_argument("--profile", default="quick", choices=PROFILES, help="how much is measured")
    run.add_argument("--backend", default="local", choices=("local", "slurm"), help="where it runs")
    run.add_argument("--owner", default="", help="who asks; shown to others who wait")
    run.add_argument(
        "--against", metavar="REVISION", help="re-baseline: alternate with this commit in one lease"
    )
    run.add_argument(
        "--pairs", type=int, default=_PAIRS, help="launches a side with --against (default %(default)s)"
    )
    run.add_argument("--no-recheck", action="store_true", help="do not measure cells again that look changed")
    run.add_argument(
        "--push", metavar="URL", help="push the result to this Pushgateway (default: benchmark_push_url)"
    )
    run.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML for CI")
    run.add_argument("--json", action="store_true", help="print the result as one JSON document")

    listed = command("list", "every run, newest first", _list)
    listed.add_argument("--json", action="store_true", help="print a JSON document")

    show = command("show", "one run: state, progress, result", _show)
    show.add_argument("run_id", metavar="ID")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON document")
    form.add_argument("--csv", action="store_true", help="print the cells as CSV")

    compare = command("compare", "is the new run slower than the old one, or is that noise?", _compare)
    compare.add_argument("old", metavar="OLD", nargs="?", help="without it: the earlier comparable runs")
    compare.add_argument("new", metavar="NEW")
    compare.add_argument("--json", action="store_true", help="print a JSON document")

    report = command("report", "one run as a self-contained HTML file", _report)
    report.add_argument("run_id", metavar="ID")
    report.add_argument("--compare", metavar="OLD", help="put this earlier run and the verdicts beside it")
    report.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")

    cancel = command("cancel", "ask a run to stop", _cancel)
    cancel.add_argument("run_id", metavar="ID")


def _guarded(
    action: Callable[[argparse.Namespace, Benchmarks], int], arguments: argparse.Namespace, settings: Settings
) -> int:
    benchmarks = Benchmarks.of(settings)
    arguments.push = arguments.push or settings.benchmark_push_url
    try:
        return action(arguments, benchmarks)
    except (CannotStart, NoSuchRun, OSError) as why:
        print(f"moe-dashboard benchmark: {why}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace, benchmarks: Benchmarks) -> int:
    if arguments.backend == "slurm" and arguments.against:
        raise CannotStart(
            "--against alternates two working trees of this machine; it has no --backend slurm."
        )
    with ExitStack() as stack:
        sides: tuple[Side, ...] = ()
        adjust = None
        if arguments.against:
            adjust = rebaseline.profile(arguments.profile, arguments.pairs)
            sides = stack.enter_context(rebaseline.worktrees(Path.cwd(), arguments.against))
        run_id = benchmarks.start(
            arguments.target,
            arguments.profile,
            arguments.device,
            owner=arguments.owner,
            sides=sides,
            adjust=adjust,
            backend=arguments.backend,
            recheck=not arguments.no_recheck,
        )
        _say(f"{run_id} started; its files are in {benchmarks.directory(run_id).path}")
        try:
            view = _wait(benchmarks, run_id)
        except BaseException:  # Ctrl-C or SIGTERM: who starts here waits here, and takes the run along
            benchmarks.cancel(run_id, "the command line")
            _wait(benchmarks, run_id)
            raise
    if arguments.junit:
        arguments.junit.write_text(
            exports.as_junit(arguments.target, view.report, view.error), encoding="utf-8"
        )
    judged = None
    if view.report is not None and "verdict" in view.report:
        judged = judging.from_json(view.report["verdict"])
    if arguments.json:
        _print_json(_plain(view) | ({"comparison": asdict(judged)} if judged is not None else {}))
    elif view.report is None:
        _say(view.error)
    else:
        print(exports.as_markdown(view.report), end="")
        if judged is not None:
            print("\n" + exports.comparison_as_markdown(judged), end="")
    pushed = _push(arguments.push, view) if arguments.push else True
    regressed = judged is not None and judged.word == "regressed"
    fine = view.state == "done" and not view.summary.failed_cells and not regressed and pushed
    return 0 if fine else 1


def _push(url: str, view: RunView) -> bool:
    """Push a result; a run without one leaves what the gateway has, whose age says it."""
    from dashboard.benchmark import collector

    if view.state != "done":
        _say(f"nothing is pushed: the run is {view.summary.shown_state}")
        return True
    try:
        collector.push(url, view.summary)
    except OSError as why:
        _say(f"the result could not be pushed to the Pushgateway ({why})")
        return False
    return True


def _wait(benchmarks: Benchmarks, run_id: str) -> RunView:
    said, said_at = "", 0.0
    while True:
        view = benchmarks.run(run_id)
        if view.state in TERMINAL:
            _say(f"{run_id}: {view.summary.shown_state}")
            return view
        line = _line(view.progress)
        if line != said and time.monotonic() - said_at >= _SAY_EVERY_SECONDS:
            said, said_at = line, time.monotonic()
            _say(line)
        time.sleep(_LOOK_EVERY_SECONDS)


def _line(progress: Progress) -> str:
    if progress.queue_position is not None:
        holder = progress.queue_holder or {}
        who = f"; {holder.get('owner') or 'somebody'} has the device" if holder.get("run_id") else ""
        when = (
            ""
            if progress.seconds_to_start is None
            else f", about {SECONDS.format(round(progress.seconds_to_start))}"
        )
        return f"waiting for the device, number {progress.queue_position} in the queue{who}{when}"
    parts = [progress.phase]
    if progress.cells_total:
        parts.append(f"{progress.cells_done} of {progress.cells_total} cells")
    if progress.cell:
        median = "" if progress.p50_seconds is None else f": {SECONDS.format(progress.p50_seconds)}"
        parts.append(progress.cell + median)
    if progress.seconds_left is not None:
        parts.append(f"about {SECONDS.format(round(progress.seconds_left))} left")
    return ", ".join(parts)


def _list(arguments: argparse.Namespace, benchmarks: Benchmarks) -> int:
    known = benchmarks.runs()
    if arguments.json:
        _print_json([asdict(summary) | {"shown_state": summary.shown_state} for summary in known])
        return 0
    for summary in known:
        result = (
            f"{SECONDS.format(summary.p50_seconds)}, {SAMPLES_PER_SECOND.format(summary.samples_per_second)}"
            if summary.p50_seconds is not None
            else summary.sentence
        )
        print(f"{summary.run_id}  {summary.shown_state:9}  {summary.device:4}  {result}")
    if not known:
        _say("No benchmark has been run yet.")
    return 0


def _show(arguments: argparse.Namespace, benchmarks: Benchmarks) -> int:
    view = benchmarks.run(arguments.run_id)
    if arguments.json:
        _print_json(_plain(view))
    elif view.report is not None:
        print(exports.as_csv(view.report) if arguments.csv else exports.as_markdown(view.report), end="")
    else:
        print(view.error or f"{view.state}: {_line(view.progress)}")
    return 0


def _compare(arguments: argparse.Namespace, benchmarks: Benchmarks) -> int:
    new = _finished(benchmarks, arguments.new)
    if arguments.old is not None:
        judged = comparison.compare(_finished(benchmarks, arguments.old), new)
    else:
        found = judging.judge(benchmarks.earlier(arguments.new), new)
        if found is None:
            raise CannotStart(
                "No earlier run compares with this one, or it has too few launches. Name the run to compare with."
            )
        judged = found
    if arguments.json:
        _print_json(asdict(judged))
    else:
        print(exports.comparison_as_markdown(judged), end="")
    return 1 if judged.word == "regressed" else 0


def _report(arguments: argparse.Namespace, benchmarks: Benchmarks) -> int:
    from dashboard.benchmark import report_html

    report = _finished(benchmarks, arguments.run_id)
    old = _finished(benchmarks, arguments.compare) if arguments.compare else None
    judged = None
    if old is not None:
        judged = comparison.compare(old, report)
    elif "verdict" in report:
        judged = judging.from_json(report["verdict"])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(report_html.page(report, judged, old), encoding="utf-8")
    _say(f"{arguments.output} written")
    return 0


def _cancel(arguments: argparse.Namespace, benchmarks: Benchmarks) -> int:
    state = benchmarks.cancel(arguments.run_id, "the command line")
    _say("asked to stop" if state not in TERMINAL else f"it is {state} already")
    return 0


def _finished(benchmarks: Benchmarks, run_id: str) -> dict[str, Any]:
    view = benchmarks.run(run_id)
    if view.report is None:
        raise CannotStart(f"Run {run_id} has no result; it is {view.summary.shown_state}.")
    return view.report


def _plain(view: RunView) -> dict[str, Any]:
    return {
        "run_id": view.summary.run_id,
        "state": view.state,
        "summary": asdict(view.summary),
        "progress": asdict(view.progress),
        "error": view.error,
        "report": view.report,
    }


def _print_json(document: Any) -> None:
    print(json.dumps(document, default=str, allow_nan=False))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
