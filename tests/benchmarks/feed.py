"""The rows about the feed: decode, failure, a page, a refresh, many sessions."""

import contextlib
import http.client
import os
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.catalogue.spec import Panel, Series
from dashboard.catalogue.units import NUMBER
from dashboard.feed import Feed, Window, frames, query
from dashboard.feed.ranges import Known
from dashboard.feed.window import Grid, grid
from tests.benchmarks import tsdb
from tests.benchmarks.measure import compare, milliseconds, peak_bytes, seconds
from tests.services import free_port

STEPS = {1: 15, 6: 60, 24: 240}
_PEAK = """
import sys
from collectors.prometheus import Prometheus
prometheus = Prometheus(sys.argv[1])
end, step = int(sys.argv[3]), int(sys.argv[5])
def warm(): prometheus.range('expert_utilization_ratio{run_id="bench-64"}', end - 21600, end, 60)
def run(): return prometheus.range(sys.argv[2], end - int(sys.argv[4]), end, step)
"""


class Report:
    """Rows of the table, one line each; `missed` counts the lines that were not reached."""

    def __init__(self, url: str, pid: int, *, full: bool, rounds: int) -> None:
        self.url, self.pid, self.full, self.rounds = url, pid, full, rounds
        self.missed = 0

    def rows(self) -> Iterator[str]:
        """Measure row by row."""
        yield f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; ratios are medians of paired rounds, wall and CPU (server + own)"
        yield f"{'what':<44}{'floor':>10}{'ours':>10}{'wall':>9}{'CPU':>8}  to reach"
        yield from self.ranges()
        yield from self.failures()
        yield self.page()
        yield from self.refreshes()
        yield from self.sessions()

    def ranges(self) -> Iterator[str]:
        """Range answer → wide frame, beside prometheus-api-client."""
        hours = (1, 6, 24) if self.full else (6, 24)
        for experts in (2, 64, 512, 4096) if self.full else (2, 64, 512):
            for hour in hours:
                yield from self.range(experts, hour)

    def range(self, experts: int, hour: int) -> Iterator[str]:
        """One size."""
        promql = f'expert_utilization_ratio{{run_id="bench-{experts}"}}'
        step = STEPS[hour]
        steps = Grid(tsdb.END - hour * 3600, tsdb.END - step, step)
        prometheus = Prometheus(self.url, timeout_seconds=120)
        raw = RawReader(self.url)
        theirs = PrometheusConnect(self.url, timeout=120)
        lean = PrometheusConnect(self.url, timeout=120, headers={"Accept-Encoding": "identity"})
        first, last = (datetime.fromtimestamp(moment, UTC) for moment in (steps.start, steps.end))

        def ours() -> pd.DataFrame:
            matrix = prometheus.range(promql, steps.start, steps.end, step)
            known = Known(steps, matrix.labels, matrix.values)
            return frames.answer([("{expert_id}", promql, known)]).frame

        ways: dict[str, Callable[[], object]] = {
            "client": lambda: theirs.custom_query_range(promql, first, last, str(step)),
            "client, no gzip": lambda: lean.custom_query_range(promql, first, last, str(step)),
            "client + data frame": lambda: MetricRangeDataFrame(
                theirs.custom_query_range(promql, first, last, str(step))
            ),
        }
        big = experts * steps.points > 500_000

        def read() -> None:
            raw.range(promql, steps)

        # in rounds of their own: a server that has just compressed 50 MB collects its garbage in whichever request is next
        took = compare(read, {"ours": ours}, 5 if big else 3 * self.rounds, self.pid)
        others = compare(read, ways, 3 if big else self.rounds, self.pid)
        floor, mine = took["floor"], took["ours"]
        busy = os.getloadavg()[0] > (os.cpu_count() or 1)
        if experts >= 512 and hour >= 6:
            reach, reached = "≤ 1.15×", (mine.cpu_ratio if busy else mine.ratio) <= 1.15
        else:
            reach = "≤ 1.25× + 3 ms"
            pair = (floor.cpu_seconds, mine.cpu_seconds) if busy else (floor.seconds, mine.seconds)
            reached = pair[1] <= 1.25 * pair[0] + 0.003
        yield self.line(
            f"{experts} series over {hour} h → frame", floor.seconds, mine.seconds, mine.ratio,
            reach + " (CPU: the machine is busy)" * busy, reached=reached, cpu_ratio=mine.cpu_ratio,
        )  # fmt: skip
        for name in ("client", "client, no gzip", "client + data frame"):
            theirs_took = others[name]
            yield (
                f"    {name:<40}{'':>10}{milliseconds(theirs_took.seconds):>10}{theirs_took.ratio:>8.2f}×"
                f"{theirs_took.cpu_ratio:>7.2f}×  own CPU {theirs_took.own_cpu_seconds / mine.own_cpu_seconds:.1f}× ours"
            )
        if experts >= 64:
            framed = others["client + data frame"]
            least = 4 if hour == 24 else 8
            gain = framed.cpu_ratio / mine.cpu_ratio if busy else framed.ratio / mine.ratio
            yield self.line(
                "    ours is faster than its data frame by",
                framed.seconds,
                mine.seconds,
                gain,
                f"≥ {least}×",
                reached=gain >= least,
            )
            body, result = len(raw.range(promql, steps)), 8 * experts * steps.points
            peak = peak_bytes(
                _PEAK, self.url, promql, str(steps.end), str(steps.end - steps.start), str(step)
            )
            said = f"    peak {peak / 1e6:.0f} MB; body {body / 1e6:.1f} MB, result {result / 1e6:.1f} MB"
            yield said + self.verdict(peak <= max(body, 4e6) + 2 * result, "body (or 4 MB) + 2 × result")

    def failures(self) -> Iterator[str]:
        """A source that is down, and one that is silent."""
        down = Prometheus(f"http://127.0.0.1:{free_port()}", timeout_seconds=5)
        took = seconds(lambda: _fails(down))
        yield self.line("source down → said", None, took, None, "≤ 0.5 s", reached=took <= 0.5)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            slow = Prometheus(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1)
            took = seconds(lambda: _fails(slow))
        yield self.line("source silent, timeout 1 s → said", None, took, None, "≤ 1.1 s", reached=took <= 1.1)

    def page(self) -> str:
        """Thirty queries at once, against thirty raw reads on one connection."""
        panels = _page()
        window = Window("now-6h")
        steps = grid(window, tsdb.END, tsdb.SCRAPE_SECONDS)
        texts = [
            query.fill(series.promql, rate_seconds=steps.step + 15)
            for panel in panels
            for series in panel.series
        ]
        raw = RawReader(self.url)
        feeds = iter([self.feed() for _ in range(2 * self.rounds + 2)])

        def floor() -> None:
            for text in texts:
                raw.range(text, steps)

        took = compare(floor, {"ours": lambda: next(feeds).panels(panels, window)}, 2 * self.rounds, self.pid)
        mine = took["ours"]
        return self.line(
            f"a page of {len(texts)} queries", took["floor"].seconds, mine.seconds, mine.ratio, "≤ 1.0×",
            reached=mine.ratio <= 1.0, cpu_ratio=mine.cpu_ratio,
        )  # fmt: skip

    def refreshes(self) -> Iterator[str]:
        """A 24 h window refreshed every 5 s for one step of 240 s, against fetching it anew each time."""
        for experts in (64, 512, 4096) if self.full else (64, 512):
            yield from self.refresh(experts)

    def refresh(self, experts: int) -> Iterator[str]:
        """One size."""
        clock = [float(tsdb.END - 480)]
        feed, fresh, raw = self.feed(lambda: clock[0]), self.feed(lambda: clock[0]), RawReader(self.url)
        panel, window = _panel(f'expert_utilization_ratio{{run_id="bench-{experts}"}}'), Window("now-24h")
        feed.panels([panel], window)
        before, took = self.asked(), 0.0
        for _ in range(48):
            clock[0] += 5
            took += seconds(lambda: feed.panels([panel], window))
        asked = self.asked() - before
        steps = grid(window, clock[0], tsdb.SCRAPE_SECONDS)
        whole = sum(seconds(lambda: raw.range(panel.series[0].promql, steps)) for _ in range(3)) / 3 * 48
        gain = whole / took
        reached = (gain >= 20 or experts < 512) and asked <= 1
        what = f"{experts} series × 24 h, 48 refreshes, {asked} asked"
        yield self.line(what, whole, took, gain, "≥ 20× from 512 on, 1 a step", reached=reached)
        anew, kept = (
            fresh.panels([panel], window)[panel.key].frame,
            feed.panels([panel], window)[panel.key].frame,
        )
        same = np.array_equal(anew.to_numpy(), kept[anew.columns].to_numpy(), equal_nan=True)
        yield f"    bit by bit the whole fetch{self.verdict(same, 'identical')}"

    def sessions(self) -> Iterator[str]:
        """Many browsers on one page."""
        panels = _page()
        alone = 0
        for count in (1, 10, 50, 100):
            feed = self.feed()
            before = self.asked()
            ready = threading.Barrier(count)
            longest: list[float] = []

            def browser(
                feed: Feed = feed, ready: threading.Barrier = ready, longest: list[float] = longest
            ) -> None:
                ready.wait()
                longest.append(seconds(lambda: feed.panels(panels, Window("now-6h"))))

            threads = [threading.Thread(target=browser) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            asked = self.asked() - before
            alone = alone or asked
            said = f"{count} sessions on a page, {asked} queries"
            yield self.line(
                said, None, max(longest), asked / alone, "queries do not grow", reached=asked <= alone
            )

    def feed(self, clock: Callable[[], float] = lambda: float(tsdb.END - 60)) -> Feed:
        """A feed that serves since a while: threads and connections are there, the metrics' names are known."""
        feed = Feed(Prometheus(self.url, timeout_seconds=120), None, clock=clock)
        feed.scrape_seconds()
        others = [_panel(f"inference_latency_seconds_count * {number}") for number in range(16)]
        feed.panels(others, Window("now-5m"))
        return feed

    def asked(self) -> int:
        """Range queries that Prometheus says it has answered."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        counted = 'prometheus_http_requests_total{code="200",handler="/api/v1/query_range"}'
        return next((int(float(line.split()[-1])) for line in lines if line.startswith(counted)), 0)

    def line(
        self, what: str, floor: float | None, ours: float, ratio: float | None, reach: str, *, reached: bool,
        cpu_ratio: float | None = None,
    ) -> str:  # fmt: skip
        """One row."""
        floors = milliseconds(floor) if floor is not None else "–"
        ratios, cpus = (f"{value:.2f}×" if value is not None else "–" for value in (ratio, cpu_ratio))
        verdict = self.verdict(reached, reach)
        return f"{what:<44}{floors:>10}{milliseconds(ours):>10}{ratios:>9}{cpus:>8}{verdict}"

    def verdict(self, reached: bool, reach: str) -> str:
        """The line to reach, and whether it was."""
        self.missed += not reached
        return f"  {reach} {'✓' if reached else '✗'}"


class RawReader:
    """The floor: one kept connection, the body as bytes, nothing decoded."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=120)

    def range(self, promql: str, steps: Grid) -> bytes:
        """The body of a range query."""
        asked = {"query": promql, "start": steps.start, "end": steps.end, "step": steps.step}
        self._connection.request(
            "GET",
            f"/api/v1/query_range?{urllib.parse.urlencode(asked)}",
            headers={"Accept-Encoding": "identity"},
        )
        return self._connection.getresponse().read()


def _panel(*queries: str) -> Panel:
    series = tuple(Series("", promql) for promql in queries)
    return Panel(key=f"k{abs(hash(queries))}", title="t", why="w", unit=NUMBER, series=series)


def _page() -> list[Panel]:
    """22 plain gauges and 8 others, as a page has them."""
    latency = "sum by (le) (rate(inference_latency_seconds_bucket[$rate]))"
    others = [
        *(f"histogram_quantile({q}, {latency})" for q in (0.5, 0.95, 0.99)),
        "sum(rate(inference_latency_seconds_count[$rate]))",
        "sum(rate(inference_latency_seconds_sum[$rate])) / sum(rate(inference_latency_seconds_count[$rate]))",
        'max(expert_utilization_ratio{run_id="bench-64"})',
        'stddev(expert_utilization_ratio{run_id="bench-64"})',
        'expert_utilization_ratio{run_id="bench-64"}',
    ]
    return [_panel(text) for text in (*(f'{name}{{run_id=~"$run"}}' for name in tsdb.GAUGES), *others)]


def _fails(prometheus: Prometheus) -> None:
    with contextlib.suppress(Unavailable):
        prometheus.instant("up")
