"""Thousands of alerts for real: a rule over as many series, a Prometheus that evaluates it, an Alertmanager that is told.

    python -m tests.benchmarks.alerts [COUNT]      10 000 unless given

Measures what a person waits for: one look of the list, the script run of the Alerts page, what it sends to a browser,
and the time until the first cards are painted in Chromium. An hour of history is written with promtool, so that the
list of past episodes has as much to read as it would have in the middle of such an incident.
"""

import argparse
import contextlib
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from collectors.alertmanager import Alertmanager
from collectors.prometheus import Prometheus
from dashboard.alerts.board import AlertBoard
from dashboard.alerts.past import Past
from dashboard.store import Store
from tests import services
from tests.browser.screen import chromium, screen

EVALUATION_SECONDS = 15
HISTORY_SECONDS = 3600
RULES = """
groups:
- name: many
  rules:
  - {alert: Watchdog, expr: vector(1), labels: {severity: none}}
  - alert: LowPopulationDiversity
    expr: evolution_diversity_score < 0.1
    labels: {severity: warning, component: evolution}
    annotations:
      summary: "Low population diversity: {{ $labels.run_id }}"
      description: "Population diversity is {{ $value }} on {{ $labels.instance }}."
"""


@dataclass
class Site:
    """A Prometheus with `count` alerts that fire, and the Alertmanager that knows of them."""

    prometheus: services.PrometheusService
    alertmanager: services.Service
    count: int


def metrics(count: int) -> str:
    """What the routers say: one run each, all of them with a population of one genome."""
    return "".join(
        f'evolution_diversity_score{{run_id="run-{i:05d}",experiment="sweep-{i % 40}"}} 0.04\n'
        for i in range(count)
    )


def history(count: int, target: str, end: float) -> str:
    """OpenMetrics text of an hour in which all of them fired."""
    times = range(int(end) - HISTORY_SECONDS, int(end), EVALUATION_SECONDS)
    since = times[0] - 600
    beat = 'ALERTS{alertname="Watchdog",alertstate="firing",severity="none"} 1'
    lines = ["# TYPE ALERTS gauge", *(f"{beat} {at}" for at in times)]
    lines += [
        f'ALERTS{{{_labels(i, target)},alertstate="firing"}} 1 {at}' for i in range(count) for at in times
    ]
    lines.append("# TYPE ALERTS_FOR_STATE gauge")
    lines += [f"ALERTS_FOR_STATE{{{_labels(i, target)}}} {since} {at}" for i in range(count) for at in times]
    return "\n".join([*lines, "# EOF", ""])


def _labels(i: int, target: str) -> str:
    return (
        f'alertname="LowPopulationDiversity",component="evolution",experiment="sweep-{i % 40}",'
        f'instance="{target}",job="moe-router",run_id="run-{i:05d}",severity="warning"'
    )


@contextlib.contextmanager
def many(
    directory: Path, count: int, *, evaluation_seconds: float = EVALUATION_SECONDS, past: bool = True
) -> Iterator[Site]:
    """Run both until the block ends; returns when Alertmanager holds all alerts. `past` writes the hour before."""
    with (
        services.scrape_target(metrics(count)) as routers,
        services.alertmanager(directory / "alertmanager") as alertmanager,
        services.prometheus(
            directory / "prometheus",
            targets={"moe-router": routers.target},
            rules=[RULES],
            alertmanagers=[alertmanager.target],
            scrape_seconds=evaluation_seconds,
            evaluation_seconds=evaluation_seconds,
            flags=["--rules.alert.resend-delay=1s", "--alertmanager.notification-queue-capacity=100000"],
        ) as server,
    ):
        if past:
            server.backfill(history(count, routers.target, time.time()), 300)
        firing = 'count(ALERTS{alertname="LowPopulationDiversity",alertstate="firing"} == 1)'
        services.wait_until(
            lambda: [one for one in server.query(firing) if float(one["value"][1]) >= count],
            120,
            "all alerts to fire",
        )
        services.wait_until(
            lambda: len(alertmanager.get("/api/v2/alerts")) > count, 120, "all alerts in Alertmanager"
        )
        yield Site(server, alertmanager, count)


