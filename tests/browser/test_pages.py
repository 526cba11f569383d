"""Every page of the site map in Chromium, on a running demo: its main figure has points, its console no error."""

import re
from collections.abc import Callable

import pytest

from dashboard.demo import Demo
from dashboard.sitemap import ENTRIES
from tests.browser.screen import Screen

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(420)]

Found = Callable[[Screen], object]


def drawn(at_least: int, *, kind: str = "") -> Found:
    """A plotly figure (with a trace of that kind) of at least so many points."""

    def found(shown: Screen) -> bool:
        return any(
            figure.points >= at_least for figure in shown.figures() if not kind or kind in figure.kinds
        )

    return found


def painted(shown: Screen) -> bool:
    """The heatmap on a canvas, over a row for each of the demo's eight experts."""
    told = shown.page.locator(".moe-heatmap").first
    return bool(told.count()) and "of 8 experts over" in (told.get_attribute("aria-label") or "")


def said(pattern: str) -> Found:
    """Words a person can read on the page."""
    return lambda shown: re.search(pattern, shown.text())


def rows(at_least: int) -> Found:
    """A table of at least so many rows; Streamlit draws it on a canvas and lists it for screen readers."""

    def found(shown: Screen) -> bool:
        counts = shown.page.locator("[data-testid='stDataFrame'] [role='grid']").evaluate_all(
            "grids => grids.map(grid => Number(grid.getAttribute('aria-rowcount')))"
        )
        return any(count - 1 >= at_least for count in counts)  # the first row is the header

    return found


# what a person came for, page by page
MAIN: dict[str, Found] = {
    "/": drawn(3),
    "/alerts": said(r"looked at \d+ \w+ \d\d:\d\d:\d\d\s+(.*\s+)?(Nothing is pending or firing|\w+ · )"),
    "/runbooks": said(r"EvolutionStagnation"),
    "/evolution": drawn(9),  # best, mean and diversity over three generations
    "/experts": painted,
    "/training": drawn(3),
    "/logs": rows(3),
    "/traces": said(r"No trace store is configured"),
    "/inference": drawn(3),
    "/hardware": drawn(3),
    "/benchmark": rows(1),  # one a measured size, of a benchmark that `FIRST` starts
    "/health-checks": said(r"(?i)prometheus"),
    "/audit": said(r"\d+ lines between the chosen times"),
}


def start_benchmark(shown: Screen) -> None:
    """Press the button, as a person would, and wait for the result of the shortest profile."""
    name = shown.page.get_by_role("textbox", name="Your name")
    name.fill("Reader")
    name.press("Enter")
    shown.wait_until_idle()
    shown.page.get_by_role("button", name="Start").click()
    shown.wait_for(lambda: re.search(r"(?i)queued|running|done", shown.text()), 30, "the benchmark to start")
    shown.wait_for(lambda: re.search(r"\bdone\b", shown.text()), 240, "the benchmark to end")


# what must happen on a page before there is anything to see
FIRST: dict[str, Callable[[Screen], None]] = {"/benchmark": start_benchmark}


def test_every_page_of_the_site_map_is_looked_at():
    assert set(MAIN) == {"/" + entry.url for entry in ENTRIES}


@pytest.mark.parametrize("path", MAIN)
def test_a_page_shows_what_it_is_for_and_its_console_no_error(path: str, open_page: Callable[..., Screen]):
    shown = open_page(path)
    FIRST.get(path, lambda _: None)(shown)
    shown.unroll()
    shown.wait_for(lambda: MAIN[path](shown), 60, f"the main thing on {path} (figures: {shown.figures()})")
    assert shown.errors == []
    assert "Traceback" not in shown.text()
    assert "could not be drawn" not in shown.text()
    assert not shown.page.locator("[data-testid='stException']").count()


@pytest.mark.parametrize("path", MAIN)
def test_a_page_fits_a_telephone(path: str, open_page: Callable[..., Screen]):
    shown = open_page(path, width=390, height=844)
    wider = shown.page.evaluate(
        "document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth"
    )
    assert wider <= 0, "the page scrolls sideways"


def test_prometheus_stops_while_a_page_is_open_and_comes_back(open_page: Callable[..., Screen], demo: Demo):
    """The figures stay, the page says since when they are old and why, and recovers by itself."""
    prometheus = demo.children["Prometheus"]
    shown = open_page("/inference?from=now-5m&to=now")
    shown.wait_for(lambda: drawn(3)(shown), 60, "a figure with points")
    before = max(figure.points for figure in shown.figures())
    prometheus.stop()
    try:
        # the first look may find a connection that breaks off; every later one is refused
        why = re.compile(r"last good values, from \d+ \w+ \d\d:\d\d:\d\d .*refused")
        shown.wait_for(lambda: why.search(shown.text()), 60, "the banner that says since when and why")
        assert "Traceback" not in shown.text()
        assert max(figure.points for figure in shown.figures()) >= before, "the figures stay"
    finally:
        prometheus.start()
        prometheus.wait_ready(demo.prometheus_url + "/-/ready")
    shown.wait_for(lambda: "last good values" not in shown.text(), 60, "the banner to go")
    shown.wait_for(lambda: drawn(before)(shown), 60, "the figures to go on")
    uncaught = [error for error in shown.errors if "uncaught" in error]
    assert uncaught == []


def test_a_router_that_is_gone_is_an_alert_with_its_runbook(open_page: Callable[..., Screen], demo: Demo):
    router = demo.children["router"]
    shown = open_page("/alerts")
    router.kill()
    try:
        # "Nothing is pending" goes, and not only the history below it speaks of the alert
        quiet = said("Nothing is pending or firing")
        shown.wait_for(lambda: said("ApplicationDown")(shown) and not quiet(shown), 90, "the alert")
        link = shown.page.locator("a[href*='runbooks?alert=ApplicationDown']").first
        shown.open("/" + str(link.get_attribute("href")).lstrip("/"))
        shown.wait_for(lambda: said(r"The router is down")(shown), 60, "the runbook")
    finally:
        router.start()
        router.wait_ready(f"http://127.0.0.1:{demo.ports.router}/metrics", 120)


def test_a_page_survives_a_dashboard_that_is_restarted(open_page: Callable[..., Screen], demo: Demo):
    """The browser reconnects by itself; nobody presses reload on a wall screen."""
    dashboard = demo.children["dashboard"]
    shown = open_page("/evolution")
    shown.wait_for(lambda: drawn(9)(shown), 60, "the curves")
    dashboard.stop()
    dashboard.start()
    dashboard.wait_ready(demo.url + "/livez", 60)
    shown.page.wait_for_selector(
        "[data-testid='stApp'][data-test-connection-state='CONNECTED']", timeout=60_000
    )
    shown.wait_for(lambda: drawn(9)(shown), 60, "the curves again")


def test_the_main_thing_is_read_from_the_page_and_not_assumed(open_page: Callable[..., Screen]):
    """The checks above can fail: an empty page has neither figure nor table."""
    shown = open_page("/evolution")
    shown.page.set_content("<div data-testid='stMain'>nothing</div>")
    assert not drawn(1)(shown)
    assert not rows(1)(shown)
    assert not said("Watchdog")(shown)
