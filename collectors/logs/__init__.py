"""Structured logs, read from their end: one JSON object a line, in files of any size, rotated or gzipped.

    page = tail([Path("runs/r1/events.jsonl"), "logs/*.jsonl*"], level="error", limit=200)

`tail` finds the newest lines that pass a filter, `errors` counts the errors among all of them by type, `Follow` the lines that are new, `LogIndex` makes a generation's lines
quick to find in a file of millions. Knows no page and no setting; every line is outside text.
"""

from collectors.logs.errors import Errors, ErrorType, errors, grouped, least_level
from collectors.logs.follow import Follow
from collectors.logs.index import LogIndex
from collectors.logs.line import LEVELS, LogLine, parse
from collectors.logs.tail import LogPage, files, tail

__all__ = ["LEVELS", "ErrorType", "Errors", "Follow", "LogIndex", "LogLine", "LogPage", "errors", "files", "grouped", "least_level",
           "parse", "tail"]  # fmt: skip
