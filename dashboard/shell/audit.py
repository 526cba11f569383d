"""Blocks of the Audit page: what was written through this dashboard, for admins alone, as a table and as files.

Names, comments and notes are what people typed: shown as text, and kept from becoming formulas in a spreadsheet.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from dashboard import people
from dashboard.people import Refused, Role
from dashboard.shell import address, person, states
from dashboard.shell.look import Look
from dashboard.shell.text import plain, visible
from dashboard.shell.view import View
from dashboard.sources import Sources, current
from dashboard.spreadsheet import tame
from dashboard.store import Action

MOST_SHOWN = 1000  # lines of the table; the files hold all
MOST_KEPT = 100_000  # lines of a file
FIELDS = ("at", "who", "account", "action", "subject", "address", "session", "detail")


def filters(_: View) -> None:
    """Words that must stand in a line, a person, and a kind of action; the address holds them."""
    if not _admitted(current(), said=False):
        return
    known = current().store.audit(limit=MOST_KEPT)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        address.text("Filter", "q", placeholder="words in any column", width=340)
        address.select(
            "Who", {"": "everybody"} | {one: visible(one) for one in _names(known)}, "who", width=220
        )
        kinds = sorted({action.action for action in known})
        address.select("Action", {"": "every action"} | {kind: kind for kind in kinds}, "action", width=200)


def listed(look: Look) -> None:
    """The lines of the chosen time that pass the filter, newest first, and the same as files."""
    if not _admitted(look.sources, said=True):
        return
    passing = chosen(look)
    st.caption(f"{len(passing)} lines between the chosen times pass the filter")
    if not passing:
        states.empty("Nothing was written in this time, as far as the filter lets through.")
        return
    if len(passing) > MOST_SHOWN:
        st.caption(f"The newest {MOST_SHOWN} are shown; the files hold all.")
    st.dataframe(
        table(passing[:MOST_SHOWN], look.view.zone),
        hide_index=True,
        alt="What was done here, newest first",
        column_config={"when": st.column_config.DatetimeColumn(format="DD MMM YYYY HH:mm:ss")},
    )
    with st.container(horizontal=True):
        _download("CSV", "csv", "text/csv", lambda: as_csv(passing))
        _download("JSONL", "jsonl", "application/x-ndjson", lambda: as_jsonl(passing))


def chosen(look: Look) -> list[Action]:
    """The lines of the window that the address asks for, newest first."""
    start, end = look.view.window.bounds(look.now)
    who, kind, spoken = address.held("who"), address.held("action"), address.held("q").lower().split()
    return [
        action
        for action in look.sources.store.audit(limit=MOST_KEPT, start=start, end=end)
        if (not who or action.who == who)
        and (not kind or action.action == kind)
        and _mentions(action, spoken)
    ]


def table(actions: Sequence[Action], zone: str) -> pd.DataFrame:
    """One row a line, in the viewer's time."""
    when = pd.to_datetime([action.at for action in actions], unit="s", utc=True)
    rows = [
        {
            "who": visible(action.who) or "the dashboard",
            "action": visible(action.action),
            "what": visible(action.subject),
            "from": visible(action.address),
            "login": visible(action.account) or ("none" if action.who else ""),
            "session": visible(action.session),
            "detail": visible(_detail(action)),
        }
        for action in actions
    ]
    return pd.DataFrame(rows).assign(when=when.tz_convert(zone).tz_localize(None))[["when", *rows[0]]]


def as_jsonl(actions: Sequence[Action]) -> str:
    """One JSON object a line, exactly as kept; times are ISO 8601 in UTC."""
    return "".join(json.dumps(_fields(action), ensure_ascii=False) + "\n" for action in actions)


def as_csv(actions: Sequence[Action]) -> str:
    """A header and one line each; what a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(FIELDS)
    for action in actions:
        fields = _fields(action) | {"detail": _detail(action)}
        writer.writerow([tame(str(fields[name])) for name in FIELDS])
    return text.getvalue()


def _admitted(sources: Sources, *, said: bool) -> bool:
    try:
        people.require(person.standing(sources), Role.ADMIN, sources.settings, writes=False)
    except Refused as why:
        if said:
            st.warning(plain(str(why)), icon=":material/lock:")
        return False
    return True


def _download(label: str, suffix: str, mime: str, write: Callable[[], str]) -> None:
    """A file that is written only when somebody asks for it."""
    st.download_button(
        label, write, file_name=f"audit.{suffix}", mime=mime, icon=":material/download:", key=f"audit-{suffix}",
        on_click="ignore",
    )  # fmt: skip


def _fields(action: Action) -> dict[str, object]:
    return {
        "at": datetime.fromtimestamp(action.at, UTC).isoformat().replace("+00:00", "Z"),
        "who": action.who,
        "account": action.account,
        "action": action.action,
        "subject": action.subject,
        "address": action.address,
        "session": action.session,
        "detail": dict(action.detail),
    }


def _detail(action: Action) -> str:
    return json.dumps(action.detail, ensure_ascii=False) if action.detail else ""


def _mentions(action: Action, spoken: Sequence[str]) -> bool:
    everything = " ".join(str(value) for value in _fields(action).values()).lower()
    return all(word in everything for word in spoken)


def _names(actions: Sequence[Action]) -> list[str]:
    return sorted({action.who for action in actions if action.who})
