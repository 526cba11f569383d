"""Runbooks that run: Markdown pages, one per alert, whose checks ask Prometheus and answer in words.

    runbook = load("ExpertDead", settings.runbooks_dirs)
    context = Context(labels=alert.labels, value=alert.value, start=alert.since, end=now)
    for piece in runbook.pieces:
        Text, Step: fill_markdown(piece.markdown, context)
        Check:      evaluate(piece.rows, samples of fill_promql(piece.asks.promql, context)), or of
                    piece.asks.question.answer(origins, piece.asks.filled(context)).points
        Action:     a button, by its name

Nothing here draws, or executes anything a page says.
"""

from dashboard.runbooks.actions import Action
from dashboard.runbooks.questions import Call, Found, Origins
from dashboard.runbooks.reader import HEADINGS, Check, Piece, Query, Runbook, Section, Step, Text
from dashboard.runbooks.shelf import Covered, NoRunbook, blank, coverage, load, names
from dashboard.runbooks.template import Context, TemplateError
from dashboard.runbooks.template import markdown as fill_markdown
from dashboard.runbooks.template import promql as fill_promql
from dashboard.runbooks.verdict import Level, Row, Summary, Verdict, evaluate, summary

__all__ = [
    "HEADINGS", "Action", "Call", "Check", "Context", "Covered", "Found", "Level", "NoRunbook", "Origins", "Piece", "Query",
    "Row", "Runbook", "Section", "Step", "Summary", "TemplateError", "Text", "Verdict", "blank", "coverage", "evaluate",
    "fill_markdown", "fill_promql", "load", "names", "summary",
]  # fmt: skip
