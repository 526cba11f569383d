"""One refresh of one page: what is known now. Everything is asked once, and only if a block wants it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dashboard.catalogue.spec import Panel
from dashboard.feed import Answer, Evolution, ExpertLoads, Run, RunList
from dashboard.figures.marks import Mark
from dashboard.shell.view import View
from dashboard.sources import Sources


@dataclass
class Look:
    """What a block is handed: the viewer's choice and, lazily, the data for it."""

    view: View
    sources: Sources
    answers: Mapping[str, Answer] = field(default_factory=dict)
    now: float = field(default_factory=time.time)

    @classmethod
    def at(cls, view: View, sources: Sources, panels: Iterable[Panel]) -> "Look":
        """Look once: all panels of the page in one batch."""
        wanted = list(panels)
        if not wanted:
            return cls(view, sources)
        return cls(
            view, sources, sources.feed.panels(wanted, view.window, run=view.run, instance=view.instance)
        )

    @cached_property
    def runs(self) -> RunList:
        """Every run known, newest first."""
        return self.sources.feed.runs(self.view.window)

    @cached_property
    def run(self) -> Run | None:
        """The run the viewer chose, else the one that evolves now, else the newest."""
        known = self.runs.runs
        if self.view.run:
            return next((run for run in known if run.run_id == self.view.run), None)
        return next((run for run in known if run.active), known[0] if known else None)

    @property
    def run_id(self) -> str:
        """The run that is shown, or "" where there is none."""
        return self.run.run_id if self.run else ""

    @cached_property
    def evolution(self) -> Evolution | None:
        """The chosen run along its generations; None where there is no run."""
        return self.sources.feed.evolution(self.run.run_id, self.view.window) if self.run else None

    @cached_property
    def experts(self) -> ExpertLoads | None:
        """The chosen run's experts; None where there is no run."""
        return self.sources.feed.experts(self.run.run_id, self.view.window) if self.run else None

    @cached_property
    def noted(self) -> tuple[Mark, ...]:
        """What happened while the curves were drawn."""
        return ()
