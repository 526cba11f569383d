"""Windows as in the URL, and the grids they are asked on."""

import pytest

from dashboard.feed import Window
from dashboard.feed.window import grid, step_seconds

NOW = 1_795_410_003.7


def test_both_ends_missing_is_the_default():
    window = Window.parse(None, None, "6h")
    assert (window.from_, window.to, window.live, window.label()) == ("now-6h", "now", True, "last 6 hours")
    assert window.seconds(NOW) == 6 * 3600


def test_epoch_milliseconds_are_a_fixed_window():
    window = Window.parse("1795400000000", "1795403600000")
    assert window.bounds(NOW) == (1_795_400_000.0, 1_795_403_600.0)
    assert not window.live
    assert window.label() == "2026-11-23 02:13:20 UTC to 2026-11-23 03:13:20 UTC"


@pytest.mark.parametrize(
    ("from_", "to"),
    [
        ("yesterday", "now"),
        ("now-6x", "now"),
        ("now", "now-1h"),
        ("now-1h", "'; drop"),
        ("1", "2"),
        ("now+1h", "now"),
        ("now-1h", "now-1h"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(from_, to):
    with pytest.raises(ValueError, match=r"\.$"):
        Window.parse(from_, to)


@pytest.mark.parametrize("span", [60, 3600, 21_600, 86_400, 604_800, 31_536_000, 10 * 31_536_000])
@pytest.mark.parametrize("scrape", [0.5, 5, 15, 60])
def test_a_grid_is_aligned_not_too_fine_and_never_too_long(span, scrape):
    steps = grid(Window(f"now-{span}s"), NOW, scrape)
    assert steps.start % steps.step == steps.end % steps.step == 0
    assert steps.step >= scrape
    assert steps.points <= 402
    assert steps.end <= NOW
    later = grid(Window(f"now-{span}s"), NOW + 0.2, scrape)
    assert later == steps, "a moment later the question is the same"


def test_steps_are_round():
    assert [step_seconds(span, 15) for span in (3600, 21_600, 86_400)] == [15, 60, 240]


def test_a_window_that_ends_in_the_future_ends_now():
    assert grid(Window("1795400000000", "1795499999000"), NOW, 15).end <= NOW
