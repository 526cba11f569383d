"""The rows about the browser: first paint and a refresh of real pages, each beside an empty Streamlit page in the same Chromium.

Floor and pages take turns in every round, so that a busy machine is busy for all of them; ratios are paired within a
round, medians over rounds. The wall column is what a person waits; the CPU column is the time of the browser's main
thread as the kernel counts it (schedstat), which a busy machine disturbs far less. The first round warms the browser's cache.
"""

import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from playwright.sync_api import Page

from dashboard.ports import free_port
from dashboard.processes import Child
from tests import services
from tests.benchmarks.measure import milliseconds
from tests.browser.screen import chromium
from tests.pages.runs import directory, wide

EMPTY = """
import streamlit as st

st.title("Empty")


@st.fragment(run_every=REFRESH)
def nothing():
    st.container()


nothing()
"""
REFRESH_SECONDS = 5.0
# When the page has run its script and drawn its figures: one look a frame, from the very start.
WATCH = """(() => {
  const drawn = (kind) => [...document.querySelectorAll(kind)].filter((figure) => figure.drawn).length;
  const look = () => {
    const [figures, maps] = (window.name || "0,0").split(",").map(Number);
    const idle = document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]") && document.querySelector("h1");
    if (idle && drawn(".moe-figure") >= figures && drawn(".moe-heatmap") >= maps) window.__painted ??= performance.now();
    else window.__painted = undefined;
    if (window.__painted === undefined || performance.now() - window.__painted < 200) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""


class Report:
    """Rows of the table; `missed` counts the lines that were not reached."""

    def __init__(self, *, rounds: int) -> None:
        self.rounds = rounds
        self.missed = 0

    def rows(self) -> Iterator[str]:
        """Measure row by row."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            floor = stack.enter_context(_empty(folder))
            recorded = directory(folder / "recorded", "healthy")
            small = stack.enter_context(
                services.dashboard(folder / "small", runs_dir=recorded, window="30d")
            ).url
            large = stack.enter_context(
                services.dashboard(folder / "large", runs_dir=wide(folder / "wide", experts=4096, generations=400), window="30d")
            ).url  # fmt: skip
            page = stack.enter_context(_page())
            yield f"{'browser: what':<54}{'empty':>9}{'ours':>9}{'wall':>8}{'CPU':>8}  to reach"
            pages = {
                "Evolution, six panels on one cursor": (f"{small}/evolution?refresh=off", 1, 0, 2.0),
                "Experts, heatmap of 4 096 × 400": (f"{large}/experts?refresh=off", 0, 1, 1.5),
                "Experts, 8 experts, with all charts in sight": (f"{small}/experts?refresh=off", 1, 1, 2.0),
            }
            yield from self.first_paint(page, floor, pages)
            [log] = recorded.glob("*/generations.jsonl")
            pages = {
                "Evolution": (f"{small}/evolution?refresh=5s", 1, 0, 2.0),
                "Experts 4 096 × 400": (f"{large}/experts?refresh=5s", 0, 1, 2.0),
            }
            yield from self.refreshes(page, floor, pages)
            with _evolving(log):
                pages = {"Evolution, a generation more each time": pages["Evolution"]}
                yield from self.refreshes(page, floor, pages)

    def first_paint(
        self, page: Page, floor: str, pages: dict[str, tuple[str, int, int, float]]
    ) -> Iterator[str]:
        """From the navigation to the last chart in sight."""
        everything = {"": (floor, 0, 0, 1.0), **pages}
        walls: dict[str, list[float]] = {name: [] for name in everything}
        busy: dict[str, list[float]] = {name: [] for name in everything}
        for turn in range(self.rounds + 1):
            for name, (url, figures, maps, _) in everything.items():
                used = _main_threads()
                wall = _painted(page, url, figures, maps)
                if turn:
                    walls[name].append(wall)
                    busy[name].append(_main_threads() - used)
        for name, (*_, reach) in pages.items():
            yield self.line(f"first paint: {name}", walls[""], walls[name], busy[""], busy[name], reach)

    def refreshes(
        self, page: Page, floor: str, pages: dict[str, tuple[str, int, int, float]]
    ) -> Iterator[str]:
        """A refresh every 5 s, in which nothing changed unless the run evolves: main thread of the browser, and bytes received."""
        received: list[int] = []
        page.on(
            "websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame)))
        )
        everything = {"": (floor, 0, 0, 1.0), **pages}
        busy: dict[str, list[float]] = {name: [] for name in everything}
        sent: dict[str, list[int]] = {name: [] for name in everything}
        for _ in range(max(3, self.rounds // 2)):
            for name, (url, figures, maps, _) in everything.items():
                _painted(page, url, figures, maps)
                page.wait_for_timeout(
                    1000 * (REFRESH_SECONDS + 1)
                )  # past the first: what follows is the usual
                used = _main_threads()
                received.clear()
                page.wait_for_timeout(2000 * REFRESH_SECONDS)
                busy[name].append((_main_threads() - used) / 2)
                sent[name].append(sum(received) // 2)
        for name, (*_, reach) in pages.items():
            bytes_sent = f", {statistics.median(sent[name]) / 1000:.1f} kB received (empty {statistics.median(sent['']) / 1000:.1f})"
            yield self.line(f"refresh: {name}", None, None, busy[""], busy[name], reach, bytes_sent)

    def line(
        self, what: str, floor: list[float] | None, ours: list[float] | None, floor_busy: list[float], busy: list[float],
        reach: float, note: str = "",
    ) -> str:  # fmt: skip
        """One row; the wall is judged where there is one, else the CPU."""
        cpu = _ratio(busy, floor_busy)
        wall = _ratio(ours, floor) if ours is not None and floor is not None else None
        reached = (cpu if wall is None else min(wall, cpu)) <= reach
        self.missed += not reached
        shown = (floor, ours) if floor is not None and ours is not None else (floor_busy, busy)
        walls = f"{wall:.2f}×" if wall is not None else "–"
        times = "".join(f"{milliseconds(statistics.median(one)):>9}" for one in shown)
        return f"{what:<54}{times}{walls:>8}{cpu:>7.2f}×  ≤ {reach:g}× {'✓' if reached else '✗'}{note}"


def _ratio(ours: list[float], floor: list[float]) -> float:
    return statistics.median(one / base for one, base in zip(ours, floor, strict=True))


def _painted(page: Page, url: str, figures: int, maps: int) -> float:
    """Seconds until the page has drawn what it is waited for."""
    page.evaluate("(wanted) => { window.name = wanted }", f"{figures},{maps}")
    page.goto(url, wait_until="commit")
    deadline = time.monotonic() + 120
    while (painted := page.evaluate("() => window.__painted ?? null")) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} has not drawn its figures in two minutes")
        page.wait_for_timeout(50)
    return float(painted) / 1000


def _main_threads() -> float:
    """CPU seconds of the main threads of all renderers of this process's Chromium."""
    spent = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError, psutil.Error):  # a renderer may end while we read
            if "--type=renderer" in process.cmdline():
                spent += int(Path(f"/proc/{process.pid}/task/{process.pid}/schedstat").read_text().split()[0])
    return spent / 1e9


@contextlib.contextmanager
def _page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.add_init_script(WATCH)
        page.goto("about:blank")
        yield page


@contextlib.contextmanager
def _empty(folder: Path) -> Iterator[str]:
    """An empty Streamlit page on a server of its own, configured as ours."""
    script = folder / "empty.py"
    script.write_text(EMPTY.replace("REFRESH", str(REFRESH_SECONDS)))
    port = free_port()
    options = {"server.port": port, "server.headless": "true", "server.fileWatcherType": "none",
               "browser.gatherUsageStats": "false", "runner.postScriptGC": "false"}  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with Child("empty", [sys.executable, "-m", "streamlit", "run", str(script), *words], log=folder / "empty.log") as child:  # fmt: skip
        child.wait_ready(f"http://127.0.0.1:{port}/_stcore/health", 60)
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def _evolving(log: Path) -> Iterator[None]:
    """The run goes on by a generation between any two refreshes."""
    stop = threading.Event()

    def write() -> None:
        line = json.loads(log.read_text().splitlines()[-1])
        while not stop.wait(REFRESH_SECONDS / 2):
            line["generation"] += 1
            line["elapsed_time_seconds"] += 2
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()
