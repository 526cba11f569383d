"""At 03:00 in Chromium: text from outside stays text, an alert leads to its runbook, and what one says another sees."""

import contextlib
import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests import services
from tests.browser.screen import Screen, screen
from tests.pages.router import serving
from tests.pages.screen import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(240)]

# What text of ours would become if anything on the way took it for more than text.
BECAME = """() => ({
  scripts: [...document.querySelectorAll('[data-testid=stMain] script')].length,
  images: [...document.querySelectorAll('[data-testid=stMain] img')].map(image => image.outerHTML),
  links: [...document.querySelectorAll('[data-testid=stMain] a')].map(link => link.href).filter(href => !/^https?:/.test(href)),
})"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Service]:
    """A dashboard over a router whose alerts and log are hostile."""
    folder = tmp_path_factory.mktemp("on-call")
    run = folder / "runs" / "r1"
    run.mkdir(parents=True)
    line = {
        "event": HOSTILE,
        "level": "error",
        "error_type": HOSTILE,
        "run_id": "r1",
        "timestamp": "2026-11-23T10:00:00Z",
    }
    (run / "events.jsonl").write_text(json.dumps(line) + "\n")
    with contextlib.ExitStack() as stack:
        notified = stack.enter_context(services.alertmanager(folder / "alertmanager"))
        server = stack.enter_context(serving(folder / "prometheus", alertmanagers=[notified.target]))
        yield stack.enter_context(
            services.dashboard(
                folder / "dashboard",
                prometheus_url=server.url,
                alertmanager_url=notified.url,
                runs_dir=folder / "runs",
                refresh_seconds=2,
            )
        )


@pytest.fixture
def shown(browser: Browser, watched: services.Service) -> Iterator[Screen]:
    with screen(browser, watched.url) as opened:
        yield opened


def open_details(shown: Screen, name: str) -> None:
    shown.wait_for(lambda: name in shown.text(), 30, name)
    card = (
        shown.page.locator("[data-testid='stLayoutWrapper']", has_text=name)
        .filter(has=shown.page.locator("summary"))
        .last
    )
    card.locator("summary", has_text="Details").first.click()
    shown.wait_for(
        lambda: shown.page.get_by_role("textbox", name="Your name").count(), 30, "the details to open"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/alerts",
        "/logs",
        "/runbooks?alert=%3Cscript%3Ealert(1)%3C/script%3E",
        "/runbooks?alert=HighInferenceLatency",
        "/health-checks",
    ],
)
def test_text_from_outside_stays_text_in_the_browser(shown: Screen, path: str):
    asked: list[str] = []
    dialogs: list[str] = []
    shown.page.on("request", lambda request: asked.append(request.url))
    shown.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    shown.open(path)
    if path == "/alerts":
        open_details(shown, "HighInferenceLatency")
        assert (
            "<script>alert(1)</script> :material/bug_report: ![x](http://127.0.0.1:1/p.png)"
            in shown.text().replace("\u2060", "")
        )
    shown.page.wait_for_timeout(500)
    assert shown.page.evaluate(BECAME) == {"scripts": 0, "images": [], "links": []}
    assert dialogs == []
    assert [url for url in asked if re.match(r"https?://127\.0\.0\.1:1/", url)] == []
    assert shown.errors == []


def test_an_alert_leads_to_its_runbook_and_the_check_shows_what_prometheus_has(shown: Screen):
    shown.open("/alerts")
    shown.wait_for(lambda: "Low population diversity: r1" in shown.text(), 30, "the alert")
    shown.page.locator("a[href*='alert=LowPopulationDiversity']").first.click()
    shown.wait_for(lambda: "Prevention" in shown.text(), 30, "the runbook to its end")
    assert "converged too early\n\n0.04" in shown.text()
    shown.wait_for(lambda: "run_id=r1" in shown.text(), 10, "the labels it is read for")
    assert shown.errors == []


def test_who_has_an_alert_survives_a_reload_and_is_seen_by_others(
    browser: Browser, watched: services.Service, shown: Screen
):
    shown.open("/alerts")
    open_details(shown, "LowPopulationDiversity")
    shown.page.get_by_role("textbox", name="Your name").first.fill("Grace")
    shown.page.get_by_role("textbox", name="Comment").first.fill("looking <b>now</b>")
    shown.page.get_by_role("button", name="Acknowledge").first.click()
    shown.wait_for(lambda: "Grace has it" in shown.text(), 30, "the acknowledgement")
    shown.open("/alerts")
    shown.wait_for(lambda: "looking <b>now</b>" in shown.text(), 30, "the acknowledgement after a reload")
    with screen(browser, watched.url) as other:
        other.open("/alerts")
        other.wait_for(lambda: "Grace has it" in other.text(), 30, "the acknowledgement in a second browser")


def test_a_click_on_a_label_narrows_the_list_and_stands_in_the_address(shown: Screen):
    shown.open("/alerts")
    shown.wait_for(lambda: "HighInferenceLatency" in shown.text(), 30, "both alerts")
    shown.page.get_by_text("run_id=r1", exact=True).first.click(timeout=10_000)
    shown.wait_for(lambda: "1 of 2 alerts pass the filter" in shown.text(), 30, "the narrowed list")
    shown.wait_for(lambda: "run_id" in shown.page.url, 10, "the filter in the address")
    field = shown.page.get_by_role("textbox", name="Filter")
    shown.wait_for(lambda: field.input_value() == '{run_id="r1"}', 30, "the filter in its field")
    assert shown.errors == []
