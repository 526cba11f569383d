"""The checks of a runbook on screen: asked for this alert, each with its verdict, value, age and a small figure.

A check asks Prometheus, or one of the declared questions about this machine's GPUs, the log and the benchmark runs.
What a source says is outside text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from collectors import nvml
from collectors.logs import tail
from collectors.unavailable import Unavailable
from dashboard.catalogue import hardware
from dashboard.catalogue.spec import Panel, Series
from dashboard.feed import Answer, Window
from dashboard.figures import lines
from dashboard.runbooks import (
    Call,
    Check,
    Context,
    Found,
    Origins,
    Query,
    TemplateError,
    Verdict,
    evaluate,
    fill_promql,
)
from dashboard.runbooks.questions import Tail
from dashboard.shell import charts, instances, logs
from dashboard.shell.figure import drawn
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, plain, visible

# Level -> (word, Streamlit colour, icon); the word always stands beside the colour.
LEVELS = {
    "ok": ("ok", "green", ":material/check_circle:"),
    "warn": ("warning", "orange", ":material/warning:"),
    "bad": ("bad", "red", ":material/error:"),
    "unknown": ("could not tell", "gray", ":material/help:"),
}
MOST_PARTS = 8  # series of a check that are named one by one
HEIGHT = 100  # pixels of a check's figure
ASKED_OF = {
    "nvml": "this machine's NVIDIA driver",
    "log": "the log",
    "benchmark": "the benchmark runs kept here",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One check of a page, asked: the words it was asked in, what that means, and how it went before."""

    check: Check
    text: str
    verdict: Verdict
    looked_at: float | None
    why: Unavailable | None  # why the newest look failed; the verdict then says so
    before: pd.DataFrame | Found | None = (
        None  # what it is drawn from; shared by all who look, and never changed
    )


def ask_all(checks: Iterable[Check], context: Context, look: Look) -> dict[str, Asked]:
    """Ask every check of a page for one alert, by the check's id."""
    asked: dict[str, Asked] = {}
    queries: list[tuple[Check, Query, str]] = []
    origins = _origins(look)
    for check in checks:
        try:
            if isinstance(check.asks, Query):
                # A dollar in a label's value must not read as one of the feed's own holes; in a string \x24 is the same.
                text = fill_promql(check.asks.promql, context).replace("$", "\\x24")
                queries.append((check, check.asks, text))
                asked[check.id] = _ask_prometheus(check, text, look)
            else:
                asked[check.id] = _ask_question(check, check.asks, check.asks.filled(context), origins, look)
        except TemplateError as why:
            refused = Unavailable(f"The check cannot be asked: {why}", kind="template")
            asked[check.id] = Asked(check, "", evaluate(check.rows, refused), None, refused)
    for identity, frame in _frames(queries, look).items():
        asked[identity] = replace(asked[identity], before=frame)
    return asked


def show(item: Asked, look: Look) -> None:
    """A check's verdict in words, the value it stands on, how old that is, what was asked, and a small figure."""
    frame = _frame(item)
    with st.container(border=True):
        told, drawing = st.columns([3, 2]) if frame is not None else (st.container(), None)
        with told:
            _told(item, look)
        if drawing is not None and frame is not None:
            with drawing:
                _figure(item, frame, look)


def _told(item: Asked, look: Look) -> None:
    word, colour, icon = LEVELS[item.verdict.level]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]  # one of Streamlit's colours
        st.markdown(plain(item.verdict.words), width="content")
        if item.verdict.value is not None:
            st.markdown(f"**{plain(item.check.unit.format(item.verdict.value))}**", width="content")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            plain(f"{clock(item.looked_at, look.view.zone)}, {ago(item.looked_at, look.now)}"),
            width="content",
        )
        _asked_what(item)
    if item.why is not None and item.why.advice:
        st.caption(plain(item.why.advice))
    _parts(item)
    if isinstance(item.before, Found) and item.before.words:
        st.code(visible(item.before.words), language=None, wrap_lines=True)


def series(labels: Mapping[str, str] | None) -> str:
    """Labels as text; "value" where there are none."""
    return (
        ", ".join(f"{name}={value}" for name, value in (labels or {}).items() if name != "__name__")
        or "value"
    )


def _ask_prometheus(check: Check, text: str, look: Look) -> Asked:
    reading = look.sources.feed.instant(text)
    verdict = evaluate(check.rows, reading.unavailable or reading.samples)
    return Asked(check, text, verdict, reading.looked_at, reading.unavailable)


def _ask_question(check: Check, call: Call, given: Mapping[str, str], origins: Origins, look: Look) -> Asked:
    """One look serves everybody who reads this page for an alert like this."""
    question = call.question
    text = " ".join([question.name, *(f'{name}="{words}"' for name, words in given.items() if words)])
    key = (question.source, question.name, *sorted(given.items()))
    looked = look.sources.answers.get(key, lambda: question.answer(origins, given))
    found: Found | None = looked.value if looked.unavailable is None else None
    if found is None:
        return Asked(
            check, text, evaluate(check.rows, looked.unavailable or ()), looked.looked_at, looked.unavailable
        )
    verdict = evaluate(check.rows, found.points)
    return Asked(check, text, verdict, found.looked_at, None, found)


