"""One episode from end to end, nothing in it played: a real router goes wrong and recovers, and a person sees all of it.

The rules are the catalogue's own, as exported; only the durations of their `for` are shortened, so that a test can wait
for them. The router is the example with its mutation switched off: its population collapses to one genome.
"""

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser

from dashboard.export.rules import rules
from dashboard.ports import free_port
from dashboard.processes import Child
from dashboard.settings import Settings
from tests import services
from tests.browser.screen import Screen, screen

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(600)]

NAME = "LowPopulationDiversity"
REFRESH_SECONDS = 3.0
EVALUATION_SECONDS = 0.5
SLACK_SECONDS = 3.0  # a scrape, an evaluation and what a busy machine adds


def shortened(text: str) -> str:
    """The exported rules, each of which waits at most a second; what they ask is untouched."""
    document = yaml.safe_load(text)
    for group in document["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    return yaml.safe_dump(document)


@dataclass
class Site:
    """A router that can be started anew with other arguments, and everything that watches it."""

    prometheus: services.PrometheusService
    alertmanager: services.Service
    dashboard: services.Service
    start_router: Callable[[str], Child]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port = free_port()

    def start_router(mutation_rate: str) -> Child:
        command = [sys.executable, "-m", "examples.evolving_router", "--mutation-rate", mutation_rate]
        command += [
            "--population",
            "6",
            "--pace",
            "0.4",
            "--port",
            str(port),
            "--runs-dir",
            str(tmp_path / "runs"),
        ]
        child = Child("router", command, log=tmp_path / "router.log", cwd=services.ROOT)
        stack.callback(child.stop)
        return child.start()

    with contextlib.ExitStack() as stack:
        alertmanager = stack.enter_context(services.alertmanager(tmp_path / "alertmanager"))
        prometheus = stack.enter_context(
            services.prometheus(
                tmp_path / "prometheus",
                targets={Settings().job: f"127.0.0.1:{port}"},
                rules=[shortened(rules(Settings()))],
                alertmanagers=[alertmanager.target],
                evaluation_seconds=EVALUATION_SECONDS,
                flags=["--rules.alert.resend-delay=1s"],
            )
        )
        dashboard = stack.enter_context(
            services.dashboard(
                tmp_path / "dashboard",
                prometheus_url=prometheus.url,
                alertmanager_url=alertmanager.url,
                runs_dir=tmp_path / "runs",
                refresh_seconds=REFRESH_SECONDS,
            )
        )
        yield Site(prometheus, alertmanager, dashboard, start_router)


def recorded(server: services.PrometheusService, selector: str, seconds: int) -> list[tuple[float, float]]:
    """Every sample of a selector in the last seconds, (unix time, value), oldest first."""
    found = server.query(f"{selector}[{seconds}s]")
    return sorted((float(at), float(value)) for series in found for at, value in series["values"])


def collapsed_at(runs: Path) -> float:
    """When the router itself says that its diversity fell under the threshold for good: from its own log."""
    [log] = runs.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    high = [i for i, line in enumerate(lines) if line["diversity_score"] >= 0.1]
    first = lines[max(high, default=-1) + 1]
    return datetime.fromisoformat(first["timestamp"]).timestamp()


def test_an_episode_from_its_beginning_to_its_place_in_the_history(
    site: Site, browser: Browser, tmp_path: Path
):
    with (
        screen(browser, site.dashboard.url, width=2200, height=2400) as shown,
        screen(browser, site.dashboard.url) as other,
    ):
        shown.open("/alerts?from=now-15m&to=now")
        assert NAME not in shown.text()
        router = site.start_router("0")

        # Prometheus fires, Alertmanager receives, the page that is open shows it
        firing = re.compile(rf"firing\s+(\S+\s+)?warning\s+{NAME}")
        shown.wait_for(lambda: firing.search(shown.text()), 240, "the alert to fire on the page")
        seen = time.time()
        fired = recorded(site.prometheus, f'ALERTS{{alertname="{NAME}",alertstate="firing"}}', 60)[0][0]
        assert seen - fired <= 2 * REFRESH_SECONDS
        [alert] = site.prometheus.query(f'ALERTS_FOR_STATE{{alertname="{NAME}"}}')
        since, run_id = float(alert["value"][1]), alert["metric"]["run_id"]
        assert since == pytest.approx(collapsed_at(tmp_path / "runs"), abs=SLACK_SECONDS)
        received = services.wait_until(
            lambda: [
                one for one in site.alertmanager.get("/api/v2/alerts") if one["labels"]["alertname"] == NAME
            ],
            20,
            "the alert in Alertmanager",
        )
        assert received[0]["labels"]["run_id"] == run_id

        # who has it survives a reload, and a second browser sees it
        card = shown.page.locator("[data-testid='stLayoutWrapper']", has_text=NAME).filter(
            has=shown.page.locator("summary")
        )
        card.last.locator("summary", has_text="Details").first.click()
        shown.page.get_by_role("textbox", name="Your name").first.fill("Grace")
        shown.page.get_by_role("textbox", name="Comment").first.fill("mutation is off")
        shown.page.get_by_role("button", name="Acknowledge").first.click()
        shown.wait_for(lambda: "Grace has it" in shown.text(), 120, "the acknowledgement")
        shown.open("/alerts?from=now-15m&to=now")
        shown.wait_for(lambda: "Grace has it" in shown.text(), 120, "the acknowledgement after a reload")
        other.open("/alerts?from=now-15m&to=now")
        other.wait_for(lambda: "Grace has it" in other.text(), 120, "the acknowledgement in a second browser")

        # one click opens its runbook, whose check shows what Prometheus has
        other.page.locator(f"a[href*='alert={NAME}']").first.click()
        other.wait_for(lambda: "Prevention" in other.text(), 120, "the runbook to its end")
        other.wait_for(lambda: "mutation is off" in other.text(), 120, "what the checks found")
        selector = f'evolution_diversity_score{{run_id="{run_id}"}}'
        had = {value for _, value in recorded(site.prometheus, selector, 30)}
        [value] = re.findall(r"one genome: selection has nothing to choose from\n\n(\S+)", other.text())
        assert float(value) in {round(one, 4) for one in had}

        # the router recovers: started anew with mutation, as the runbook advises
        stopping = time.time()
        router.stop()  # it says that the run ends, and ends some time later
        stopped = time.time()
        site.start_router("0.3")
        site.prometheus.wait_for("evolution_diversity_score > 0.1", 240)
        shown.wait_for(lambda: not firing.search(shown.text()), 120, "the alert to leave the list")

        # the history has it, from its right beginning to its right end, and who had it
        row = shown.wait_for(
            lambda: in_history(shown, run_id, stopped), 120, "the episode to be over in the history"
        )
        assert row["condition true"] == pytest.approx(since, abs=1)
        assert row["fired"] == pytest.approx(fired, abs=1)
        assert stopping - SLACK_SECONDS <= row["ended"] <= stopped + SLACK_SECONDS
        assert row["who had it"] == "Grace: mutation is off"
        low = [value for at, value in recorded(site.prometheus, selector, 1200) if since - 1 <= at <= stopped]
        assert float(row["worst value"]) in {float(f"{value:.4g}") for value in low}
        assert float(row["worst value"]) < 0.1
        assert int(row["generations"].split(" to ")[0]) >= 0
        assert shown.errors == []
        assert other.errors == []


def in_history(shown: Screen, run_id: str, about: float) -> dict[str, Any] | None:
    """The newest episode of the run that fired, from the page's table, its times as unix seconds; None while it goes on."""
    tables = shown.page.locator("[data-testid='stDataFrame'] table").evaluate_all(
        "tables => tables.map(table => [...table.querySelectorAll('tr')].map(row => [...row.querySelectorAll('th, td')].map(cell => cell.textContent)))"
    )
    [rows] = [rows for rows in tables if rows and "condition true" in rows[0]] or [[[]]]
    # small populations flicker before they collapse: an episode of one sample that never fired is no surprise
    found = [dict(zip(rows[0], row, strict=True)) for row in rows[1:] if NAME in row and run_id in row[-1]]
    fired = [row for row in found if row["fired"] != "never"]
    if not fired or fired[0]["ended"] == "goes on":
        return None
    return {name: _moment(text, about) or text for name, text in fired[0].items()}


def _moment(text: str, about: float) -> float | None:
    """A clock of the page, which leaves out the year, as unix seconds; None where it is none."""
    year = datetime.fromtimestamp(about, UTC).year
    try:
        return datetime.strptime(f"{year} {text} +0000", "%Y %d %b %H:%M:%S %z").timestamp()
    except ValueError:
        return None
