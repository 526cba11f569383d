"""`moe-dashboard report`: a run, or a stretch of time, as one HTML file, with its numbers as CSV beside it."""

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard.settings import Settings

if TYPE_CHECKING:
    from dashboard.feed import Window

_ABOUT = "write a run or a stretch of time as one HTML file that opens without network"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `report`."""
    parser = subparsers.add_parser("report", help=_ABOUT, description=_ABOUT)
    parser.add_argument("--run", dest="run_id", metavar="ID", help="report this run, as long as it lived")
    moment = "now, now-6h, 2026-11-23T14:00 (UTC unless it says otherwise) or milliseconds since 1970"
    parser.add_argument("--from", dest="start", metavar="TIME", help=moment)
    parser.add_argument("--to", dest="end", metavar="TIME", help="the same; default: now")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="FILE.html, or FILE.zip with the CSV files in it"
    )  # fmt: skip
    parser.add_argument(
        "--csv", type=Path, metavar="FOLDER", help="write the numbers there too; made where missing"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the report; 0 written, 1 it could not be, 2 asked wrongly."""
    from dashboard.feed import Window

    if arguments.run_id is None and arguments.start is None:
        return _wrong("say what to report: --run ID, or --from TIME --to TIME.", 2)
    if arguments.output.suffix not in {".html", ".zip"}:
        return _wrong(f"{arguments.output} ends neither in .html nor in .zip.", 2)
    try:
        given = arguments.start is not None or arguments.end is not None
        window = Window.parse(moment(arguments.start), moment(arguments.end)) if given else None
    except ValueError as why:
        return _wrong(str(why), 2)
    return _write(arguments, settings, window)


def moment(text: str | None) -> str | None:
    """A time as the address of a page writes it; an ISO time becomes milliseconds.

    Raises:
        ValueError: it begins like an ISO time and is none.
    """
    if text is None or not re.match(r"\d{4}-\d\d", text):
        return text
    try:
        when = datetime.fromisoformat(text)
    except ValueError as why:
        raise ValueError(f"{text!r} is not a time such as 2026-11-23T14:00.") from why
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return f"{when.timestamp() * 1000:.0f}"


def _write(arguments: argparse.Namespace, settings: Settings, window: "Window | None") -> int:
    from dashboard.report import gather, incident, tables
    from dashboard.report import run as run_report
    from dashboard.sources import Sources

    sources = Sources(settings)
    zipped = arguments.output.suffix == ".zip"
    with_numbers = zipped or arguments.csv is not None
    try:
        if window is not None and arguments.run_id is None:
            found = gather.of_range(sources, window)
            page, numbers = incident.page(found), incident.tables(found) if with_numbers else ()
        else:
            of_run = gather.of_run(sources, arguments.run_id, window)
            page, numbers = run_report.page(of_run), run_report.tables(of_run) if with_numbers else ()
        content = tables.zipped(page, numbers) if zipped else page.encode()
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_bytes(content)
        written = [arguments.output]
        if arguments.csv is not None:
            written += tables.write(arguments.csv, numbers)
    except gather.NoSuchRun as why:
        return _wrong(why.args[0], 1)
    except OSError as why:
        return _wrong(f"{why.filename or arguments.output} cannot be written ({why.strerror}).", 1)
    finally:
        sources.feed.close()
    for path in written:
        print(path)
    return 0


def _wrong(sentence: str, status: int) -> int:
    print(f"moe-dashboard: {sentence}", file=sys.stderr)
    return status
