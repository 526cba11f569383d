"""A benchmark's result on screen: one row a cell, every number with its unit, its n and its interval; and to take away.

Reads the report as `dashboard.benchmark.results` writes it. Two runs stand side by side; whether a difference is one is
not decided by looking at two numbers.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.benchmark import exports, history, judging, report_html
from dashboard.benchmark.comparison import Comparison, compare
from dashboard.benchmark.hosts import Hosts
from dashboard.benchmark.runs import RunView
from dashboard.catalogue.units import BYTES
from dashboard.shell.look import Look
from dashboard.shell.text import plain

Report = Mapping[str, Any]
MS, MIB = 1e3, 2.0**-20
EARLIER = 20  # runs a history is judged from
WORDS = {
    "regressed": (st.error, ":material/trending_down:"),
    "suspect": (st.warning, ":material/warning:"),
    "inconclusive": (st.info, ":material/help:"),
    "incomparable": (st.info, ":material/difference:"),
    "same": (st.success, ":material/check_circle:"),
    "improved": (st.success, ":material/trending_up:"),
}

NUMBERS = {
    "median (ms)": "%.4g",
    "95 % from (ms)": "%.4g",
    "95 % to (ms)": "%.4g",
    "p95 (ms)": "%.4g",
    "p99 (ms)": "%.4g",
    "samples/s": "%.4g",
    "tokens/s": "%.4g",
    "peak memory (MiB)": "%.1f",
    "first call (ms)": "%.4g",
    "of roofline (%)": "%.3g",
    "before: median (ms)": "%.4g",
    "change (%)": "%+.2f",
    "time ÷ before": "%.4f",
    "99 % from": "%.4f",
    "99 % to": "%.4f",
}


def show(seen: RunView, beside: RunView | None, look: Look) -> None:
    """The table of a finished run, the verdict against another run, notes, conditions and downloads."""
    report: Report = seen.report or {}
    before = beside.report if beside is not None else None
    verdict = (
        compare(before, report)
        if before is not None
        else _history(look.sources.benchmark_hosts, seen.summary.run_id)
    )
    for note in report.get("notes", []):
        st.caption(plain(note))
    if verdict is not None:
        _verdict(verdict)
    frame = table(report) if before is None else side_by_side(report, before)
    if verdict is not None:
        frame = judged(frame, verdict, report)
    st.dataframe(
        frame,
        hide_index=True,
        placeholder="–",
        alt=f"Cells of benchmark {seen.summary.run_id}",
        column_config={
            name: st.column_config.NumberColumn(format=form)
            for name, form in NUMBERS.items()
            if name in frame
        },
    )
    st.caption(plain(_meaning(report)))
    _conditions(report, before)
    _downloads(seen, verdict, before)


@lru_cache(maxsize=64)
def _history(hosts: Hosts, run_id: str) -> Comparison | None:
    """A finished run's verdict as it was given at its end; of an older one, as it would be given now."""
    seen = hosts.run(run_id)
    if seen.report is None:
        return None
    if "verdict" in seen.report:
        return judging.from_json(seen.report["verdict"])
    return judging.judge([report for _, report in history.before(hosts, seen.summary, EARLIER)], seen.report)


def _verdict(verdict: Comparison) -> None:
    """One word for the run, and why."""
    shown, icon = WORDS.get(verdict.word, (st.info, ":material/help:"))
    shown(plain(verdict.sentence), icon=icon)
    if verdict.canary_ratio is not None and verdict.word != "incomparable":  # whose sentence says it already
        st.caption(
            plain(
                f"The fixed kernels that no change of a router touches took {verdict.canary_ratio:.3f} times as long."
            )
        )


def judged(frame: pd.DataFrame, verdict: Comparison, report: Report) -> pd.DataFrame:
    """The table with each cell's verdict before its numbers: the ratio of times with its 99 % interval, and why."""
    by_key = {one.key: one for one in verdict.verdicts}
    names = list(_params(report))
    found = [
        by_key.get(" ".join(f"{name}={row[name]}" for name in names if pd.notna(row.get(name))))
        for _, row in frame.iterrows()
    ]
    columns: dict[str, list[object]] = {
        "verdict": [one.word if one else "" for one in found],
        "time ÷ before": [one.ratio if one else None for one in found],
        "99 % from": [one.low if one else None for one in found],
        "99 % to": [one.high if one else None for one in found],
    }
    if verdict.word == "incomparable":  # the difference would be read as one
        columns, frame = {}, frame.drop(columns="change (%)", errors="ignore")
    else:
        columns["why"] = [one.sentence if one else "" for one in found]
    head = [name for name in (*names, "status") if name in frame]
    rest = [name for name in frame if name not in head]
    told = pd.DataFrame(columns, index=frame.index)
    return pd.concat(
        [frame[head], told.drop(columns="why", errors="ignore"), frame[rest], told.filter(["why"])], axis=1
    )


def table(report: Report) -> pd.DataFrame:
    """One row a cell. Percentiles that n cannot carry are empty; a cell that failed says why."""
    return pd.DataFrame([_row(cell) for cell in report.get("cells", [])])


