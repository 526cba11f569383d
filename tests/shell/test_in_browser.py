"""Figures in a real Chromium: what a viewer did to one survives a refresh."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, WebSocket

from tests import services
from tests.browser.screen import Screen, screen
from tests.pages.runs import directory

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(180)]

FIGURE = "document.querySelector('.js-plotly-plot')"
RANGE = f"() => {FIGURE}._fullLayout.xaxis.range.map(end => typeof end === 'string' ? Date.parse(end + 'Z') : end)"
LAST = f"() => {{ const trace = {FIGURE}._fullData.find(one => one.name === 'best so far'); return trace.x[trace.x.length - 1]; }}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return directory(tmp_path_factory.mktemp("recorded"), "healthy")


@pytest.fixture(scope="module")
def base(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with services.dashboard(
        tmp_path_factory.mktemp("dashboard"), runs_dir=runs, refresh_seconds=1, window="30d"
    ) as running:
        yield running.url


@pytest.fixture
def shown(browser: Browser, base: str) -> Iterator[Screen]:
    with screen(browser, base, zone="America/New_York") as opened:
        yield opened


def drawn(shown: Screen) -> None:
    shown.wait_for(lambda: shown.page.evaluate(f"() => !!{FIGURE}?._fullData?.length"), 60, "a figure")


def zoom(shown: Screen) -> list[float]:
    """Drag over the middle of the first figure; the x range it shows then."""
    before = shown.page.evaluate(RANGE)
    box = shown.page.locator(".nsewdrag").first.bounding_box()
    assert box is not None
    at = box["y"] + 40
    shown.page.mouse.move(box["x"] + 0.3 * box["width"], at)
    shown.page.mouse.down()
    shown.page.mouse.move(box["x"] + 0.6 * box["width"], at, steps=5)
    shown.page.mouse.up()
    shown.wait_for(lambda: shown.page.evaluate(RANGE) != before, 10, "the zoomed range")
    found: list[float] = shown.page.evaluate(RANGE)
    return found


def one_more_generation(runs: Path) -> int:
    """The run goes on by a generation."""
    [log] = runs.glob("*/generations.jsonl")
    line = json.loads(log.read_text().splitlines()[-1])
    line["generation"] += 1
    line["elapsed_time_seconds"] += 2
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return int(line["generation"])


def test_zoom_survives_a_refresh_with_new_points(shown: Screen, runs: Path):
    shown.open("/evolution?refresh=2s")
    drawn(shown)
    zoomed = zoom(shown)
    newest = one_more_generation(runs)
    shown.wait_for(lambda: shown.page.evaluate(LAST) == newest, 20, f"generation {newest}")
    assert shown.page.evaluate(RANGE) == zoomed
    assert shown.errors == []


def test_a_refresh_in_which_nothing_changed_sends_nothing(shown: Screen):
    """No more than the frame of a script run; a page that draws anew sends about fifty messages."""
    received: list[int] = []  # messages since each of the browser's own

    def counted(socket: WebSocket) -> None:
        socket.on("framesent", lambda _: received.append(0))
        socket.on("framereceived", lambda _: received.append((received.pop() if received else 0) + 1))

    shown.page.on("websocket", counted)
    shown.open("/evolution?refresh=2s")
    drawn(shown)
    opened = len(received)
    shown.wait_for(
        lambda: len(received) > opened + 4 and max(received[-4:-1]) <= 8,
        60,
        "three refreshes without content",
    )
    assert shown.page.evaluate(f"() => {FIGURE}._fullData.length")
    assert "Pace" in shown.text()
    assert "Report of this run" in shown.text()
    assert shown.errors == []


def test_another_axis_shows_the_part_that_was_zoomed(shown: Screen):
    shown.open("/evolution?refresh=off")
    drawn(shown)
    low, high = zoom(shown)
    shown.page.get_by_text("Elapsed time", exact=True).first.click()
    shown.wait_for(
        lambda: shown.page.evaluate(f"() => {FIGURE}.layout.meta.axis") == "elapsed", 20, "the elapsed axis"
    )
    seconds = shown.page.evaluate(RANGE)
    pace = 322.9 / 150
    assert seconds == pytest.approx([low * pace, high * pace], rel=0.15)


def test_the_address_holds_the_zoom_for_whoever_it_is_sent_to(shown: Screen, browser: Browser, base: str):
    shown.open("/evolution?refresh=off")
    drawn(shown)
    zoomed = zoom(shown)
    shown.wait_for(lambda: "zoom=" in shown.page.url, 20, "the zoom in the address")
    path = shown.page.url.removeprefix(base)
    with screen(browser, base) as other:
        other.open(path)
        drawn(other)
        assert other.page.evaluate(RANGE) == pytest.approx(zoomed, abs=0.05)
        other.open(path + "&axis=elapsed")
        drawn(other)
        pace = 322.9 / 150
        assert other.page.evaluate(RANGE) == pytest.approx([end * pace for end in zoomed], rel=0.15)
        assert other.errors == []
    shown.page.locator(".moe-figure").first.focus()
    shown.page.keyboard.press("Home")
    shown.wait_for(lambda: "zoom=" not in shown.page.url, 20, "an address without a zoom")


def test_clock_time_is_the_viewers(shown: Screen, runs: Path):
    shown.open("/evolution?refresh=off&axis=time")
    drawn(shown)
    [record] = runs.glob("*/run.json")
    hour = int(json.loads(record.read_text())["started_at"][11:13])
    first = shown.page.evaluate(f"() => {FIGURE}._fullData.find(one => one.name === 'best so far').x[0]")
    assert int(first[11:13]) == (hour - 5) % 24  # New York in November


def test_a_figure_can_be_moved_by_keyboard_and_says_what_it_is(shown: Screen):
    shown.open("/evolution?refresh=off")
    drawn(shown)
    before = shown.page.evaluate(RANGE)
    figure = shown.page.locator(".moe-figure").first
    assert "best so far" in (figure.get_attribute("aria-label") or "")
    figure.focus()
    shown.page.keyboard.press("+")
    shown.wait_for(lambda: shown.page.evaluate(RANGE)[0] > before[0], 10, "a narrower range")
    shown.page.keyboard.press("Home")
    shown.wait_for(
        lambda: shown.page.evaluate(RANGE) == pytest.approx(before, rel=0.01), 10, "everything again"
    )
