"""Audit: who did what here, when, and from where."""

from dashboard.shell import audit, page

page(
    title="Audit",
    question="Who did what here, when, and from where?",
    above=audit.filters,
    rows=[[audit.listed]],
)
