"""A report as rows, CSV, Markdown and JUnit. Pure: report in, text out; every number with its unit."""

import csv
import io
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from dashboard.benchmark.comparison import Comparison
from dashboard.catalogue.units import SAMPLES_PER_SECOND, SECONDS
from dashboard.spreadsheet import tame

Report = Mapping[str, Any]

COLUMNS = (
    "cell", "status", "reason", "p50_seconds", "p50_low_seconds", "p50_high_seconds", "p95_seconds", "p99_seconds",
    "n", "launches", "samples_per_second", "tokens_per_second", "enqueue_seconds", "replay_p50_seconds",
    "first_call_seconds", "compile_seconds", "graph_breaks", "peak_memory_bytes", "error_relative",
    "share_of_peak", "share_of_floor", "bound", "power_watts", "joules_per_token", "flags",
)  # fmt: skip


def rows(report: Report) -> list[dict[str, Any]]:
    """One flat row per cell; None where there is no number."""
    found = []
    for cell in report["cells"]:
        p50 = cell.get("p50_seconds") or {}
        roofline = cell.get("roofline") or {}
        compiled, watched = cell.get("compiled") or {}, cell.get("gpu") or {}
        peaks = [value for value in (cell.get("peak_memory") or {}).values() if value is not None]
        found.append(
            {
                "cell": cell["key"],
                "status": cell["status"],
                "reason": cell["reason"],
                "p50_seconds": p50.get("value"),
                "p50_low_seconds": p50.get("low"),
                "p50_high_seconds": p50.get("high"),
                "p95_seconds": (cell.get("p95_seconds") or {}).get("value"),
                "p99_seconds": (cell.get("p99_seconds") or {}).get("value"),
                "n": (cell.get("p99_seconds") or {}).get("n"),
                "launches": cell["k"],
                "samples_per_second": cell.get("samples_per_second"),
                "tokens_per_second": cell.get("tokens_per_second"),
                "enqueue_seconds": cell.get("enqueue_seconds"),
                "replay_p50_seconds": cell.get("replay_p50_seconds"),
                "first_call_seconds": cell.get("first_call_seconds"),
                "compile_seconds": compiled.get("seconds"),
                "graph_breaks": compiled.get("graph_breaks"),
                "peak_memory_bytes": max(peaks) if peaks else None,
                "error_relative": cell.get("error_relative"),
                "share_of_peak": roofline.get("share_of_peak"),
                "share_of_floor": roofline.get("share_of_floor"),
                "bound": roofline.get("bound"),
                "power_watts": watched.get("power_watts"),
                "joules_per_token": watched.get("joules_per_token"),
                "flags": ", ".join(cell.get("flags", ())),
            }
        )
    return found


