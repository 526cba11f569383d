"""Logs: what the runs wrote, newest first, narrowed to what matters."""

from dashboard.shell import logs, page

page(
    title="Logs",
    question="What did the runs write, and what went wrong?",
    controls=(),
    above=logs.filters,
    rows=[[logs.lines]],
)