def _origins(look: Look) -> Origins:
    sources = look.sources

    def log(run: str) -> Tail | None:
        paths = logs.files(sources, run or None)
        if paths:
            return partial(tail, paths, index=sources.log_index)
        return sources.loki.tail if sources.loki is not None else None

    def uuids(instance: str, gpu: str) -> list[str]:
        index = {"gpu_id": gpu} if gpu else {}
        selector = ",".join(
            f"{name}={_quoted(value)}" for name, value in {"instance": instance, **index}.items()
        )
        reading = sources.feed.instant(f"{hardware.GPU_INFO}{{{selector}}}")
        return [sample.labels["uuid"] for sample in reading.samples if sample.labels.get("uuid")]

    return Origins(
        sampler=sources.sampler,
        benchmarks=sources.benchmarks,
        log=log,
        uuids=uuids,
        is_here=lambda instance: instances.is_here(instance, sources.settings.prometheus_url),
        processes=nvml.processes,
        now=look.now,
    )


def _quoted(value: str) -> str:
    return fill_promql('"{{ $labels.value }}"', Context(labels={"value": value})).replace("$", "\\x24")


def _frames(queries: Iterable[tuple[Check, Query, str]], look: Look) -> dict[str, pd.DataFrame]:
    """The same queries over their own ranges, those of one range in one batch."""
    by_range: dict[float, list[Panel]] = {}
    for check, query, text in queries:
        if query.range_seconds is not None:
            by_range.setdefault(query.range_seconds, []).append(_panel(check, text))
    found: dict[str, pd.DataFrame] = {}
    for seconds, panels in by_range.items():
        answers: Mapping[str, Answer] = look.sources.feed.panels(panels, Window(f"now-{round(seconds)}s"))
        found |= {key: answer.frame for key, answer in answers.items() if not answer.empty}
    return found


def _panel(check: Check, promql: str = "") -> Panel:
    return Panel(
        key=check.id,
        title=check.id,
        why="",
        unit=check.unit,
        series=(Series("value", promql),),
    )


def _wide(found: Found) -> pd.DataFrame:
    """How it went before, as a wide frame (UTC DatetimeIndex × one column a line)."""
    columns = {}
    for name, (times, values) in found.trace.items():
        known = pd.Series(values, index=pd.to_datetime(np.round(times), unit="s", utc=True))
        columns[name] = known[~known.index.duplicated(keep="last")]
    return pd.DataFrame(columns)


def _asked_what(item: Asked) -> None:
    """The query or the question, as it was asked."""
    if isinstance(item.check.asks, Query):
        with st.popover("Query", type="tertiary", key=f"query-{item.check.id}"):
            st.code(item.text, language="promql", wrap_lines=True)
        return
    question = item.check.asks.question
    with st.popover("Question", type="tertiary", key=f"query-{item.check.id}"):
        st.markdown(
            plain(f"Asked of {ASKED_OF[question.source]}: {question.about}, in {question.unit.name}.")
        )
        st.code(visible(item.text), language=None, wrap_lines=True)


def _parts(item: Asked) -> None:
    """What each of several series says, the worst first; those that are fine are counted where any is not."""
    parts = item.verdict.parts if len(item.verdict.parts) > 1 else ()
    wrong = [part for part in parts if part.level != "ok"]
    named = (wrong or parts)[:MOST_PARTS]
    for part in named:
        st.caption(
            plain(
                f"{LEVELS[part.level][0]}: {series(part.labels)} = {item.check.unit.format(part.value)}. {part.words}"
            )
        )
    if len(parts) > len(named):
        left = len(parts) - len(named)
        st.caption(
            f"and {left} more, all of them ok"
            if len(wrong) <= MOST_PARTS and wrong
            else f"and {left} more series"
        )


def _frame(item: Asked) -> pd.DataFrame | None:
    """How it went before; None where there is nothing to draw."""
    frame = _wide(item.before) if isinstance(item.before, Found) else item.before
    return frame if frame is not None and bool(frame.notna().to_numpy().any()) else None


def _figure(item: Asked, frame: pd.DataFrame, look: Look) -> None:
    zone, panel = look.view.zone, _panel(item.check)
    figure = drawn(
        (item.check.id, zone, item.text), item.before, lambda: _drawing(panel, frame, zone, item.text)
    )
    last = frame.ffill().iloc[-1]
    said = "; ".join(
        f"{name} {item.check.unit.format(float(value))}" for name, value in list(last.items())[:8]
    )
    charts.show(figure, key=f"check-{item.check.id}", alt=f"{item.check.id} before now. Last: {said}.")


def _drawing(panel: Panel, frame: pd.DataFrame, zone: str, revision: str) -> go.Figure:
    """Small: the shape counts, and two numbers on the axis."""
    floor = bool((frame.min(skipna=True) >= 0).all())
    figure = lines.draw(replace(panel, floor_zero=floor), frame, zone=zone, revision=revision)
    figure.update_layout(height=HEIGHT, showlegend=False, margin={"t": 6, "b": 22, "l": 4, "r": 6})
    figure.update_yaxes(**({"nticks": 3} if bool((frame != 0).any(axis=None)) else {"tickvals": [0]}))
    figure.update_xaxes(nticks=4)
    return figure
