"""A demo that runs for a while with viewers before it: memory, threads, descriptors and the store must level off.

    python -m tests.faults.soak                          # 20 minutes, as a person would leave it on a wall
    python -m tests.faults.soak --minutes 8 --hurried    # looks twice a second, pages change every two seconds

Prints a table in Markdown and ends with 1 where something of the dashboard still grows at the end.
"""

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from dashboard.demo import Demo
from dashboard.ports import Ports
from dashboard.sitemap import ENTRIES
from dashboard.store import Store
from tests import services
from tests.browser.screen import Screen, chromium, screen

VIEWERS = 4
MEASURED = ("dashboard", "router", "exporter")
# what may still be gained per hour at the end, judged over the last half: a leak of one session's data is more
MOST_MIB_AN_HOUR = 60.0
MOST_THREADS_AN_HOUR = 10.0
MOST_FILES_AN_HOUR = 20.0


@dataclass(frozen=True)
class Sample:
    """One look at a process."""

    seconds: float  # since the first look
    process: str
    rss_mib: float
    threads: int
    files: int
    store_kib: float


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument(
        "--hurried", action="store_true", help="refresh twice a second, change pages every two"
    )
    parser.add_argument("--csv", type=Path, help="write every sample there too")
    arguments = parser.parse_args(words)
    every = 2.0 if arguments.hurried else 15.0
    os.environ["MOE_DASHBOARD_REFRESH_SECONDS"] = "0.5" if arguments.hurried else "5"
    with tempfile.TemporaryDirectory(prefix="moe-soak-") as folder, _demo(Path(folder)) as demo:
        samples, visits, spoken = _watched(demo, arguments.minutes * 60.0, every)
    if arguments.csv:
        lines = [
            f"{s.seconds:.0f},{s.process},{s.rss_mib:.1f},{s.threads},{s.files},{s.store_kib:.0f}"
            for s in samples
        ]
        arguments.csv.write_text(
            "seconds,process,rss_mib,threads,files,store_kib\n" + "\n".join(lines) + "\n"
        )
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {arguments.minutes:g} minutes, {VIEWERS} browsers, a page change every"
        f" {every:g} s, {visits} pages opened, {spoken} acknowledgements.\n"
    )
    return _verdict(samples)


@contextlib.contextmanager
def _demo(folder: Path) -> Iterator[Demo]:
    with Demo(folder, Ports.following(services.free_base()), say=lambda _: None) as running:
        yield running


def _watched(demo: Demo, seconds: float, every: float) -> tuple[list[Sample], int, int]:
    """Let viewers wander until the time is over; a look at the processes every five seconds."""
    store = Store(demo.directory / "dashboard" / "store.sqlite")
    paths = itertools.cycle([f"/{entry.url}" for entry in ENTRIES])
    samples: list[Sample] = []
    visits = spoken = 0
    with chromium() as browser, contextlib.ExitStack() as stack:
        viewers: list[tuple[contextlib.ExitStack, Screen]] = []

        def arrive() -> None:
            own = stack.enter_context(contextlib.ExitStack())
            viewers.append((own, own.enter_context(screen(browser, demo.url))))

        for _ in range(VIEWERS):
            arrive()
        began = time.monotonic()
        looked = turned = -1e9
        while (now := time.monotonic() - began) < seconds:
            if now - looked >= 5:
                looked = now
                samples += [_look(demo, name, now) for name in MEASURED]
            if now - turned >= every:
                turned = now
                visits += 1
                own, viewer = viewers.pop(0)
                if visits % 5 == 0:  # somebody leaves for good, somebody new arrives: sessions come and go
                    own.close()
                    arrive()
                    own, viewer = viewers.pop()
                with contextlib.suppress(Exception):  # a machine that is busy is not what is measured here
                    viewer.page.goto(demo.url + next(paths), wait_until="commit", timeout=20_000)
                viewers.append((own, viewer))
                if visits % 3 == 0:
                    store.acknowledge(f"soak-{spoken % 20}", alert="Soak", who="soak", comment=str(spoken))
                    spoken += 1
            viewers[0][1].page.wait_for_timeout(250)
    store.close()
    return samples, visits, spoken


def _look(demo: Demo, name: str, seconds: float) -> Sample:
    process = psutil.Process(demo.children[name].pid)
    family = [process, *process.children(recursive=True)]
    with process.oneshot():
        kept = (
            sum(path.stat().st_size for path in (demo.directory / "dashboard").glob("store.sqlite*")) / 1024
        )
        return Sample(
            seconds,
            name,
            sum(one.memory_info().rss for one in family) / 2**20,
            sum(one.num_threads() for one in family),
            sum(one.num_fds() for one in family),
            kept,
        )


def _verdict(samples: list[Sample]) -> int:
    """Print what was seen and tell whether the dashboard still grew in the second half."""
    grew = []
    print(
        "| process | what | at 20 % | at 60 % | at the end | highest | gain per hour, last half |\n|---|---|---|---|---|---|---|"
    )
    for name in MEASURED:
        mine = [one for one in samples if one.process == name]
        times = np.array([one.seconds for one in mine])
        late = times >= times[-1] / 2
        for what, most in (
            ("rss_mib", MOST_MIB_AN_HOUR), ("threads", MOST_THREADS_AN_HOUR), ("files", MOST_FILES_AN_HOUR), ("store_kib", np.inf)
        ):  # fmt: skip
            if what == "store_kib" and name != "dashboard":
                continue
            values = np.array([float(getattr(one, what)) for one in mine])
            hourly = _slope(times[late], values[late]) * 3600
            at = [values[int(share * (len(values) - 1))] for share in (0.2, 0.6, 1.0)]
            print(
                f"| {name} | {what} | {at[0]:.0f} | {at[1]:.0f} | {at[2]:.0f} | {values.max():.0f} | {hourly:+.1f} |"
            )
            if name == "dashboard" and hourly > most:
                grew.append(f"{what} {hourly:+.1f} an hour, more than {most:g}")
    print(
        "\n"
        + (
            f"STILL GROWS: {'; '.join(grew)}"
            if grew
            else "Level: nothing of the dashboard grew by more than its limit."
        )
    )
    return 1 if grew else 0


def _slope(times: np.ndarray, values: np.ndarray) -> float:
    """Gain per second as the median of the slopes between all pairs (Theil and Sen): a spike is no trend."""
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((values[second] - values[first]) / (times[second] - times[first])))


if __name__ == "__main__":
    sys.exit(main())
