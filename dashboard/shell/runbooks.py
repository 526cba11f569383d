"""Blocks of the Runbooks page: one alert's page by its sections, its live checks in words, and which alerts have a page.

Text of a page comes from the package or the operator's folders; label values come from outside and are filled in by
`dashboard.runbooks`, which escapes them. Nothing a page says is ever executed: its queries are read-only questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from collectors.unavailable import Unavailable
from dashboard import catalogue
from dashboard.catalogue.spec import Alert, Panel, Series
from dashboard.catalogue.units import NUMBER
from dashboard.feed import Reading, Window
from dashboard.feed.query import quoted
from dashboard.figures import lines
from dashboard.runbooks import (
    Check,
    Context,
    Covered,
    NoRunbook,
    Runbook,
    Section,
    Step,
    TemplateError,
    Verdict,
    blank,
    coverage,
    evaluate,
    fill_markdown,
    fill_promql,
    load,
    names,
    summary,
)
from dashboard.shell import address, charts, links, states
from dashboard.shell.look import Look
from dashboard.shell.text import ago, clock, plain
from dashboard.shell.view import KEPT, View
from dashboard.sources import current

# Level -> (word, Streamlit colour, icon); the word always stands beside the colour.
LEVELS = {
    "ok": ("ok", "green", ":material/check_circle:"),
    "warn": ("warning", "orange", ":material/warning:"),
    "bad": ("bad", "red", ":material/error:"),
    "unknown": ("could not tell", "gray", ":material/help:"),
}
NOT_LABELS = frozenset({*KEPT, "alert", "alertname", "alertstate", "__name__"})
PREFIX = "label."  # of a label in the address whose bare name means something else there


@dataclass(frozen=True, slots=True)
class Asked:
    """One check of a page, run: what was asked, what came, and what that means."""

    check: Check
    promql: str
    reading: Reading
    verdict: Verdict


def address_of(alert: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Query parameters of the Runbooks page for this alert."""
    named = {
        PREFIX + name if name in NOT_LABELS else name: value
        for name, value in labels.items()
        if name not in ("alertname", "__name__")
    }
    return {"alert": alert} | named


def labels_in_address() -> dict[str, str]:
    """The alert's labels as the address holds them."""
    found = {}
    for name, value in st.query_params.to_dict().items():
        if name.startswith(PREFIX):
            found[name.removeprefix(PREFIX)] = value
        elif name not in NOT_LABELS:
            found[name] = value
    return found


def choose(_: View) -> None:
    """Which alert's page."""
    sources = current()
    known = sorted({*names(sources.settings.runbooks_dirs), *(alert.name for alert in catalogue.ALERTS)})
    address.select(
        "Alert",
        {"": "All alerts: which have a runbook?"} | {name: name for name in known},
        "alert",
        width=420,
    )


def read(look: Look) -> None:
    """The page of the chosen alert with its checks run; without one, the table of which alerts have a page."""
    name = address.held("alert")
    folders = look.sources.settings.runbooks_dirs
    declared = next((alert for alert in catalogue.ALERTS if alert.name == name), None)
    if not name:
        _coverage(look)
        return
    try:
        runbook = load(name, folders)
    except NoRunbook as why:
        _template(name, str(why), declared)
        return
    context = _context(name, look)
    asked = {check.id: _ask(check, context, look) for check in runbook.checks}
    _head(runbook, declared, look)
    _evidence([item.verdict for item in asked.values()])
    for section in runbook.sections:
        _section(section, runbook, context, asked, look)
    if runbook.problems:
        with st.expander(f"{len(runbook.problems)} things to mend on this page"):
            for problem in runbook.problems:
                st.text(problem)


def _coverage(look: Look) -> None:
    rows = coverage([alert.name for alert in catalogue.ALERTS], look.sources.settings.runbooks_dirs)
    missing = [row.alert for row in rows if row.runbook is None]
    st.markdown(f"**{len(rows) - len(missing)} of {len(rows)} alerts have a runbook.**")
    st.dataframe(pd.DataFrame([_covered(row) for row in rows]), hide_index=True, alt="Runbooks by alert")
    with st.container(horizontal=True):
        for row in rows:
            links.to("runbooks", row.alert, alert=row.alert)