@dataclass
class Rows:
    """What was measured, as a table of Markdown."""

    rows: list[str] = field(default_factory=list)

    def add(self, what: str, value: str) -> str:
        """One line of the table."""
        self.rows.append(f"| {what} | {value} |")
        return self.rows[-1]


def timed(call: Callable[[], Any], rounds: int) -> str:
    """Medians of a few calls: wall time, and what this process used of a CPU, which other people's load hardly changes."""
    wall, used = [], []
    for _ in range(rounds):
        began, before = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - began)
        used.append(time.process_time() - before)
    return f"{statistics.median(wall):.2f} s ({statistics.median(used):.2f} s of CPU here)"


def report(directory: Path, count: int = 10_000) -> Iterator[str]:
    """The rows of the table, one by one as they are measured."""
    rows = Rows()
    with many(directory, count) as site:
        client, notified = (
            Prometheus(site.prometheus.url, timeout_seconds=60),
            Alertmanager(site.alertmanager.url, timeout_seconds=60),
        )
        store = Store(directory / "store.sqlite")
        board = AlertBoard(client, [notified], store, refresh_seconds=0)
        yield rows.add("first look of the list", timed(board.look, 1))
        yield rows.add("each further look", timed(board.look, 5))
        assert len(board.look().entries) == count + 1
        past, now = Past(client), time.time()
        yield rows.add("episodes of an hour, first", timed(lambda: past.between(now - 3600, now), 1))
        yield rows.add(
            "episodes of an hour, 15 s later", timed(lambda: past.between(now - 3585, now + 15), 1)
        )
        board.close()
        store.close()
        with (
            services.dashboard(
                directory / "dashboard",
                prometheus_url=site.prometheus.url,
                alertmanager_url=site.alertmanager.url,
                prometheus_timeout_seconds=60,
                refresh_seconds=5,
            ) as dashboard,
            chromium() as browser,
            screen(browser, dashboard.url) as shown,
        ):
            for name in ("page, first visitor: until the cards are painted", "page, next visitor"):
                received = [0]
                shown.page.on(
                    "websocket",
                    lambda socket, received=received: socket.on(
                        "framereceived", lambda data: received.__setitem__(0, received[0] + len(data))
                    ),
                )
                began = time.perf_counter()
                shown.page.goto(f"{dashboard.url}/alerts", wait_until="commit", timeout=300_000)
                services.wait_until(lambda: "run-0" in shown.page.inner_text("body"), 120, "the first card")
                painted = time.perf_counter() - began
                services.wait_until(
                    lambda: re.search(r"\d episodes", shown.page.inner_text("body")), 300, "the history"
                )
                yield rows.add(name, f"{painted:.1f} s, {received[0] / 1e6:.2f} MB received")
            server, received[0] = psutil.Process(dashboard.child.pid), 0
            before, began = used(server), time.perf_counter()
            shown.page.wait_for_timeout(30_000)
            seconds = time.perf_counter() - began
            yield rows.add(
                "an open page, refreshed every 5 s",
                f"{(used(server) - before) / seconds:.0%} of a CPU, {received[0] / seconds / 1e3:.1f} kB/s received",
            )


def used(process: psutil.Process) -> float:
    """Seconds of CPU that a process has used so far."""
    return sum(process.cpu_times()[:2])


def run(count: int) -> None:
    """Measure with so many alerts and print."""
    with tempfile.TemporaryDirectory(prefix="bench-alerts-") as directory:
        for row in report(Path(directory), count):
            print(row, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.alerts", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    run(parser.parse_args().count)


if __name__ == "__main__":
    main()
