"""Blocks of the Logs page: the structured log of the runs, newest first, bounded, narrowed by what the URL holds.

Reads files through `collectors.logs`, and Loki, where one is configured, by the same call. A line of a log is outside text: it is shown in a table, as text or as code,
never as Markdown.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from collectors.logs import LEVELS, Errors, LogLine, LogPage, errors, grouped, least_level, tail
from collectors.logs import files as log_files
from collectors.traces import trace_id_of
from dashboard.catalogue.units import BYTES
from dashboard.feed import LogLines
from dashboard.shell import address, links, states
from dashboard.shell import view as views
from dashboard.shell.look import Look
from dashboard.shell.text import clock, plain, visible
from dashboard.shell.view import View
from dashboard.sources import Sources, current

LIMIT = 200  # lines on the page unless the viewer asks for more
MOST_LINES = 5000  # a page stays usable
MOST_TYPES = 50  # types of errors shown
BUDGET_BYTES = 64 << 20  # read for one look at most: a refresh must not search gigabytes again and again
WRITTEN = ("generations.jsonl", "events.jsonl")  # the logs in a run's directory
# What is said of a line in one cell: everything that has no column of its own.
ELSEWHERE = frozenset({"event", "level", "timestamp", "time", "logger", "run_id", "generation", "exception"})
NO_LOGS = (
    "There are no log files here yet. Set MOE_DASHBOARD_RUNS_DIR to the folder observers write into, "
    "MOE_DASHBOARD_LOG_FILES to other structured logs, or MOE_DASHBOARD_LOKI_URL to a Loki that has them."
)
MOST_NAME = 100  # characters of the name of an error's type
MOST_SAID = 300  # characters of a line in the table; the whole of it stands below, on selection


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the viewer asked for."""

    run_id: str | None
    level: str | None
    event: str | None
    logger: str | None
    text: str | None
    generation: int | None
    trace_id: str | None

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out on purpose."""
        return any(value is not None for value in asdict(self).values())


@dataclass(frozen=True, slots=True)
class Source:
    """Where lines are looked for: the log files or Loki, asked in the same words."""

    tail: Callable[..., LogPage]  # the keywords of `collectors.logs.tail`
    errors: Callable[..., Errors]  # those of `collectors.logs.errors`


@dataclass(frozen=True, slots=True)
class Held:
    """What stands on the page, and how many looks of the budget it took."""

    asked: tuple[str, Wanted, int]
    page: LogPage
    errors: Errors
    looks: int = 1


def filters(view: View) -> None:
    """Run, level, event, logger, text, generation and trace; the address holds them."""
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
        address.text("Logger", "logger", placeholder="and all below it", width=180)
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
    """The last lines that pass the filters, the chosen one in full, and all errors that pass them grouped by type."""
    wanted = _wanted(look.view)
    source = _source(look.sources, wanted.run_id)
    if source is None:
        states.empty(NO_LOGS)
        return
    held = _found(source, wanted)
    for path, why in {**held.errors.unreadable, **held.page.unreadable}.items():
        st.warning(plain(f"{path} cannot be read: {why}"), icon=":material/cloud_off:")
    _summary(held.page, wanted)
    if held.page.lines:
        _table(held.page.lines, look)
    _errors(held.errors, look)
    _older(source, held)
    _malformed(source, held.page)


def of_trace(look: Look, trace_id: str) -> None:
    """The lines of one trace."""
    source = _source(look.sources, None)
    if source is None:
        states.empty(NO_LOGS)
        return
    found = source.tail(limit=LIMIT, trace_id=trace_id)
    if not found.lines:
        reach = (
            "" if found.exhausted else f" in the newest {BYTES.format(float(found.scanned_bytes))} of them"
        )
        states.empty(f"No log line names this trace{reach}.")
        return
    st.caption(f"{len(found.lines)} log lines of this trace, newest first")
    _table(found.lines, look)


def _source(sources: Sources, run_id: str | None) -> Source | None:
    """Where lines are looked for: Loki, if the viewer chose it or there are no files; None where there is nothing."""
    paths = files(sources, run_id)
    if sources.loki is not None and (address.held("source") == "loki" or not paths):
        return Source(sources.loki.tail, partial(_errors_of_loki, sources.loki))
    if not paths:
        return None
    return Source(partial(_of_files, sources, paths), partial(_errors_of_files, sources, tuple(paths)))


def _of_files(sources: Sources, paths: Sequence[Path], **wanted: Any) -> LogPage:
    """Lines of files; a generation is looked up in the index, so that an early one of a long log is found at once."""
    if wanted.get("generation") is not None:
        sources.log_index.update(paths)
    return tail(paths, budget_bytes=BUDGET_BYTES, index=sources.log_index, **wanted)


def _errors_of_files(sources: Sources, paths: tuple[Path, ...], *, looks: int, **wanted: Any) -> Errors:
    """Every error that passes, as far as so many budgets reach; counted anew every few refreshes."""
    key = (paths, looks, *sorted(wanted.items()))
    counted = sources.log_errors.get(
        key, lambda: errors(paths, budget_bytes=looks * BUDGET_BYTES, index=sources.log_index, **wanted)
    )
    if counted.value is None:
        raise counted.unavailable or AssertionError("a look gives errors or a reason")
    return counted.value


def _errors_of_loki(loki: LogLines, *, looks: int, **wanted: Any) -> Errors:
    """The newest errors that pass, as many as one question may bring for each look."""
    wanted["level"] = least_level(wanted["level"])
    page = loki.tail(limit=looks * MOST_LINES, **wanted)
    return grouped(page.lines, scanned_bytes=page.scanned_bytes, exhausted=page.exhausted)


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
        run_id=view.run or None,
        level=address.held("level") if address.held("level") in LEVELS else None,
        event=address.held("event") or None,
        logger=address.held("logger").strip() or None,
        text=address.held("text") or None,
        generation=_whole_number(address.held("generation")),
        trace_id=address.held("trace") or None,
    )


def _whole_number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() and len(text) < 12 else None


def _found(source: Source, wanted: Wanted) -> Held:
    """The newest lines; to a viewer who does not follow, the ones that were there when the filter was chosen."""
    limit = min(_whole_number(address.held("lines")) or LIMIT, MOST_LINES)
    asked = (address.held("source"), wanted, limit)
    held: Held | None = st.session_state.get("logs-held")
    if held is not None and held.asked == asked and not st.session_state.get("follow", True):
        return held
    page = source.tail(limit=limit, **asdict(wanted))
    held = Held(asked, page, _counted(source, wanted, page, 1))
    st.session_state["logs-held"] = held
    return held


def _counted(source: Source, wanted: Wanted, page: LogPage, looks: int) -> Errors:
    """The errors of everything that passes; a page that holds all of it need not be read again."""
    if page.exhausted:
        return grouped(page.lines, scanned_bytes=page.scanned_bytes)
    return source.errors(looks=looks, **asdict(wanted))


def _summary(page: LogPage, wanted: Wanted) -> None:
    searched = f"{BYTES.format(float(page.scanned_bytes))} searched"
    if not page.lines:
        reach = "" if page.exhausted else f" so far ({searched}); older lines were not searched yet"
        states.empty(f"No line passes this filter{reach}." if wanted.narrowed else "The logs are empty.")
        return
    st.caption(
        f"{len(page.lines)} lines, newest first · {searched}{'' if page.exhausted else ' · older lines exist'}"
    )


def _older(source: Source, held: Held) -> None:
    """Go on where the search ended; the lines then stand still."""
    page, (_, wanted, limit) = held.page, held.asked
    if page.exhausted or len(page.lines) >= MOST_LINES:
        return

    def go_on() -> None:
        more = source.tail(limit=limit, resume=page.resume, **asdict(wanted))
        whole = replace(
            more,
            lines=page.lines + more.lines,
            malformed=page.malformed + more.malformed,
            scanned_bytes=page.scanned_bytes + more.scanned_bytes,
        )
        looks = held.looks + 1
        st.session_state["follow"] = False
        st.session_state["logs-held"] = Held(held.asked, whole, _counted(source, wanted, whole, looks), looks)

    st.button("Search older lines", icon=":material/history:", on_click=go_on)


def _table(lines: Sequence[LogLine], look: Look) -> None:
    frame = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(pd.Series([line.time for line in lines], dtype="datetime64[ns, UTC]"))
            .tz_convert(look.view.zone)
            .tz_localize(None),
            "level": [line.level for line in lines],
            "event": [visible(line.event) for line in lines],
            "logger": [visible(line.logger or "") for line in lines],
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


def _errors(found: Errors, look: Look) -> None:
    """The errors that pass the filter, shown or not, by type, with first and last."""
    if not found.types:
        return
    reach = "" if found.exhausted else f" in the newest {BYTES.format(float(found.scanned_bytes))} searched"
    st.markdown(f"**Errors by type, all that pass the filter{reach}**")
    for kind in found.types[:MOST_TYPES]:
        when = (
            f" · first {clock(kind.first.timestamp(), look.view.zone)} · last {clock(kind.last.timestamp(), look.view.zone)}"
            if kind.first is not None and kind.last is not None
            else ""
        )
        with st.expander(plain(f"{kind.name[:MOST_NAME]}: {kind.count}{when}", 200)):
            _whole(kind.newest)
    left = found.further + sum(kind.count for kind in found.types[MOST_TYPES:])
    if left:
        st.caption(f"{left:,} errors of further types. A filter by event or text narrows them.")


def _malformed(source: Source, page: LogPage) -> None:
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
        bad = source.tail(limit=50, only_malformed=True)
        for line in bad.lines:
            st.caption(plain(f"{line.path}, byte {line.offset}"))
            st.code(visible(line.raw[:MOST_SAID]), language=None)
