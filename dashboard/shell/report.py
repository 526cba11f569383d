"""Buttons that hand out a report: the chosen run as one HTML file, the chosen window as a zip with its CSV files."""

import re

import streamlit as st

from dashboard import people
from dashboard.people import Refused, Role
from dashboard.report import gather, incident, tables
from dashboard.report import run as run_report
from dashboard.shell import person
from dashboard.shell.look import Look
from dashboard.shell.steady import stands_on


@stands_on(lambda look: (look.run_id,))
def of_run(look: Look) -> None:
    """The chosen run, as long as it lived. Nothing is worked out before somebody presses the button."""
    run = look.run
    if run is None:
        return
    sources = look.sources
    st.download_button(
        "Report of this run", lambda: run_report.page(gather.of_run(sources, run.run_id)).encode(),
        file_name=f"{_file(run.run_id)}.html", mime="text/html", key="report-run", on_click="ignore", icon=":material/description:",
        help="One HTML file that opens without network: verdict, curves, experts, topology, alerts and errors.",
    )  # fmt: skip


def of_window(look: Look) -> None:
    """Everything in the chosen window, for after an incident."""
    sources, window = look.sources, look.view.window
    audit = _may_read_audit(look)

    def zipped() -> bytes:
        found = gather.of_range(sources, window, audit=audit)
        return tables.zipped(incident.page(found), incident.tables(found))

    st.download_button(
        "Report of this window", zipped, file_name="report.zip", mime="application/zip", key="report-window", on_click="ignore",
        icon=":material/description:",
        help="Alerts, charts, logs, benchmark runs and what people wrote in this window: one HTML file and its numbers as CSV.",
    )  # fmt: skip


def _may_read_audit(look: Look) -> bool:
    settings = look.sources.settings
    try:
        people.require(person.standing(look.sources), Role.ADMIN, settings, writes=False)
    except Refused:
        return False
    return True


def _file(run_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run_id).strip(".-")[:80] or "run"
