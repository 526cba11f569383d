"""What is sent again at a refresh: what changed, what nobody can tell, and what failed the last time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pandas as pd
import pytest

from dashboard.shell import steady
from dashboard.shell.look import Look
from dashboard.shell.steady import Itself, Part, Refreshing

LOOK = cast("Look", None)  # these parts do not read it


@dataclass
class Shown:
    """A part whose content the test sets."""

    content: Any
    well: bool = True
    drawn: int = 0
    part: Part = field(init=False)

    def __post_init__(self) -> None:
        self.part = Part("part", self.draw, lambda _: self.content)

    def draw(self, _: Look) -> bool:
        self.drawn += 1
        return self.well


def test_a_part_is_drawn_again_when_what_it_shows_is_another():
    shown = Shown(("run-1", 3))
    assert shown.part.changed(LOOK), "never drawn"
    shown.part.redraw(LOOK)
    shown.content = ("run-1", 3)
    assert not shown.part.changed(LOOK)
    shown.content = ("run-1", 4)
    assert shown.part.changed(LOOK)


def test_frames_are_compared_by_identity():
    frame = pd.DataFrame({"generation": [1, 2]})
    shown = Shown(("run-1", Itself(frame)))
    shown.part.redraw(LOOK)
    shown.content = ("run-1", Itself(frame))
    assert not shown.part.changed(LOOK)
    shown.content = ("run-1", Itself(frame.copy()))
    assert shown.part.changed(LOOK)


def test_what_nobody_can_tell_is_drawn_at_each_refresh():
    shown = Shown(None)
    shown.part.redraw(LOOK)
    assert shown.part.changed(LOOK)


def test_a_part_that_failed_is_tried_again_though_nothing_changed():
    shown = Shown("the same", well=False)
    shown.part.redraw(LOOK)
    assert shown.part.changed(LOOK)
    shown.well = True
    shown.part.redraw(LOOK)
    assert not shown.part.changed(LOOK)


def test_a_part_whose_content_cannot_be_told_for_a_mistake_is_drawn_and_says_so():
    def broken(_: Look) -> object:
        raise ZeroDivisionError

    assert Part("part", lambda _: True, broken).changed(LOOK)


def test_a_part_that_is_interrupted_is_drawn_at_the_next_refresh():
    shown = Shown("the same")
    shown.part.redraw(LOOK)

    def interrupted(_: Look) -> bool:
        raise KeyboardInterrupt

    shown.part.draw = interrupted
    with pytest.raises(KeyboardInterrupt):
        shown.part.redraw(LOOK)
    assert shown.part.changed(LOOK)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    found: list[list[str]] = []
    monkeypatch.setattr(steady, "_draw", lambda keys: found.append(list(keys)))
    return found


def looks() -> Callable[[], Look]:
    return lambda: Look(view=cast("Any", None), sources=cast("Any", None), now=time.time())


def test_a_beat_asks_for_the_parts_that_changed_and_for_none_where_none_did(queued: list[list[str]]):
    first, second = Shown(1), Shown(2)
    first.part.key, second.part.key = "first", "second"
    refreshing = Refreshing(looks(), [first.part, second.part])
    for part in refreshing.parts:
        part.redraw(refreshing.look())
    refreshing.beat()  # of the script's own run, which has just drawn them
    refreshing.beat()
    assert queued == []
    second.content = 3
    refreshing.beat()
    assert queued == [["second"]]


def test_all_parts_of_one_refresh_share_one_look_and_the_next_has_its_own(queued: list[list[str]]):
    refreshing = Refreshing(looks())
    first = refreshing.look()
    assert refreshing.look() is first
    refreshing.beat()
    refreshing.beat()
    assert refreshing.look() is not first