def as_csv(report: Report) -> str:
    """CSV with a header; text that a spreadsheet would run as a formula is quoted with an apostrophe."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(report):
        writer.writerow({name: tame(value) for name, value in row.items()})
    return out.getvalue()


def quantile_text(found: Mapping[str, Any] | None) -> str:
    """A quantile for people: the number, or what little is known where n is too small to bound it."""
    if not found or not found.get("n"):
        return "–"
    if found["value"] is not None:
        return SECONDS.format(found["value"])
    low = found.get("low")
    return (
        f"n={found['n']} too small" if low is None else f"≥ {SECONDS.format(low)} (n={found['n']} too small)"
    )


def median_text(cell: Mapping[str, Any]) -> str:
    """The median with half its interval, in per cent."""
    p50 = cell.get("p50_seconds") or {}
    if p50.get("value") is None:
        return "–"
    if p50.get("low") is None or p50.get("high") is None:
        return SECONDS.format(p50["value"])
    return f"{SECONDS.format(p50['value'])} ± {(p50['high'] - p50['low']) / 2 / p50['value']:.1%}"


def remarks(cell: Mapping[str, Any]) -> str:
    """What to know of a cell before believing its number, in one line; why there is none, where there is none."""
    if cell["status"] != "ok":
        return f"{cell['status']}: {cell['reason']}"
    said = list(cell.get("flags", ()))
    if "launch-bound" in said:
        replay = cell.get("replay_p50_seconds")
        said.append(f"handing a call over takes {SECONDS.format(cell.get('enqueue_seconds'))}")
        if replay is not None:
            said.append(f"replayed without the host {SECONDS.format(replay)}")
        elif cell.get("replay_reason"):
            said.append(f"no replay: {cell['replay_reason']}")
    compiled = cell.get("compiled")
    if compiled:
        took = SECONDS.format(compiled["seconds"])
        breaks = compiled["graph_breaks"]
        said.append(f"compiled in {took}, {breaks or 'no'} graph break{'' if breaks == 1 else 's'}")
        said += compiled["break_reasons"][:1]
    joules = (cell.get("gpu") or {}).get("joules_per_token")
    if joules is not None:
        said.append(f"{joules:.3g} J a token")
    return ", ".join(said)


def as_markdown(report: Report) -> str:
    """A table for a pull request."""
    head = (
        f"**{_cell(report['target'])}**, {report['profile']}, {_cell(report['device']['name'])}, "
        f"{report['launches_done']} of {report['launches_planned']} launches, run `{report['run_id']}`"
    )
    lines = [
        head,
        "",
        "| cell | p50 | p95 | p99 | samples/s | bound | |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in report["cells"]:
        rate = cell.get("samples_per_second")
        bound = (cell.get("roofline") or {}).get("bound") or "–"
        lines.append(
            f"| {_cell(cell['key'])} | {median_text(cell)} | {quantile_text(cell.get('p95_seconds'))} "
            f"| {quantile_text(cell.get('p99_seconds'))} | {SAMPLES_PER_SECOND.format(rate)} | {bound} | {_cell(remarks(cell))} |"
        )
    return "\n".join(lines) + "\n"


def comparison_as_markdown(found: Comparison) -> str:
    """The verdicts as a table."""
    lines = [found.sentence, "", "| cell | verdict | new ÷ old (99 %) | why |", "|---|---|---|---|"]
    for verdict in found.verdicts:
        ratio = "–" if verdict.ratio is None else f"{verdict.ratio:.3f}"
        if verdict.low is not None and verdict.high is not None:
            ratio += f" ({verdict.low:.3f} to {verdict.high:.3f})"
        lines.append(f"| {_cell(verdict.key)} | {verdict.word} | {ratio} | {_cell(verdict.sentence)} |")
    return "\n".join(lines) + "\n"


def _cell(text: object) -> str:
    return escape(" ".join(str(text).split())).replace("|", "\\|")


def as_junit(target: str, report: Report | None, error: str) -> str:
    """JUnit XML for CI: a test case per cell; a run that did not finish is one error."""
    if report is None:
        body = (
            f'  <testcase classname={quoteattr(target)} name="run">\n'
            f"    <error message={quoteattr(_printable(error.partition(chr(10))[0]))}>{escape(_printable(error))}</error>\n"
            "  </testcase>\n"
        )
        return _suite(target, 1, 0, 1, 0, body)
    cases, failures, skipped = [], 0, 0
    verdicts = {said["key"]: said for said in (report.get("verdict") or {}).get("verdicts", ())}
    for cell in report["cells"]:
        seconds = (cell.get("p50_seconds") or {}).get("value") or 0.0
        head = f'  <testcase classname={quoteattr(target)} name={quoteattr(cell["key"])} time="{seconds:.9f}"'
        judged = verdicts.get(cell["key"]) or {}
        if cell["status"] == "ok" and judged.get("word") == "regressed":
            failures += 1
            message = quoteattr(_printable(f"regressed: {judged['sentence']}"))
            cases.append(f"{head}>\n    <failure message={message}/>\n  </testcase>\n")
            continue
        if cell["status"] == "ok":
            cases.append(f"{head}/>\n")
            continue
        kind = "skipped" if cell["status"] == "skipped" else "failure"
        skipped, failures = skipped + (kind == "skipped"), failures + (kind == "failure")
        message = quoteattr(_printable(f"{cell['status']}: {cell['reason']}"))
        cases.append(f"{head}>\n    <{kind} message={message}/>\n  </testcase>\n")
    return _suite(target, len(cases), failures, 0, skipped, "".join(cases))


def _suite(target: str, tests: int, failures: int, errors: int, skipped: int, body: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name={quoteattr(target)} tests="{tests}" failures="{failures}" errors="{errors}" '
        f'skipped="{skipped}">\n{body}</testsuite>\n'
    )


def _printable(text: str) -> str:
    """Without the control characters XML cannot carry."""
    return "".join(
        c for c in text if c in "\t\n" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff"
    )
