"""The banner that stands on every page while the monitoring itself is not sound: silence is then no good news.

Shows what the list of alerts found out about its own way; asks nobody.
"""

from collections.abc import Collection

import streamlit as st

from dashboard.alerts.entry import Finding
from dashboard.shell import links
from dashboard.shell.look import Look
from dashboard.shell.text import plain

MOST = 3  # findings told one by one
UNREADABLE = "prometheus-unavailable"
# Not having one is a choice, and the pages that need one say so.
CHOSEN = frozenset({"no-prometheus", "no-alertmanager"})
EVERYTHING = CHOSEN | {
    UNREADABLE, "no-rules", "rules-failing", "rules-late", "no-watchdog", "watchdog-missing", "target-down", "scrape-old",
    "alertmanager-unavailable", "alertmanager-unread", "alertmanager-cluster", "watchdog-not-arrived",
}  # fmt: skip
"""Every kind of finding, for pages that tell them all."""


def banner(look: Look, told: Collection[str] = ()) -> None:
    """What is wrong with the way alerts take, the worst first; nothing where it is sound.

    Args:
        look: after the blocks of the page were drawn: a source they call unreadable is not called so twice.
        told: kinds of findings that the page tells itself.
    """
    found = findings(look, told)
    if not found:
        return
    said = [f"{finding.words} {finding.advice}".strip() for finding in found[:MOST]]
    if len(found) > MOST:
        said.append(f"And {len(found) - MOST} more.")
    bad = found[0].level == "bad"
    with st.container(key="pipeline"):
        (st.error if bad else st.warning)(
            "**The monitoring itself is not sound.** " + plain(" ".join(said)),
            icon=":material/error:" if bad else ":material/warning:",
        )
        links.to("health", "Health checks", icon=":material/health_and_safety:")


def findings(look: Look, told: Collection[str] = ()) -> list[Finding]:
    """What the banner tells, the worst first."""
    if set(told) >= EVERYTHING:
        return []
    left_out = CHOSEN | set(told) | ({UNREADABLE} if look.missed() else set())
    found = [finding for finding in look.sources.alerts.glance().findings if finding.kind not in left_out]
    return sorted(found, key=lambda finding: finding.level != "bad")
