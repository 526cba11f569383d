"""Traces: where the time of one generation or one request went."""

from dashboard.shell import page, traces

page(
    title="Traces",
    question="Where did the time of one generation or one request go?",
    above=traces.filters,
    rows=[[traces.shown]],
)
