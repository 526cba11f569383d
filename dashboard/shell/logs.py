"""Blocks of the Logs page: the structured log of the runs, newest first, bounded, narrowed by what the URL holds.

Reads files through `collectors.logs`, and Loki, where one is configured, by the same call. A line of a log is outside text: it is shown in a table, as text or as code,
never as Markdown.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from collectors.logs import LEVELS, LogLine, LogPage, tail
from collectors.logs import files as log_files
from collectors.traces import trace_id_of
from dashboard.catalogue.units import BYTES
from dashboard.shell import address, links, states
from dashboard.shell import view as views
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain, visible
from dashboard.shell.view import View
from dashboard.sources import Sources, current

LIMIT = 200  # lines on the page unless the viewer asks for more
MOST_LINES = 5000  # a page stays usable
BUDGET_BYTES = 64 << 20  # read for one look at most: a refresh must not search gigabytes again and again
WRITTEN = ("generations.jsonl", "events.jsonl")  # the logs in a run's directory
# What is said of a line in one cell: everything that has no column of its own.
ELSEWHERE = frozenset({"event", "level", "timestamp", "time", "logger", "run_id", "generation", "exception"})
NO_LOGS = (
    "There are no log files here yet. Set MOE_DASHBOARD_RUNS_DIR to the folder observers write into, "
    "MOE_DASHBOARD_LOG_FILES to other structured logs, or MOE_DASHBOARD_LOKI_URL to a Loki that has them."
)
MOST_SAID = 300  # characters of a line in the table; the whole of it stands below, on selection

Tail = Callable[..., LogPage]  # the keywords of `collectors.logs.tail`


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the viewer asked for."""

    run_id: str | None
    level: str | None
    event: str | None
    text: str | None
    generation: int | None
    trace_id: str | None
    limit: int

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out on purpose."""
        return (
            any((self.run_id, self.level, self.event, self.text, self.trace_id))
            or self.generation is not None
        )


def filters(view: View) -> None:
    """Run, level, event, text, generation and trace; the address holds them."""
    runs = {run.run_id: f"{run.name} · {run.run_id}" for run in current().feed.runs(view.window).runs}
    if view.run:
        runs.setdefault(view.run, f"{view.run} (not seen in this window)")
    st.session_state["logs-run"] = view.run or ""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Run",
            ["", *runs],
            format_func=lambda key: runs.get(key, "All runs"),
            key="logs-run",
            width=240,
            on_change=lambda: views.choose(run=st.session_state["logs-run"] or None),
        )
        address.select(
            "Level",
            {"": "every level"} | {level: f"{level} and above" for level in LEVELS[1:]},
            "level",
            width=190,
        )
        address.text("Event", "event", placeholder="exactly", width=200)
        address.text("Text", "text", placeholder="anywhere in the line", width=220)
        address.text("Generation", "generation", width=110)
        address.text("Trace", "trace", placeholder="trace id", width=150)
        if current().loki is not None:
            address.select("From", {"": "files", "loki": "Loki"}, "source", width=110)
        address.select("Lines", {"": "200", "500": "500", "2000": "2000"}, "lines", width=90)
        st.toggle(
            "Follow",
            value=True,
            key="follow",
            help="Look again at each refresh. Off, the lines stand still to be read.",
        )
    if address.held("generation") and _whole_number(address.held("generation")) is None:
        st.warning("The generation is not a whole number; lines of every generation are shown.")


def lines(look: Look) -> None:
    """The last lines that pass the filters, the chosen one in full, and the errors among them grouped by type."""
    wanted = _wanted(look.view)
    source = _source(look.sources, wanted.run_id)
    if source is None:
        states.empty(NO_LOGS)
        return
    found = _found(source, wanted)
    for path, why in found.unreadable.items():
        st.warning(plain(f"{path} cannot be read: {why}"), icon=":material/cloud_off:")
    _summary(found, wanted)
    if found.lines:
        _table(found.lines, look)
        _errors(found.lines, look)
    _older(source, wanted, found)
    _malformed(source, found)


def of_trace(look: Look, trace_id: str) -> None:
    """The lines of one trace."""
    source = _source(look.sources, None)
    if source is None:
        states.empty(NO_LOGS)
        return
    found = source(limit=LIMIT, trace_id=trace_id)
    if not found.lines:
        reach = (
            "" if found.exhausted else f" in the newest {BYTES.format(float(found.scanned_bytes))} of them"
        )
        states.empty(f"No log line names this trace{reach}.")
        return
    st.caption(f"{len(found.lines)} log lines of this trace, newest first")
    _table(found.lines, look)


def _source(sources: Sources, run_id: str | None) -> Tail | None:
    """Where lines are looked for: Loki, if the viewer chose it or there are no files; None where there is nothing."""
    paths = files(sources, run_id)
    if sources.loki is not None and (address.held("source") == "loki" or not paths):
        return sources.loki.tail
    return partial(_of_files, sources, paths) if paths else None


def _of_files(sources: Sources, paths: Sequence[Path], **wanted: Any) -> LogPage:
    """Lines of files; a generation is looked up in the index, so that an early one of a long log is found at once."""
    if wanted.get("generation") is not None:
        sources.log_index.update(paths)
    return tail(paths, budget_bytes=BUDGET_BYTES, index=sources.log_index, **wanted)


def files(sources: Sources, run_id: str | None) -> list[Path]:
    """The log files of one run, or of every run, and the operator's own beside them, those that exist."""
    root = sources.settings.runs_dir
    written: list[Path] = []
    if root is not None:
        folders = [root / run_id] if run_id and _is_name(run_id) else _folders(root)
        written = [folder / name for folder in folders for name in WRITTEN]
    return log_files([*written, *sources.settings.log_files])


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(folder for folder in root.iterdir() if folder.is_dir())
    except OSError:
        return []


