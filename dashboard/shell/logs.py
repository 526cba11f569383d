"""Blocks of the Logs page: the structured log of the runs, newest first, bounded, narrowed by what the URL holds.

Reads through `collectors.logs` alone. A line of a log is outside text: it is shown in a table, as text or as code,
never as Markdown.
"""

import glob
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from collectors.logs import LogLine, LogPage, tail
from dashboard.shell import states
from dashboard.shell import view as views
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain
from dashboard.shell.view import View
from dashboard.sources import Sources, current

LEVELS = ("debug", "info", "warning", "error", "critical")
LIMITS = (200, 500, 2000)
WRITTEN = ("generations.jsonl", "events.jsonl")  # the logs in a run's directory
# What is said of a line in one cell: everything that has no column of its own.
ELSEWHERE = frozenset({"event", "level", "timestamp", "time", "logger", "run_id", "generation", "exception"})
MOST_SAID = 300  # characters of a line in the table; the whole of it stands below, on selection


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the viewer asked for."""

    run_id: str | None
    level: str | None
    event: str | None
    text: str | None
    generation: int | None
    limit: int


def filters(view: View) -> None:
    """Run, level, event, text and generation; the URL holds them."""
    runs = {"": "All runs"} | {
        run.run_id: f"{run.name} · {run.run_id}" for run in current().feed.runs(view.window).runs
    }
    if view.run:
        runs.setdefault(view.run, f"{view.run} (not seen in this window)")
    picker = f"logs-run-{view.run or ''}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Run", list(runs), index=list(runs).index(view.run or ""), format_func=lambda key: runs[key], key=picker, width=260,
            on_change=lambda: views.choose(run=st.session_state[picker] or None),
        )  # fmt: skip
        st.selectbox(
            "Level", ("", *LEVELS), format_func=lambda name: name or "every level", key="level", bind="query-params", width=140,
        )  # fmt: skip
        st.text_input("Event", key="event", bind="query-params", placeholder="any", width=220)
        st.text_input("Text", key="text", bind="query-params", placeholder="anywhere in the line", width=220)
        st.number_input(
            "Generation", min_value=0, step=1, value=None, key="generation", bind="query-params", placeholder="any", width=150
        )  # fmt: skip
        st.selectbox("Lines", LIMITS, key="lines", bind="query-params", width=100)
        st.toggle("Follow", value=True, key="follow", help="Look again at each refresh. Off, the lines stand still to be read.")  # fmt: skip


def lines(look: Look) -> None:
    """The last lines that pass the filters, the chosen one in full, and the errors among them grouped by type."""
    wanted = _wanted(look.view)
    paths = files(look.sources, wanted.run_id)
    if not paths:
        states.empty(
            "There are no log files here yet. Set MOE_DASHBOARD_RUNS_DIR to the folder observers write into, "
            "or MOE_DASHBOARD_LOG_FILES to other structured logs."
        )
        return
    found = _found(paths, wanted)
    _summary(found, wanted, len(paths))
    if found.lines:
        _table(found.lines, look)
        _errors(found.lines, look)
    _malformed(found)


def files(sources: Sources, run_id: str | None) -> list[Path]:
    """The log files of one run, or of every run, and the operator's own beside them."""
    root = sources.settings.runs_dir
    found: list[Path] = []
    if root is not None:
        folders = [root / run_id] if run_id and _is_name(run_id) else _folders(root)
        found = [folder / name for folder in folders for name in WRITTEN if (folder / name).is_file()]
    for pattern in sources.settings.log_files:
        found += [Path(path) for path in sorted(glob.glob(pattern))]  # noqa: PTH207  the pattern may be absolute
    return found


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(folder for folder in root.iterdir() if folder.is_dir())
    except OSError:
        return []


def _is_name(run_id: str) -> bool:
    """A run names a folder of the runs directory and nothing outside it."""
    return run_id not in (".", "..") and "/" not in run_id and "\0" not in run_id


def _wanted(view: View) -> Wanted:
    state = st.session_state
    generation = state.get("generation")
    return Wanted(
        run_id=view.run,
        level=state.get("level") or None,
        event=state.get("event") or None,
        text=state.get("text") or None,
        generation=None if generation is None else int(generation),
        limit=state.get("lines") or LIMITS[0],
    )


