"""The feed: from a panel and a window, or a run and a window, to numbers with their age. No Streamlit, no figure."""

from dashboard.feed.answer import Answer, Asked, Reading
from dashboard.feed.availability import Availability
from dashboard.feed.axis import Evolution, Segment
from dashboard.feed.counters import Counters
from dashboard.feed.exemplars import Exemplars
from dashboard.feed.experts import ExpertLoads
from dashboard.feed.feed import Feed
from dashboard.feed.loglines import LogLines
from dashboard.feed.query import fill
from dashboard.feed.runs import Run, RunList
from dashboard.feed.thinning import thin
from dashboard.feed.traces import Traces
from dashboard.feed.window import Window

__all__ = [
    "Answer", "Asked", "Availability", "Counters", "Evolution", "Exemplars", "ExpertLoads", "Feed", "LogLines", "Reading", "Run", "RunList", "Segment", "Traces", "Window",
    "fill", "thin",
]  # fmt: skip
