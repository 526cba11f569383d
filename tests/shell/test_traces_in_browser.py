"""A click on a dot over the latency chart opens its trace, in a real Chromium; the waterfall is drawn there."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests import services
from tests.browser.screen import Screen, screen
from tests.pages.traced import TRACE, stores, tracing

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(180)]

# the figure with dots, and where the first of them lies on the screen
DOT = """() => {
  for (const div of document.querySelectorAll('.js-plotly-plot')) {
    const dots = (div._fullData || []).find(trace => trace.meta === 'trace');
    if (!dots?.x?.length) continue;
    div.scrollIntoView({block: 'center'});
    const box = div.getBoundingClientRect(), {xaxis, yaxis} = div._fullLayout;
    return {x: box.left + xaxis._offset + xaxis.d2p(dots.x[0]), y: box.top + yaxis._offset + yaxis.d2p(dots.y[0]),
            trace: dots.customdata[0], left: box.left + xaxis._offset + 5, top: box.top + yaxis._offset + 5};
  }
}"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("traced")
    with (
        stores() as store,
        tracing(folder) as traced,
        services.dashboard(
            folder / "dashboard",
            prometheus_url=traced.prometheus.url,
            trace_url=store.url,
            refresh_seconds=60,
        ) as running,
    ):
        yield running.url


@pytest.fixture
def shown(browser: Browser, base: str) -> Iterator[Screen]:
    with screen(browser, base) as opened:
        yield opened


def test_a_click_on_a_dot_opens_its_trace_and_a_click_beside_it_does_not(shown: Screen):
    shown.open("/inference?from=now-5m&to=now")
    dot = shown.wait_for(lambda: shown.page.evaluate(DOT), 60, "a dot over the latency chart")
    shown.page.wait_for_timeout(500)  # the page scrolls to the figure
    dot = shown.page.evaluate(DOT)
    shown.page.mouse.click(dot["left"], dot["top"])
    shown.page.wait_for_timeout(300)  # a page that would open has opened
    assert len(shown.page.context.pages) == 1
    with shown.page.context.expect_page() as opened:
        shown.page.mouse.click(dot["x"], dot["y"])
    assert opened.value.url.startswith(f"{shown.base}/traces?trace={dot['trace']}")
    assert re.fullmatch("[0-9a-f]{32}", dot["trace"])
    opened.value.get_by_text("does not know this trace").wait_for(timeout=60_000)
    assert shown.errors == []


def test_the_waterfall_is_drawn_and_its_table_can_be_read(shown: Screen):
    shown.open(f"/traces?trace={TRACE}")
    shown.wait_for(
        lambda: any(figure.kinds == ["bar"] and figure.points == 4 for figure in shown.figures()),
        60,
        "the bars",
    )
    assert "812 ms" in shown.text()
    assert shown.errors == []


def test_a_row_of_the_list_opens_its_trace(shown: Screen):
    shown.open("/traces")
    table = shown.page.get_by_test_id("stDataFrame").first
    table.wait_for(timeout=60_000)
    box = table.bounding_box()
    assert box is not None
    shown.page.mouse.click(box["x"] + 15, box["y"] + 35 + 35 + 17)  # the box of the second row, on a canvas
    shown.wait_for(lambda: f"trace={TRACE}" in shown.page.url, 30, "the trace in the address")
    shown.wait_for(lambda: any(figure.kinds == ["bar"] for figure in shown.figures()), 60, "the bars")
    shown.page.get_by_role("button", name="All traces").click()
    shown.wait_for(lambda: "Choose one to open it" in shown.text(), 30, "the list")
    assert shown.errors == []