def _covered(row: Covered) -> dict[str, str]:
    runbook = row.runbook
    return {
        "alert": row.alert,
        "runbook": "none" if runbook is None else "site's own" if runbook.site else "shipped",
        "title": runbook.title if runbook else "",
        "severity": runbook.severity if runbook else "",
        "component": runbook.component if runbook else "",
        "checks": str(len(runbook.checks)) if runbook else "",
        "reviewed": str(runbook.reviewed or "never") if runbook else "",
        "to mend": "; ".join(row.problems),
    }


def _template(name: str, why: str, declared: Alert | None) -> None:
    states.empty(
        f"{why} Below is a page to copy into one of your runbook folders (MOE_DASHBOARD_RUNBOOKS_DIRS)."
    )
    try:
        page = (
            blank(name, expression=declared.when, severity=declared.severity, component=declared.component)
            if declared
            else blank(name)
        )
    except ValueError as problem:
        states.empty(str(problem))
        return
    st.code(page, language="markdown")


def _context(name: str, look: Look) -> Context:
    """The alert this page is read for: of the address, else the one that fires now, else nothing."""
    given = labels_in_address()
    known = _active(name, look)
    matching = [
        labels for labels, _ in known if all(labels.get(key) == value for key, value in given.items())
    ]
    labels = given
    if len(matching) == 1:
        labels = matching[0]
    elif len(matching) > 1:
        labels = matching[_which(matching)]
    since = next((start for found, start in known if found == labels), None)
    if labels:
        _labels(labels, since, look)
    if not known:
        st.caption(
            "This alert is neither pending nor firing now, as far as Prometheus says; the checks below look all the same."
        )
    return Context(
        labels=labels, value=None, start=since or look.view.window.bounds(look.now)[0], end=look.now
    )


def _active(name: str, look: Look) -> list[tuple[dict[str, str], float | None]]:
    """Labels and beginning (unix seconds) of every pending or firing alert of this name, as Prometheus records it."""
    feed = look.sources.feed
    since = {
        _key(sample.labels): sample.value
        for sample in feed.instant(f"ALERTS_FOR_STATE{{alertname={quoted(name)}}}").samples
    }
    found = {}
    for sample in feed.instant(f"ALERTS{{alertname={quoted(name)}}}").samples:
        key = _key(sample.labels)
        found[key] = (dict(key), since.get(key))
    return list(found.values())


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if name not in NOT_LABELS))


def _which(matching: Sequence[Mapping[str, str]]) -> int:
    words = [", ".join(f"{name}={value}" for name, value in labels.items()) for labels in matching]
    return int(
        st.selectbox(
            f"{len(matching)} alerts of this name are active. Which one?",
            range(len(matching)),
            format_func=lambda i: words[i],
            key="runbook-which",
        )
        or 0
    )


def _labels(labels: Mapping[str, str], since: float | None, look: Look) -> None:
    words = " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    st.code(words, language=None, wrap_lines=True)
    if since is not None:
        st.caption(f"Its condition holds since {clock(since, look.view.zone)}, {ago(since, look.now)}.")


def _ask(check: Check, context: Context, look: Look) -> Asked:
    """Run one check for this alert."""
    try:
        # A dollar in a label's value must not read as one of the feed's own holes; in a string \x24 is the same.
        text = fill_promql(check.promql, context).replace("$", "\\x24")
    except TemplateError as why:
        refused = Unavailable(f"The check cannot be asked: {why}", kind="template")
        return Asked(check, check.promql, Reading(unavailable=refused), evaluate(check.rows, refused))
    reading = look.sources.feed.instant(text)
    return Asked(check, text, reading, evaluate(check.rows, reading.unavailable or reading.samples))