def _is_name(run_id: str) -> bool:
    """A run names a folder of the runs directory and nothing outside it."""
    return run_id not in (".", "..") and "/" not in run_id and "\0" not in run_id


def _wanted(view: View) -> Wanted:
    return Wanted(
        run_id=view.run,
        level=address.held("level") if address.held("level") in LEVELS else None,
        event=address.held("event") or None,
        text=address.held("text") or None,
        generation=_whole_number(address.held("generation")),
        trace_id=address.held("trace") or None,
        limit=_whole_number(address.held("lines")) or LIMIT,
    )


def _whole_number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() and len(text) < 12 else None


def _found(source: Tail, wanted: Wanted) -> LogPage:
    """The newest lines; to a viewer who does not follow, the ones that were there when the filter was chosen."""
    asked = (address.held("source"), wanted)
    held: tuple[tuple[str, Wanted], LogPage] | None = st.session_state.get("logs-held")
    if held is not None and held[0] == asked and not st.session_state.get("follow", True):
        return held[1]
    page = _search(source, wanted)
    st.session_state["logs-held"] = (asked, page)
    return page


def _search(source: Tail, wanted: Wanted, resume: Mapping[Path, int] | None = None) -> LogPage:
    return source(
        limit=min(wanted.limit, MOST_LINES),
        level=wanted.level,
        event=wanted.event,
        text=wanted.text,
        run_id=wanted.run_id,
        generation=wanted.generation,
        trace_id=wanted.trace_id,
        resume=resume,
    )


def _summary(page: LogPage, wanted: Wanted) -> None:
    searched = f"{BYTES.format(float(page.scanned_bytes))} searched"
    if not page.lines:
        reach = "" if page.exhausted else f" so far ({searched}); older lines were not searched yet"
        states.empty(f"No line passes this filter{reach}." if wanted.narrowed else "The logs are empty.")
        return
    st.caption(
        f"{len(page.lines)} lines, newest first · {searched}{'' if page.exhausted else ' · older lines exist'}"
    )


def _older(source: Tail, wanted: Wanted, page: LogPage) -> None:
    """Go on where the search ended; the lines then stand still."""
    if page.exhausted or len(page.lines) >= MOST_LINES:
        return

    def go_on() -> None:
        more = _search(source, wanted, page.resume)
        st.session_state["follow"] = False
        st.session_state["logs-held"] = (
            (address.held("source"), wanted),
            replace(
                more,
                lines=page.lines + more.lines,
                malformed=page.malformed + more.malformed,
                scanned_bytes=page.scanned_bytes + more.scanned_bytes,
            ),
        )

    st.button("Search older lines", icon=":material/history:", on_click=go_on)


def _table(lines: Sequence[LogLine], look: Look) -> None:
    frame = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(pd.Series([line.time for line in lines], dtype="datetime64[ns, UTC]"))
            .tz_convert(look.view.zone)
            .tz_localize(None),
            "level": [line.level for line in lines],
            "event": [visible(line.event) for line in lines],
            "run": [_text(line.fields.get("run_id")) for line in lines],
            "generation": [_text(line.fields.get("generation")) for line in lines],
            "says": [says(line) for line in lines],
        }
    )
    chosen = st.dataframe(
        frame,
        hide_index=True,
        height=min(620, 38 + 35 * len(frame)),
        key="logs-table",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "time": st.column_config.DatetimeColumn("time", format="DD MMM HH:mm:ss.SSS", width="medium"),
            "level": st.column_config.TextColumn("level", width="small"),
            "generation": st.column_config.TextColumn("generation", width="small"),
            "says": st.column_config.TextColumn("says", width="large"),
        },
        alt=f"{len(frame)} log lines, newest first",
    )
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
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _whole(line: LogLine) -> None:
    with st.container(border=True):
        st.caption(plain(f"{line.path}, byte {line.offset}"))
        if line.fields.get("exception"):
            st.code(visible(exception_text(line.fields["exception"])), language=None)
        st.code(json.dumps(dict(line.fields), indent=2, ensure_ascii=False, default=str), language="json")
        trace_id = trace_id_of(str(line.fields.get("trace_id") or ""))
        if trace_id is not None:
            links.to("traces", "Open its trace", icon=":material/account_tree:", trace=trace_id)


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


def _malformed(source: Tail, page: LogPage) -> None:
    """Lines that are no JSON objects are counted, and shown to those who ask."""
    if not page.malformed:
        return
    count = page.malformed
    shown = st.toggle(
        f"{count} malformed line{'s' if count != 1 else ''} met and skipped: show",
        key="malformed",
        help="Lines that are not a JSON object: cut off when a process died, or written by something else.",
    )
    if shown:
        bad = source(limit=50, only_malformed=True)
        for line in bad.lines:
            st.caption(plain(f"{line.path}, byte {line.offset}"))
            st.code(visible(line.raw[:MOST_SAID]), language=None)
