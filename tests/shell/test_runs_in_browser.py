"""Choosing runs in a real Chromium: checkboxes go into the address and stay with their runs; a pinned baseline is everybody's."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from tests import services
from tests.browser.screen import Screen, screen
from tests.pages.runs import RECORDED, directory

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(180)]

ROW = 35  # pixels of a row of the table
LINES = """() => [...document.querySelectorAll('.moe-figure')].filter(one => (one.getAttribute('aria-label') || '').startsWith('Best fitness'))
  .flatMap(one => (one._fullData || []).filter(trace => trace.fill === 'none' && trace.mode === 'lines').map(trace => trace.name))"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return directory(tmp_path, "healthy", "mutation-zero")


@pytest.fixture
def base(runs: Path, tmp_path: Path) -> Iterator[str]:
    with services.dashboard(
        tmp_path / "dashboard", runs_dir=runs, refresh_seconds=1, window="30d"
    ) as running:
        yield running.url


def chosen(shown: Screen) -> list[str]:
    return parse_qs(urlsplit(shown.page.url).query).get("runs", [])


def tick(shown: Screen, row: int) -> None:
    """Click into the checkbox of a row; the table is a canvas under what scrolls it."""
    table = shown.page.locator("[data-testid='stDataFrame']").first
    table.scroll_into_view_if_needed()
    table.locator("canvas").first.click(position={"x": 18, "y": ROW * (row + 1) + ROW / 2}, force=True)


def test_a_checked_run_is_in_the_address_and_stays_chosen_when_another_run_begins(
    browser: Browser, base: str, runs: Path
):
    with screen(browser, base) as shown:
        shown.open("/evolution?refresh=2s")
        shown.wait_for(
            lambda: shown.page.locator("[data-testid='stDataFrame'] canvas").count(), 30, "the table of runs"
        )
        tick(shown, 1)  # newest first: the second row is the healthy run
        shown.wait_for(lambda: chosen(shown), 20, "the chosen run in the address")
        [healthy] = chosen(shown)
        assert healthy.startswith("healthy-")
        shown.wait_for(lambda: shown.page.evaluate(LINES) == ["healthy"], 30, "its curve")
        began_last = runs / "newest-20261123-230000-0000"
        shutil.copytree(RECORDED / "nan", began_last)
        record = json.loads((began_last / "run.json").read_text()) | {
            "run_id": began_last.name,
            "run_name": "newest",
        }
        (began_last / "run.json").write_text(json.dumps(record))
        shown.wait_for(lambda: "3 runs, newest first" in shown.page.content(), 30, "the new run in the table")
        shown.page.wait_for_timeout(3000)  # a refresh more: nothing may follow the rows
        assert chosen(shown) == [healthy]
        assert shown.page.evaluate(LINES) == ["healthy"]
        tick(shown, 0)
        shown.wait_for(lambda: len(chosen(shown)) == 2, 20, "both runs in the address")
        shown.wait_for(lambda: set(shown.page.evaluate(LINES)) == {"healthy", "newest"}, 30, "both curves")
        assert (
            chosen(shown)[0] == healthy
        )  # who was chosen first stays first, and others are measured against it
        measured = "() => document.querySelector(\"[data-testid='stSelectbox'] input[aria-label*='Measured against']\")?.value"
        shown.wait_for(
            lambda: shown.page.evaluate(measured) == "healthy", 20, "what the others are measured against"
        )
        shown.wait_for(lambda: "healthy; " in shown.text(), 20, "the area in words")
        assert shown.errors == []


def test_a_baseline_pinned_by_one_is_drawn_for_another_and_can_be_unpinned(browser: Browser, base: str):
    with screen(browser, base) as alice, screen(browser, base) as bob:
        alice.open("/evolution?refresh=2s&where=healthy")
        alice.page.get_by_role("button", name="Baseline").click()
        alice.page.get_by_role("textbox", name="Your name").fill("alice")
        alice.page.get_by_role("textbox", name="Your name").press("Enter")
        alice.page.get_by_role("button", name="Pin for everybody").click()
        alice.wait_for(lambda: "pinned by alice" in alice.page.content(), 30, "who pinned it")
        bob.open("/evolution?refresh=2s")

        def drawn() -> bool:
            bob.unroll()  # a figure out of sight is not drawn
            return set(bob.page.evaluate(LINES)) == {"healthy ★", "mutation-zero"}

        bob.wait_for(
            drawn,
            30,
            "the run against the baseline",
        )
        bob.page.get_by_role("button", name="Baseline").click()
        bob.page.get_by_role("textbox", name="Your name").fill("bob")
        bob.page.get_by_role("textbox", name="Your name").press("Enter")
        bob.page.get_by_role("button", name="Unpin").click()
        alice.wait_for(
            lambda: "No run is pinned" in alice.page.content(), 30, "that it is no baseline any more"
        )
        assert alice.errors == bob.errors == []
