"""Rows of which is known what they stand on: a refresh sends those that changed, and nothing where none did.

What is sent again is drawn again by the browser, changed or not, and that is most of what a refresh costs it
(docs/measurements/browser.md). So each row of such a page is a fragment of its own, and a small one looks for all of them.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from streamlit.runtime.scriptrunner_utils.exceptions import RerunException
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from dashboard.shell.look import Look

Block = Callable[[Look], None]
Shows = Callable[[Look], object]
"""What is shown, as a value to compare with the one before; None: nobody can tell, so it is drawn again."""

ONE_LOOK_SECONDS = 1.0  # rows that are drawn within this time show the same look


class Itself:
    """Equal to itself alone: for frames, which the feed hands out again until a number changes."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.it is other.it

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up


_shows: dict[Block, Shows] = {}


def stands_on(shows: Shows) -> Callable[[Block], Block]:
    """Declare what a block shows beside the viewer's choice, which draws the page anew anyway."""

    def declared(block: Block) -> Block:
        _shows[block] = shows
        return block

    return declared


def shown_by(block: Block) -> Shows | None:
    """What the block declared; None where it did not."""
    return _shows.get(block)


@dataclass(slots=True)
class Part:
    """A piece of a page that is sent only when what it shows has changed."""

    key: str
    draw: Callable[[Look], bool]  # whether it went well
    shows: Shows
    before: object = field(default=None, init=False)  # what it showed when it was drawn last

    def changed(self, look: Look) -> bool:
        """Whether it must be drawn again. What cannot be told is drawn: that says why."""
        try:
            now = self.shows(look)
            return now is None or self.before is None or now != self.before
        except Exception:  # noqa: BLE001  # drawing it meets the same error, and there it is logged and shown
            return True

    def redraw(self, look: Look) -> None:
        """Draw it, and remember what it shows only if that went well."""
        self.before = None
        if self.draw(look):
            self.before = self.shows(look)


@dataclass(slots=True)
class Refreshing:
    """The parts of one page in one session, as of one run of its script."""

    fresh: Callable[[], Look]
    parts: list[Part] = field(default_factory=list)
    _look: Look | None = None
    _begun: bool = False

    def look(self) -> Look:
        """The look that all parts of one refresh share."""
        if self._look is None or not 0 <= time.time() - self._look.now < ONE_LOOK_SECONDS:
            self._look = self.fresh()
        return self._look

    def beat(self) -> None:
        """Look, and have those parts drawn that changed. The first time it runs they have just been drawn."""
        if not self._begun:
            self._begun = True
            return
        self._look = None
        look = self.look()
        changed = [part.key for part in self.parts if part.changed(look)]
        if changed:
            _draw(changed)


def _draw(keys: Iterable[str]) -> None:
    """Run these fragments next, as `st.rerun(keys)` does, which Streamlit allows in callbacks only."""
    context = get_script_run_ctx()
    if context is None:
        return
    raise RerunException(
        RerunData(
            query_string=context.query_string,
            page_script_hash=context.page_script_hash,
            fragment_id_queue=context.fragment_storage.resolve_target(list(keys)),
            is_fragment_scoped_rerun=True,
            cached_message_hashes=context.cached_message_hashes,
            context_info=context.context_info,
        )
    )
