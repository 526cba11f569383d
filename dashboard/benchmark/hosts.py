"""The benchmark runs of every host whose dashboards share one store: seen, started and cancelled from any of them.

Each dashboard measures on its own machine, in its own data directory. A thread of the server shows its runs on the store's
board and carries out what others asked of it; nothing is measured, and no run depends on the board: while the store is
down, every dashboard has its own runs as before, and those of others as they were last seen, which is said.
"""

import json
import platform
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from collectors.unavailable import Unavailable
from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.index import RunSummary, summary_from, summary_text
from dashboard.benchmark.progress import Progress
from dashboard.benchmark.runs import Benchmarks, NoSuchRun, RunView
from dashboard.benchmark.starting import CannotStart
from dashboard.store.board import Board, PlaceSeen, Posted

LOOK_SECONDS = 1.0  # how often the board is looked at for requests, and runs under way are shown
SILENT_SECONDS = 15.0  # without a sign of life from a place nothing is claimed about its runs under way
REQUEST_SECONDS = 120.0  # a wish that nobody took up in this time is not carried out any more
_SHOWN = 100  # of our runs that ended, on the board


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A dashboard elsewhere that takes requests."""

    place: str
    name: str  # for people: the host, and its directory where one host has several
    targets: Mapping[str, str]  # name → why it cannot run now, empty if it can
    devices: Mapping[str, str]  # as `Benchmarks.start` takes them → for people
    silent_seconds: float | None  # since it was last heard, where that is too long; None while it lives


class Hosts:
    """Our runs and those of the other places, in one list.

    Args:
        ours: the runs of this dashboard.
        board: of the shared store; None where the store is not shared.
        devices: what can be chosen here, as `Benchmarks.start` takes it → for people.
    """

    def __init__(
        self,
        ours: Benchmarks,
        board: Board | None,
        devices: Callable[[], Mapping[str, str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ours = ours
        self._board = board
        self._devices = devices
        self._clock = clock
        self._host = platform.node()
        self._place = f"{self._host}:{ours.root}"
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._posted: dict[str, str] = {}  # run → what the board has of it
        self._others: tuple[float, tuple[Posted, ...], tuple[PlaceSeen, ...]] | None = None
        self._lock = threading.Lock()
        self.unavailable: Unavailable | None = None  # why the board could not be used, the last time

    # --- looking

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run of every place, newest first; `host` is empty for our own."""
        mine = self.ours.runs()
        known = {run.run_id for run in mine}
        posted, places = self._look()
        names = _names(places)
        theirs = [
            self._aged(summary_from(run.summary), run, places, names)
            for run in posted
            if run.run_id not in known
        ]
        return tuple(sorted((*mine, *theirs), key=lambda run: run.run_id, reverse=True)) if theirs else mine

    def run(self, run_id: str) -> RunView:
        """One run, wherever it is measured.

        Raises:
            NoSuchRun: no run has this id.
        """
        try:
            return self.ours.run(run_id)
        except NoSuchRun:
            if self._board is None:
                raise
        try:
            found = self._board.one(run_id)
        except Unavailable as why:
            self.unavailable = why
            raise NoSuchRun(run_id) from why
        if found is None:
            raise NoSuchRun(run_id)
        _, places = self._look()
        detail: dict[str, Any] = json.loads(found.detail)
        summary = self._aged(summary_from(found.summary), found, places, _names(places))
        progress = Progress(**detail["progress"])
        if summary.state not in TERMINAL and progress.seconds_left is not None:
            since = max(0.0, self._clock() - found.at)
            progress = replace(progress, seconds_left=max(0.0, progress.seconds_left - since))
        return RunView(
            summary=summary,
            state=summary.state,
            progress=progress,
            error=detail["error"],
            cancel_asked_by=detail["cancel_asked_by"],
            report=detail["report"],
        )

    def places(self) -> tuple[Place, ...]:
        """The other places, those that live first."""
        _, places = self._look()
        names = _names(places)
        found = []
        for seen in places:
            if seen.place == self._place:
                continue
            offers = json.loads(seen.offers)
            silent = self._clock() - seen.heard_at
            found.append(
                Place(
                    place=seen.place,
                    name=names[seen.place],
                    targets=offers["targets"],
                    devices=offers["devices"],
                    silent_seconds=silent if silent > SILENT_SECONDS else None,
                )
            )
        return tuple(sorted(found, key=lambda place: (place.silent_seconds is not None, place.name)))

    def refused(self, place: str) -> tuple[tuple[str, str], ...]:
        """Requests to a place that came to nothing in the last minutes: (who, why)."""
        if self._board is None:
            return ()
        try:
            return self._board.refused(place, younger_than_seconds=2 * REQUEST_SECONDS)
        except Unavailable:
            return ()

    # --- asking

    def cancel(self, run_id: str, who: str) -> None:
        """Cancel a run here, or ask its place to.

        Raises:
            NoSuchRun: no run has this id.
            Unavailable: it is elsewhere, and the store cannot be used.
        """
        try:
            self.ours.cancel(run_id, who)
        except NoSuchRun:
            if self._board is None or (found := self._board.one(run_id)) is None:
                raise
            self._board.ask(found.place, "cancel", json.dumps({"run_id": run_id}), who)

    def ask_to_start(self, place: str, *, who: str, **asked: str) -> None:
        """Ask another place to start a run; it appears in the list when that place did.

        Args:
            asked: target, profile, device and idempotency_key, as `Benchmarks.start` takes them.

        Raises:
            CannotStart: there is no such place, or it has not been heard of lately.
            Unavailable: the store cannot be used.
        """
        there = next((found for found in self.places() if found.place == place), None)
        if self._board is None or there is None:
            raise CannotStart("There is no such host.")
        if there.silent_seconds is not None:
            raise CannotStart(f"{there.name} has not been heard of for {there.silent_seconds:.0f} s.")
        if asked["target"] not in there.targets:
            raise CannotStart(f"{asked['target']!r} is not configured on {there.name}.")
        self._board.ask(place, "start", json.dumps(asked), who)

    # --- the other side: showing ours, and doing what others asked

    def start(self) -> None:
        """Show our runs from now on; nothing happens where the store is not shared."""
        if self._board is not None and self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="benchmark-board", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop showing them; the runs go on."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _serve(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self.exchange()
                self.unavailable = None
            except Unavailable as why:
                self.unavailable = why
                self._over.wait(5 * LOOK_SECONDS)
            except OSError as why:  # our own directory cannot be read: others see us fall silent
                self.unavailable = Unavailable(f"The benchmark runs cannot be read ({why}).", kind="store")

    def exchange(self) -> None:
        """Once: do what was asked, then show what is new.

        Raises:
            Unavailable: the store cannot be used.
        """
        board = self._board
        if board is None:
            return
        for request in board.claim(self._place, younger_than_seconds=REQUEST_SECONDS):
            board.answer(request.number, self._done(request.action, json.loads(request.detail), request.who))
        fresh = []
        for summary in self.ours.runs()[:_SHOWN]:
            if summary.state in TERMINAL and self._posted.get(summary.run_id) == summary.state:
                continue
            seen = self.ours.run(summary.run_id)
            detail = {
                "progress": asdict(seen.progress),
                "error": seen.error,
                "cancel_asked_by": seen.cancel_asked_by,
                "report": seen.report,
            }
            fresh.append(
                Posted(summary.run_id, self._place, summary_text(seen.summary), json.dumps(detail), 0.0)
            )
            self._posted[summary.run_id] = seen.state
        offers = {
            "targets": {target.name: target.why_not for target in self.ours.targets()},
            "devices": dict(self._devices()),
        }
        board.post(PlaceSeen(self._place, self._host, json.dumps(offers), 0.0), fresh)

    def _done(self, action: str, detail: dict[str, Any], who: str) -> str:
        """Carry out one request; what became of it. What is asked is checked here as if asked here."""
        try:
            if action == "cancel":
                return f"cancel: {self.ours.cancel(str(detail['run_id']), who)}"
            if action == "start":
                return self.ours.start(
                    str(detail["target"]),
                    str(detail["profile"]),
                    str(detail["device"]),
                    owner=who,
                    idempotency_key=str(detail["idempotency_key"]),
                )
        except (CannotStart, NoSuchRun, KeyError, OSError) as why:
            return f"refused: {why}"
        return f"refused: {action!r} is not known here"

    # --- the board, looked at once a second for everybody

    def _look(self) -> tuple[tuple[Posted, ...], tuple[PlaceSeen, ...]]:
        if self._board is None:
            return (), ()
        with self._lock:
            if self._others is None or time.monotonic() - self._others[0] > LOOK_SECONDS:
                try:
                    self._others = time.monotonic(), self._board.posted(but=self._place), self._board.places()
                except Unavailable as why:
                    self.unavailable = why
                    _, posted, places = self._others or (0.0, (), ())
                    self._others = time.monotonic() + 4 * LOOK_SECONDS, posted, places
            return self._others[1:]

    def _aged(
        self, summary: RunSummary, run: Posted, places: tuple[PlaceSeen, ...], names: Mapping[str, str]
    ) -> RunSummary:
        """A run elsewhere, with its host; one under way on a place that fell silent says so and claims nothing."""
        heard = next((seen.heard_at for seen in places if seen.place == run.place), run.at)
        found = replace(summary, host=names.get(run.place, run.place))
        silent = self._clock() - heard
        if summary.state not in TERMINAL and silent > SILENT_SECONDS:
            when = datetime.fromtimestamp(heard).astimezone()
            return replace(found, sentence=f"{found.host} has not been heard of since {when:%H:%M:%S %Z}")
        return found


def _names(places: tuple[PlaceSeen, ...]) -> dict[str, str]:
    """Place → its host; with the directory where a host has several."""
    hosts = [seen.host for seen in places]
    return {seen.place: seen.host if hosts.count(seen.host) == 1 else seen.place for seen in places}
