"""Runbooks that run: Markdown pages, one per alert, whose checks ask Prometheus and answer in words.

    runbook = load("ExpertDead", settings.runbooks_dirs)
    context = Context(labels=alert.labels, value=alert.value, start=alert.since, end=now)
    for piece in runbook.pieces:
        Text, Step: fill_markdown(piece.markdown, context)
        Check:      evaluate(piece.rows, samples of fill_promql(piece.promql, context))

Nothing here asks a source, draws, or executes anything a page says.
"""

from dashboard.runbooks.reader import HEADINGS, Check, Piece, Runbook, Section, Step, Text
from dashboard.runbooks.shelf import Covered, NoRunbook, blank, coverage, load, names
from dashboard.runbooks.template import Context, TemplateError
from dashboard.runbooks.template import markdown as fill_markdown
from dashboard.runbooks.template import promql as fill_promql
from dashboard.runbooks.verdict import Level, Row, Summary, Verdict, evaluate, summary

__all__ = [
    "HEADINGS", "Check", "Context", "Covered", "Level", "NoRunbook", "Piece", "Row", "Runbook", "Section", "Step",
    "Summary", "TemplateError", "Text", "Verdict", "blank", "coverage", "evaluate", "fill_markdown", "fill_promql",
    "load", "names", "summary",
]  # fmt: skip