def _found(paths: Sequence[Path], wanted: Wanted) -> LogPage:
    """The newest lines; to a viewer who does not follow, the ones that were there when the filter was chosen."""
    held: tuple[Wanted, LogPage] | None = st.session_state.get("logs-held")
    if held is not None and held[0] == wanted and not st.session_state.get("follow", True):
        return held[1]
    page = tail(
        paths, limit=wanted.limit, level=wanted.level, event=wanted.event, text=wanted.text, run_id=wanted.run_id,
        generation=wanted.generation,
    )  # fmt: skip
    st.session_state["logs-held"] = (wanted, page)
    return page


def _summary(page: LogPage, wanted: Wanted, files_count: int) -> None:
    narrowed = wanted != Wanted(None, None, None, None, None, wanted.limit)
    if not page.lines:
        older = "" if page.exhausted else " Older lines were not searched: narrow the filter by run."
        states.empty(("No line passes this filter." if narrowed else "The logs are empty.") + older)
        return
    where = f"{files_count} file{'s' if files_count != 1 else ''}"
    reach = "" if page.exhausted else " · older lines are not shown"
    st.caption(f"{len(page.lines)} lines, newest first, from {where}{reach}")


def _table(lines: Sequence[LogLine], look: Look) -> None:
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime([line.time for line in lines], utc=True)
            .tz_convert(look.view.zone)
            .tz_localize(None),
            "level": [line.level for line in lines],
            "event": [line.event for line in lines],
            "run": [_text(line.fields.get("run_id")) for line in lines],
            "generation": [_text(line.fields.get("generation")) for line in lines],
            "says": [says(line) for line in lines],
        }
    )
    chosen = st.dataframe(
        frame, hide_index=True, height=min(620, 38 + 35 * len(frame)), key="logs-table", on_select="rerun", selection_mode="single-row",
        column_config={
            "time": st.column_config.DatetimeColumn("time", format="DD MMM HH:mm:ss.SSS", width="medium"),
            "level": st.column_config.TextColumn("level", width="small"),
            "generation": st.column_config.TextColumn("generation", width="small"),
            "says": st.column_config.TextColumn("says", width="large"),
        },
        alt=f"{len(frame)} log lines, newest first",
    )  # fmt: skip
    for row in chosen["selection"]["rows"]:
        if row < len(lines):
            _whole(lines[row])


def says(line: LogLine) -> str:
    """What a line says beside its event: its other fields, in one row of text."""
    parts = [f"{name}={_text(value)}" for name, value in line.fields.items() if name not in ELSEWHERE]
    text = " ".join(parts)
    return text if len(text) <= MOST_SAID else text[:MOST_SAID] + "…"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _whole(line: LogLine) -> None:
    with st.container(border=True):
        st.caption(plain(f"{line.path}, byte {line.offset}"))
        if line.fields.get("exception"):
            st.code(exception_text(line.fields["exception"]), language=None)
        st.code(json.dumps(dict(line.fields), indent=2, ensure_ascii=False, default=str), language="json")


def exception_text(exception: object) -> str:
    """An exception as a traceback: a string as it is; structlog's structured form, one frame a line."""
    if isinstance(exception, str):
        return exception
    if not isinstance(exception, list):
        return json.dumps(exception, indent=2, ensure_ascii=False, default=str)
    rows = []
    for part in exception:
        if not isinstance(part, dict):
            rows.append(str(part))
            continue
        frames = part.get("frames")
        rows += [
            f"  {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
            for frame in (frames if isinstance(frames, list) else [])
            if isinstance(frame, dict)
        ]
        rows.append(f"{part.get('exc_type')}: {part.get('exc_value')}")
    return "\n".join(rows)


def _errors(lines: Sequence[LogLine], look: Look) -> None:
    """The errors among the shown lines, by type, with first and last."""
    kinds: dict[str, list[LogLine]] = {}
    for line in lines:
        if line.level in ("error", "critical"):
            kinds.setdefault(_text(line.fields.get("error_type")) or line.event or "error", []).append(line)
    if not kinds:
        return
    st.markdown("**Errors among these lines**")
    for kind, members in sorted(kinds.items(), key=lambda item: -len(item[1])):
        times = [line.time.timestamp() for line in members if line.time is not None]
        when = (
            f" · first {clock(min(times), look.view.zone)} · last {clock(max(times), look.view.zone)}"
            if times
            else ""
        )
        with st.expander(plain(f"{kind}: {len(members)}{when}", 200)):
            _whole(members[0])


def _malformed(page: LogPage) -> None:
    if not page.malformed:
        return
    count = page.malformed
    shown = st.toggle(
        f"{count} malformed line{'s' if count != 1 else ''} skipped. Show", key="malformed",
        help="Lines that are not a JSON object: cut off when a process died, or written by something else.",
    )  # fmt: skip
    if shown:
        pass
