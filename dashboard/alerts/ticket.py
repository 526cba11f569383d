"""An alert as Markdown for a ticket. Everything from outside is escaped; only http(s) links are links."""

import re
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from dashboard.alerts.entry import Entry
from dashboard.alerts.markdown import escape
from dashboard.catalogue.units import SECONDS

LONGEST = 1000  # letters of one value


def ticket(entry: Entry, *, now: float, dashboard_url: str) -> str:
    """A heading, the facts as a list, the labels as a table, and links to runbook and list."""
    words = _cell(entry.annotations.get("summary", ""))
    lines = [f"## {escape(entry.name)}" + (f": {words}" if words else ""), ""]
    if entry.annotations.get("description"):
        lines += [_cell(entry.annotations["description"]), ""]
    lines.append(f"* State: **{entry.state}**" + (f" ({escape(entry.note)})" if entry.note else ""))
    if entry.since is not None:
        lines.append(f"* Condition true since {_time(entry.since)}, for {SECONDS.format(now - entry.since)}")
    if entry.fired_at is not None:
        lines.append(f"* Firing since {_time(entry.fired_at)}")
    if entry.value is not None:
        lines.append(f"* Value: {entry.value:g}")
    if entry.acknowledgement:
        taken = entry.acknowledgement
        comment = f": {escape(taken.comment)}" if taken.comment else ""
        lines.append(f"* Acknowledged by {escape(taken.who)} at {_time(taken.at)}{comment}")
    if entry.silenced is None:
        lines.append("* Whether it is silenced is unknown: no Alertmanager could be asked")
    elif entry.silenced_by:
        lines.append(f"* Silenced by {', '.join(escape(one) for one in entry.silenced_by)}")
    base = dashboard_url.rstrip("/")
    links = [f"[Runbook]({base}/runbooks?alert={quote(entry.name, safe='')})"]
    given = entry.annotations.get("runbook_url", "")
    if _is_web(given) and not given.startswith(f"{base}/runbooks?"):
        links.append(f"[runbook\\_url]({_target(given)})")
    links.append(f"[Alerts]({base}/alerts)")
    lines += [f"* {' · '.join(links)}", "", "| label | value |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in sorted(entry.labels.items())]
    if entry.query:
        longest = max((len(run) for run in re.findall(r"`+", entry.query)), default=0)
        fence = "`" * max(3, longest + 1)
        lines += ["", f"{fence}promql", entry.query, fence]
    return "\n".join([*lines, "", f"Looked at {_time(now)}."])


def _cell(text: str) -> str:
    """Text from outside, as much of it as anybody reads."""
    more = len(text) - LONGEST
    return escape(text) if more <= 0 else f"{escape(text[:LONGEST])}… ({more:,} more letters)"


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in {"http", "https"}
    except ValueError:
        return False


def _target(url: str) -> str:
    """A URL that cannot leave the parentheses of a link."""
    return quote(url, safe="/:?&=#%@+,;~!$'*-._[]")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
