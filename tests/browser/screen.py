"""A page of the dashboard in a real Chromium: opening it, waiting until it has drawn, and reading what a person sees.

Knows the marks Streamlit and plotly leave in a page, so that no test has to.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests import services

# Chromium asks its maker's servers for this and that; a test talks to loopback alone.
QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Points with a value in every plotly figure of the page, and in tables drawn on a canvas their rows.
FIGURES = """() => [...document.querySelectorAll('.js-plotly-plot')].map(div => ({
  title: div.getAttribute('aria-label') || '',
  kinds: (div._fullData || []).map(trace => trace.type),
  points: (div._fullData || []).reduce((sum, trace) => {
    const rows = trace.z ? Array.from(trace.z, row => Array.from(row)).flat() : Array.from(trace.y || trace.x || []);
    return sum + rows.filter(value => value !== null && value === value).length;
  }, 0),
}))"""


@dataclass
class Figure:
    """A plotly figure on the page."""

    title: str
    kinds: list[str]
    points: int  # with a value, over all traces


@dataclass
class Screen:
    """One open page, and every error its console reported."""

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)

    def open(self, path: str, *, seconds: float = 60.0) -> None:
        """Go to a path of the dashboard and wait until its script has run to the end once."""
        self.page.goto(self.base + path, wait_until="domcontentloaded")
        self.wait_until_idle(seconds)

    def wait_until_idle(self, seconds: float = 60.0) -> None:
        """Wait until Streamlit is connected, has drawn something and runs no script."""
        self.page.wait_for_selector("[data-testid='stMainBlockContainer'] h1", timeout=seconds * 1000)
        self.page.wait_for_selector(
            "[data-testid='stApp'][data-test-script-state='notRunning']",
            state="attached",
            timeout=seconds * 1000,
        )

    def wait_for(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """Ask until the answer is true and return it; the failure says what stood on the page."""
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:g} s for {what}. The page says:\n{self.text()}")
            self.page.wait_for_timeout(100)  # lets the page's own events in
        return answer

    def figures(self) -> list[Figure]:
        """Every plotly figure on the page as it is now."""
        return [Figure(**found) for found in self.page.evaluate(FIGURES)]

    def text(self) -> str:
        """What a person can read in the main part of the page."""
        return str(self.page.locator("[data-testid='stMain']").inner_text())

    def unroll(self) -> None:
        """Make the window as tall as the page, so that every part of it is drawn and a picture shows all of it."""
        height = self.page.evaluate(
            "Math.max(...['stMain', 'stSidebarContent'].map(id =>"
            " document.querySelector(`[data-testid=${id}]`)?.scrollHeight ?? 0))"
        )
        size = self.page.viewport_size
        assert size is not None
        self.page.set_viewport_size(
            {"width": size["width"], "height": min(8000, max(size["height"], int(height)))}
        )
        self.page.wait_for_timeout(1000)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless; Playwright's own download is not used."""
    options = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else QUIET
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=services.program("chromium"), args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def screen(
    browser: Browser,
    base: str,
    *,
    width: int = 1440,
    height: int = 900,
    scheme: str = "light",
    zone: str = "UTC",
) -> Iterator[Screen]:
    """A fresh browser session: no cookie, no cache of an earlier test."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id=zone,
        locale="en-GB",
    )
    try:
        shown = Screen(context.new_page(), base)

        def heard(message: ConsoleMessage) -> None:
            if message.type == "error":
                shown.errors.append(f"{message.text} ({message.location.get('url', '')})")

        shown.page.on("console", heard)
        shown.page.on("pageerror", lambda error: shown.errors.append(f"uncaught: {error}"))
        yield shown
    finally:
        context.close()
