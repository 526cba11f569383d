"""Alerts whose text was written by somebody who means harm, in Chromium: it stays text, nothing runs, nothing is fetched."""

import contextlib
import json
from collections.abc import Iterator

import pytest
import yaml
from playwright.sync_api import Browser

from tests import services
from tests.browser.screen import Screen, screen
from tests.browser.test_on_call import BECAME

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(300)]

# Any request to this host, and any dialog, means that something was taken for more than text.
ELSEWHERE = "hostile.invalid"
TEXTS = {
    "html": f"<script>alert(1)</script><img src=http://{ELSEWHERE}/a.png onerror=alert(2)><iframe srcdoc=x></iframe>",
    "markdown": f"[click](javascript:alert(3)) ![pixel](http://{ELSEWHERE}/b.png) <http://{ELSEWHERE}> | # **b** `c` $x^2$ :red[x]",
    "javascript_url": "javascript:alert(4)",
    "data_url": "data:text/html,<script>alert(5)</script>",
    "ansi": "\x1b[31mred\x1b[0m \x1b]8;;http://hostile.invalid\x07link\x1b]8;;\x07",
    "direction": "fdp.\u202egnp.exe \u2066hidden\u2069 \u200bzero",
    "template": '{{ $labels.instance }} {{ query "up" }} ${7*7} #{7*7} {%% print(1) %%}',
    "promql": '"} or vector(1) or x{a="',
}
HUGE = "M" * 1_000_000


def rules() -> str:
    """One alert whose labels and annotations are all of these; Prometheus's own templates print them as they are."""
    quoted = {name: "{{ `" + text.replace("`", "'") + "` }}" for name, text in TEXTS.items()}
    links = {
        "runbook_url": TEXTS["javascript_url"],
        "dashboard": TEXTS["data_url"],
        "grafana": "https://grafana.example.org/d/1",
    }
    rule = {
        "alert": "Hostile",
        "expr": "x > 0",
        "labels": {"severity": "critical", **quoted},
        "annotations": {"summary": quoted["html"], "description": quoted["markdown"], **quoted, **links},
    }
    watchdog = {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}}
    return yaml.safe_dump({"groups": [{"name": "hostile", "rules": [watchdog, rule]}]}, allow_unicode=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[services.Service, services.Service]]:
    folder = tmp_path_factory.mktemp("hostile")
    run = json.dumps(TEXTS["promql"])
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(services.scrape_target(f'x{{run_id={run},huge="{HUGE}"}} 1\n'))
        notified = stack.enter_context(services.alertmanager(folder / "alertmanager"))
        server = stack.enter_context(
            services.prometheus(
                folder / "prometheus",
                targets={"moe-router": router.target},
                rules=[rules()],
                alertmanagers=[notified.target],
                flags=["--rules.alert.resend-delay=1s"],
            )
        )
        server.wait_for('ALERTS{alertname="Hostile",alertstate="firing"}')
        yield (
            stack.enter_context(
                services.dashboard(
                    folder / "dashboard",
                    prometheus_url=server.url,
                    alertmanager_url=notified.url,
                    refresh_seconds=5,
                )
            ),
            notified,
        )


@pytest.fixture
def shown(browser: Browser, site: tuple[services.Service, services.Service]) -> Iterator[Screen]:
    with screen(browser, site[0].url) as opened:
        yield opened


def test_nothing_of_it_becomes_more_than_text(shown: Screen):
    asked: list[str] = []
    dialogs: list[str] = []
    sent = [0]
    shown.page.on("request", lambda request: asked.append(request.url))
    shown.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    shown.page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: sent.__setitem__(0, sent[0] + len(data))),
    )
    shown.open("/alerts?from=now-15m&to=now")
    shown.wait_for(lambda: "Hostile" in shown.text(), 60, "the alert")
    shown.page.locator("summary", has_text="Details").first.click()
    shown.wait_for(lambda: "would mute" in shown.text(), 60, "the details with the preview of a silence")
    shown.page.locator("summary", has_text="Copy as Markdown").first.click()
    shown.wait_for(lambda: "Looked at" in shown.text(), 60, "the ticket")
    text = shown.text().replace("\u2060", "")
    assert TEXTS["html"] in text
    assert TEXTS["javascript_url"] in text
    assert TEXTS["data_url"] in text
    assert TEXTS["promql"] in text
    assert "\\u001b[31mred" in text
    assert "\\u202e" in text
    assert "49" not in text.partition("${7*7}")[2][:20]
    assert not set("\x1b\u202e\u2066\u200b") & set(text)
    became = shown.page.evaluate(BECAME)
    assert became == {"scripts": 0, "images": [], "links": []}
    outside = shown.page.eval_on_selector_all(
        "[data-testid=stMain] a",
        "links => links.map(link => link.href).filter(href => href.includes('grafana'))",
    )
    assert outside == ["https://grafana.example.org/d/1"]  # what is http(s) is a link, and nothing else is
    assert dialogs == []
    assert [url for url in asked if ELSEWHERE in url] == []
    # a megabyte in a label is not sent with every card, table and address
    assert sent[0] < 1_000_000
    assert shown.errors == []


def test_a_silence_of_it_mutes_what_was_previewed_and_no_more(
    shown: Screen, site: tuple[services.Service, services.Service]
):
    shown.open("/alerts?from=now-15m&to=now")
    shown.wait_for(lambda: "Hostile" in shown.text(), 60, "the alert")
    shown.page.locator("summary", has_text="Details").first.click()
    shown.wait_for(lambda: "would mute 1 of 2 alerts now" in shown.text(), 60, "the preview")
    shown.page.get_by_role("textbox", name="Your name").first.fill("<b>Grace</b>")
    shown.page.get_by_role("textbox", name="Why").first.fill("![x](http://hostile.invalid/c.png)")
    shown.page.get_by_role("textbox", name="Why").first.press("Tab")
    shown.page.get_by_role("button", name="Silence", exact=True).first.click()
    shown.wait_for(lambda: "Silenced." in shown.text(), 60, "the silence")
    [silence] = site[1].get("/api/v2/silences")
    values = {matcher["name"]: matcher["value"] for matcher in silence["matchers"]}
    assert values["run_id"] == TEXTS["promql"]
    assert values["html"] == TEXTS["html"]
    assert "huge" not in values
    assert shown.page.evaluate(BECAME) == {"scripts": 0, "images": [], "links": []}
