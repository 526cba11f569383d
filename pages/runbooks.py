"""Runbooks: what an alert means, what the system says about it right now, and what helps."""

from dashboard.shell import page, runbooks

page(
    title="Runbooks",
    question="What does this alert mean, what does the system say about it now, and what helps?",
    above=runbooks.choose,
    rows=[[runbooks.read]],
)
