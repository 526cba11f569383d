"""What people said: acknowledgements, notes, ticks of runbook steps, the pinned baseline, and the audit log of everything that was done."""

from dashboard.store.said import Acknowledgement, Action, Author, Baseline, Note, Tick
from dashboard.store.store import LONGEST, Store

__all__ = ["LONGEST", "Acknowledgement", "Action", "Author", "Baseline", "Note", "Store", "Tick"]