def side_by_side(report: Report, before: Report) -> pd.DataFrame:
    """The cells of a run with the same cells' medians of an earlier one; a cell only one of them has stays."""
    old = {cell["key"]: cell for cell in before.get("cells", [])}
    rows = []
    for cell in report.get("cells", []):
        earlier = old.pop(cell["key"], None)
        was = _interval(earlier)[0] if earlier else None
        now = _interval(cell)[0]
        change = None if was is None or now is None or was == 0 else 100 * (now / was - 1)
        rows.append(
            _row(cell) | {"before: median (ms)": None if was is None else MS * was, "change (%)": change}
        )
    rows += [
        _row(cell)
        | dict.fromkeys(("median (ms)", "95 % from (ms)", "95 % to (ms)", "p95 (ms)", "p99 (ms)"))
        | {"before: median (ms)": _scaled(_interval(cell)[0], MS), "status": "only in the earlier run"}
        for cell in old.values()
    ]
    frame = pd.DataFrame(rows)
    first = [*_params(report), "status", "median (ms)", "before: median (ms)", "change (%)"]
    return frame[[name for name in first if name in frame] + [name for name in frame if name not in first]]


def _row(cell: Mapping[str, Any]) -> dict[str, Any]:
    median, low, high = _interval(cell)
    peak = [value for value in (cell.get("peak_memory") or {}).values() if value is not None]
    share = (cell.get("roofline") or {}).get("share_of_floor")
    return {
        **{str(name): str(value) for name, value in cell.get("params", {}).items()},
        "status": cell.get("status", "unknown"),
        "median (ms)": _scaled(median, MS),
        "95 % from (ms)": _scaled(low, MS),
        "95 % to (ms)": _scaled(high, MS),
        "p95 (ms)": _scaled((cell.get("p95_seconds") or {}).get("value"), MS),
        "p99 (ms)": _scaled((cell.get("p99_seconds") or {}).get("value"), MS),
        "samples/s": cell.get("samples_per_second"),
        "tokens/s": cell.get("tokens_per_second"),
        "peak memory (MiB)": _scaled(max(peak) if peak else None, MIB),
        "of roofline (%)": _scaled(share, 100),
        "first call (ms)": _scaled(cell.get("first_call_seconds"), MS),
        "n": (cell.get("p50_seconds") or {}).get("n"),
        "processes": cell.get("k"),
        "clock": cell.get("clock", ""),
        "notes": "; ".join([*([cell["reason"]] if cell.get("reason") else []), *cell.get("flags", [])]),
    }


def _interval(cell: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    said = cell.get("p50_seconds") or {}
    return said.get("value"), said.get("low"), said.get("high")


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _params(report: Report) -> Sequence[str]:
    return list(dict.fromkeys(name for cell in report.get("cells", []) for name in cell.get("params", {})))


def _meaning(report: Report) -> str:
    spoken = {(cell.get("p50_seconds") or {}).get("of") for cell in report.get("cells", [])} - {None}
    about = f"The interval of a median speaks about {', '.join(sorted(map(str, spoken)))}. " if spoken else ""
    return f"{about}p95 and p99 come from all calls together and are left empty where n cannot bound them. n is calls a process."


def _conditions(report: Report, before: Report | None) -> None:
    """Where it was measured; of two runs, what differs first."""
    with st.expander("Where and how it was measured"):
        facts = _flat(report.get("environment", {}))
        rows: list[dict[str, str]] = [{"what": name, "here": value} for name, value in facts.items()]
        if before is not None:
            earlier = _flat(before.get("environment", {}))
            rows = [
                {"what": name, "here": facts.get(name, "–"), "earlier run": earlier.get(name, "–")}
                for name in sorted(
                    {*facts, *earlier}, key=lambda name: (facts.get(name) == earlier.get(name), name)
                )
            ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Environment of the benchmark")


def _flat(facts: Mapping[str, Any]) -> dict[str, str]:
    shown = {}
    for name, value in facts.items():
        if value is None:
            shown[name] = "not available"
        elif name.endswith("_bytes"):
            shown[name] = BYTES.format(float(value))
        elif isinstance(value, str):
            shown[name] = value
        else:
            shown[name] = json.dumps(value)
    return shown


def _downloads(seen: RunView, verdict: Comparison | None, before: Report | None) -> None:
    """The run as a self-contained page, JSON, CSV and Markdown; each is made when somebody asks for it."""
    report: Report = seen.report or {}
    files: dict[str, tuple[str, str, Callable[[], str]]] = {
        "HTML report": ("html", "text/html", lambda: report_html.page(report, verdict, before)),
        "JSON": ("json", "application/json", lambda: json.dumps(report, indent=1)),
        "CSV": ("csv", "text/csv", lambda: exports.as_csv(report)),
        "Markdown": ("md", "text/markdown", lambda: exports.as_markdown(report)),
    }
    with st.container(horizontal=True):
        for name, (suffix, mime, written) in files.items():
            st.download_button(
                name,
                _bytes(written),
                file_name=f"{seen.summary.run_id}.{suffix}",
                mime=mime,
                key=f"benchmark-{suffix}",
                on_click="ignore",
                icon=":material/download:",
            )


def _bytes(written: Callable[[], str]) -> Callable[[], bytes]:
    return lambda: written().encode()
