"""One refresh of one page: what is known now. Everything is asked once, and only if a block wants it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from collectors.unavailable import Unavailable
from dashboard.alerts.entry import AlertList
from dashboard.catalogue.spec import Panel
from dashboard.feed import Answer, Evolution, ExpertLoads, Run, RunList
from dashboard.figures.marks import Mark
from dashboard.shell import noted
from dashboard.shell.view import View
from dashboard.sources import Sources
from dashboard.verdict.evolution import Standing, Verdict, judge


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
    def verdict(self) -> Verdict | None:
        """How the chosen run is doing; None where there is no run."""
        run, evolution = self.run, self.evolution
        if run is None or evolution is None:
            return None
        seen = self.now if not evolution.unavailable or evolution.looked_at is None else evolution.looked_at
        restarts = tuple(segment.reason for segment in evolution.segments[1:])
        return judge(Standing(run.state, run.reason, run.active), evolution.frame, seen, restarts=restarts)

    @cached_property
    def experts(self) -> ExpertLoads | None:
        """The chosen run's experts; None where there is no run."""
        return self.sources.feed.experts(self.run.run_id, self.view.window) if self.run else None

    @cached_property
    def alerts(self) -> AlertList:
        """The list of alerts: one for all blocks of the page, so that their counts agree."""
        return self.sources.alerts.look()

    def stale(self) -> list[tuple[Unavailable, float | None]]:
        """Of what was looked at so far: why the newest look failed, and when the shown numbers were good."""
        found = [(answer.unavailable, answer.looked_at) for answer in self.answers.values() if answer.stale]
        evolution, experts = (
            self.__dict__.get("evolution"),
            self.__dict__.get("experts"),
        )  # only what a block asked for
        if (
            evolution is not None
            and not evolution.frame.empty
            and evolution.frame["source"].iloc[-1] != "log"
        ):
            found += [(why, evolution.looked_at) for why in evolution.unavailable]
        if experts is not None and experts.load:
            found.append((experts.unavailable, experts.looked_at))
        return [(why, looked_at) for why, looked_at in found if why is not None]

    def missed(self) -> list[Unavailable]:
        """Of what was looked at so far: every failed look at a source; the blocks say them."""
        runs = self.__dict__.get("runs")
        found = [answer.unavailable for answer in self.answers.values() if answer.unavailable is not None]
        return found + [why for why, _ in self.stale()] + list(runs.unavailable if runs is not None else ())

    @property
    def runs_are_partial(self) -> bool:
        """Whether runs are shown that come from one source while the other cannot be read."""
        known = self.__dict__.get("runs")
        return known is not None and bool(known.runs) and bool(known.unavailable)

    @cached_property
    def noted(self) -> tuple[Mark, ...]:
        """What happened while the curves were drawn: alert episodes of this run and benchmark runs."""
        return noted.marks(self.sources, self.view.window, self.run_id, self.now)
