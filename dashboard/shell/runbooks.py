"""Blocks of the Runbooks page: one alert's page by its sections, its live checks in words, and which alerts have a page.

Text of a page comes from the package or the operator's folders; label values come from outside and are filled in by
`dashboard.runbooks`, which escapes them. Nothing a page says is ever executed: its queries are read-only questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import catalogue
from dashboard.alerts.entry import Entry
from dashboard.catalogue.spec import Alert
from dashboard.runbooks import (
    Action,
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
    fill_markdown,
    load,
    names,
    summary,
)
from dashboard.shell import address, links, runbook_actions, runbook_checks, runbook_steps, states
from dashboard.shell.look import Look
from dashboard.shell.runbook_checks import Asked, series
from dashboard.shell.text import ago, clock, plain, visible
from dashboard.shell.view import KEPT, View
from dashboard.sources import current

NOT_LABELS = frozenset({*KEPT, "alert", "alertname", "alertstate", "__name__"})
PREFIX = "label."  # of a label in the address whose bare name means something else there


@dataclass(frozen=True, slots=True)
class _Page:
    """A runbook opened for one alert: what fills it in, what its checks said, what was done."""

    runbook: Runbook
    context: Context
    asked: Mapping[str, Asked]
    entry: Entry | None  # None: the alert is not active, so there is no episode to tick anything off in
    done: runbook_steps.Progress


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
    entry = _entry(name, look)
    page_name = entry.runbook(names(folders)) if entry is not None else name
    try:
        runbook = load(page_name, folders)
    except NoRunbook as why:
        _template(name, str(why), declared)
        return
    labels = dict(entry.labels) if entry is not None else labels_in_address()
    start = (entry.since or entry.fired_at) if entry is not None else None
    context = Context(
        labels,
        entry.value if entry is not None else None,
        start or look.view.window.bounds(look.now)[0],
        look.now,
    )
    asked = runbook_checks.ask_all(runbook.checks, context, look)
    done = runbook_steps.progress(entry, runbook, look)
    page = _Page(runbook, context, asked, entry, done)
    _head(runbook, declared, labels)
    _about(entry, labels, look)
    _evidence([item.verdict for item in asked.values()])
    runbook_steps.head(runbook, done, look)
    for section in runbook.sections:
        _section(section, page, look)
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


def _entry(name: str, look: Look) -> Entry | None:
    """The alert this page is read for: the active one that the labels in the address fit, chosen where there are several."""
    given = labels_in_address()
    known = look.sources.alerts.look().chosen()
    matching = [
        entry
        for entry in known
        if entry.name == name and all(entry.labels.get(label) == value for label, value in given.items())
    ]
    if len(matching) < 2:
        return matching[0] if matching else None
    words = [series(entry.labels) for entry in matching]
    chosen = st.selectbox(
        f"{len(matching)} alerts of this name are active. Which one?",
        range(len(matching)),
        format_func=lambda i: words[i],
        key="runbook-which",
    )
    return matching[chosen or 0]


def _about(entry: Entry | None, labels: Mapping[str, str], look: Look) -> None:
    """What the page is read for, and how that alert stands."""
    if labels:
        st.code(
            visible(
                " ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
            ),
            language=None,
            wrap_lines=True,
        )
    if entry is None:
        st.caption("This alert is not active now, as far as is known; the checks below look all the same.")
        return
    since = entry.since or entry.fired_at
    taken = f" {entry.acknowledgement.who} has it." if entry.acknowledgement else ""
    st.caption(plain(f"{entry.state} since {clock(since, look.view.zone)}, {ago(since, look.now)}.{taken}"))


def _head(runbook: Runbook, declared: Alert | None, labels: Mapping[str, str]) -> None:
    facts = [runbook.severity, runbook.component]
    if runbook.owner:
        facts.append(f"owner: {runbook.owner}")
    facts.append(f"reviewed {runbook.reviewed}" if runbook.reviewed else "never reviewed")
    facts.append("site's own page" if runbook.site else "shipped page")
    st.subheader(plain(runbook.title), anchor=False)
    st.caption(plain(" · ".join(filter(None, facts))))
    with st.container(horizontal=True):
        links.to("alerts", "All alerts", icon=":material/notifications:")
        page = declared.page.partition("?")[0].strip("/").removesuffix("-checks") if declared else ""
        if page:
            narrowed = {"instance": labels["instance"]} if labels.get("instance") else {}
            narrowed |= {"run": labels["run_id"]} if labels.get("run_id") else {}
            links.to(page, "Where to look", icon=":material/search:", **narrowed)


def _evidence(verdicts: Sequence[Verdict]) -> None:
    """What all checks say together, before anything else: what they support, what they exclude, what is not known."""
    told = summary(verdicts)
    bad = any(verdict.level == "bad" for verdict in verdicts)
    show = st.error if bad else st.warning if told.supported else st.info
    if len(told.supported) > 1:
        listed = "\n".join(f"- {plain(words)}" for words in told.supported)
        show(f"**The evidence supports, the worst first:**\n{listed}", icon=":material/fact_check:")
    else:
        show(plain(told.words), icon=":material/fact_check:")
    if told.excluded:
        st.caption(plain(f"Looked at and fine: {'; '.join(told.excluded)}."))
    if told.unknown:
        st.caption(plain(f"{told.unknown} of {len(verdicts)} checks could not tell; each says why."))


def _section(section: Section, page: _Page, look: Look) -> None:
    st.markdown(f"#### {plain(section.title)}")
    for piece in section.pieces:
        try:
            if isinstance(piece, Check):
                runbook_checks.show(page.asked[piece.id], look)
            elif isinstance(piece, Action):
                runbook_actions.offer(piece, page.runbook.name, page.entry, page.context, look)
            elif isinstance(piece, Step):
                words = " ".join(fill_markdown(piece.markdown, page.context).split())
                runbook_steps.show(piece, words, page.done, look)
            else:
                st.markdown(fill_markdown(piece.markdown, page.context))
        except TemplateError as why:
            st.error(plain(str(why)))