def _head(runbook: Runbook, declared: Alert | None, look: Look) -> None:
    facts = [runbook.severity, runbook.component]
    if runbook.owner:
        facts.append(f"owner: {runbook.owner}")
    facts.append(f"reviewed {runbook.reviewed}" if runbook.reviewed else "never reviewed")
    facts.append("site's own page" if runbook.site else "shipped page")
    st.subheader(plain(runbook.title), anchor=False)
    st.caption(plain(" · ".join(filter(None, facts))))
    with st.container(horizontal=True):
        links.to("alerts", "All alerts", icon=":material/notifications:")
        page = declared.page.partition("?")[0].strip("/") if declared else ""
        if page:
            links.to(
                page.replace("-checks", ""), "Where to look", icon=":material/search:", **_narrowed(look)
            )


def _narrowed(_: Look) -> dict[str, str]:
    """What of the alert's labels narrows the page it points to."""
    labels = labels_in_address()
    narrowed = {"instance": labels["instance"]} if labels.get("instance") else {}
    return narrowed | ({"run": labels["run_id"]} if labels.get("run_id") else {})


def _evidence(verdicts: Sequence[Verdict]) -> None:
    """What all checks say together, before anything else."""
    told = summary(verdicts)
    bad = any(verdict.level == "bad" for verdict in verdicts)
    show = st.error if bad else st.warning if told.supported else st.info
    show(plain(told.words), icon=":material/fact_check:")
    if told.excluded:
        st.caption(plain(f"Looked at and fine: {'; '.join(told.excluded)}."))


def _section(
    section: Section, runbook: Runbook, context: Context, asked: Mapping[str, Asked], look: Look
) -> None:
    st.markdown(f"#### {plain(section.title)}")
    for piece in section.pieces:
        if isinstance(piece, Check):
            check(asked[piece.id], look)
            continue
        try:
            words = fill_markdown(piece.markdown, context)
        except TemplateError as why:
            st.error(plain(str(why)))
            continue
        if isinstance(piece, Step):
            _step(piece, words, runbook, context, look)
        else:
            st.markdown(words)


def _step(step: Step, words: str, runbook: Runbook, context: Context, look: Look) -> None:
    del step, runbook, context, look
    st.markdown(f"- {words}")


def check(item: Asked, look: Look) -> None:
    """A check's verdict in words, the value it stands on, how old that is, and the query."""
    word, colour, icon = LEVELS[item.verdict.level]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]  # one of Streamlit's colours
            st.markdown(plain(item.verdict.words), width="content")
            if item.verdict.value is not None:
                st.markdown(f"**{plain(NUMBER.format(item.verdict.value))}**", width="content")
            st.caption(
                plain(
                    f"{clock(item.reading.looked_at, look.view.zone)}, {ago(item.reading.looked_at, look.now)}"
                ),
                width="content",
            )
            with st.popover("Query", type="tertiary", key=f"query-{item.check.id}"):
                st.code(item.promql, language="promql", wrap_lines=True)
        for part in item.verdict.parts[:8] if len(item.verdict.parts) > 1 else ():
            st.caption(
                plain(
                    f"{LEVELS[part.level][0]}: {_series(part.labels)} = {NUMBER.format(part.value)}. {part.words}"
                )
            )
        if len(item.verdict.parts) > 8:
            st.caption(f"and {len(item.verdict.parts) - 8} more series")
        if item.check.range_seconds is not None:
            _trace(item, item.check.range_seconds, look)


def _series(labels: Mapping[str, str] | None) -> str:
    return (
        ", ".join(f"{name}={value}" for name, value in (labels or {}).items() if name != "__name__")
        or "value"
    )


def _trace(item: Asked, seconds: float, look: Look) -> None:
    """The same query over the check's own range, small."""
    panel = Panel(
        key=f"check-{item.check.id}",
        title=item.check.id,
        why="",
        unit=NUMBER,
        series=(Series("value", item.promql),),
    )
    answer = look.sources.feed.panels([panel], Window(f"now-{round(seconds)}s"))[panel.key]
    if answer.empty:
        return
    figure = lines.draw(panel, answer.frame, zone=look.view.zone, revision=item.promql)
    figure.update_layout(height=130, showlegend=False)
    charts.show(figure, key=f"check-{item.check.id}", alt=charts.spoken(panel, answer))
