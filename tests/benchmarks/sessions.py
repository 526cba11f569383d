"""The rows about many sessions: websocket clients that speak Streamlit's protocol, refreshing one page every 5 s.

A client is what a browser is to the server: it opens the stream, asks for the page, keeps the messages it is told to keep,
and sends the fragment's rerun when the server's timer says so; it only does not draw. All clients together cost a
fraction of one browser. They share the machine with the server: its CPU is said too.
"""

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests import services
from tests.benchmarks.browser import REFRESH_SECONDS, _evolving
from tests.pages.runs import directory

REACH_SECONDS = 0.5
WARM_SECONDS, MEASURED_SECONDS = 20.0, 40.0
PAGE, QUERY = "evolution", "refresh=5s"


@dataclass
class Client:
    """One viewer."""

    url: str
    latencies: list[float] = field(default_factory=list)  # seconds from asking to the end of the script
    received: int = 0  # bytes since `latencies` was emptied
    kept: dict[str, None] = field(default_factory=dict)  # hashes of messages that need not be sent again
    fragment: str = ""
    ready: bool = False

    async def live(self, stop: asyncio.Event, delay: float) -> None:
        """Open the page after a delay, then refresh until told to stop."""
        await asyncio.sleep(delay)
        async with websockets.connect(self.url, subprotocols=[websockets.Subprotocol("streamlit")], max_size=None) as stream:  # fmt: skip
            await self.asked(stream)
            self.ready = True
            due = time.monotonic() + REFRESH_SECONDS
            while not stop.is_set():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self.latencies.append(await self.asked(stream))
                due = max(due + REFRESH_SECONDS, time.monotonic())

    async def asked(self, stream: websockets.ClientConnection) -> float:
        """Send a rerun of the page, or of its fragment, and read to the end of the script."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_name = QUERY, PAGE
        if self.fragment:
            state.fragment_id, state.is_auto_rerun = self.fragment, True
        state.cached_message_hashes.extend(self.kept)
        began = time.monotonic()
        await stream.send(message.SerializeToString())
        while True:
            data = await stream.recv()
            self.received += len(data)
            said = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
            kind = said.WhichOneof("type")
            if said.metadata.cacheable and said.hash:
                self.kept[said.hash] = None
                while len(self.kept) > 100:
                    self.kept.pop(next(iter(self.kept)))
            if kind == "auto_rerun":
                self.fragment = said.auto_rerun.fragment_id
            if kind == "script_finished":
                return time.monotonic() - began


class Report:
    """Rows of the table; `missed` counts the lines that were not reached."""

    def __init__(self, counts: tuple[int, ...] = (50, 200)) -> None:
        self.counts = counts
        self.missed = 0

    def rows(self) -> Iterator[str]:
        """Measure row by row: the run gains a generation between any two refreshes, so every figure changes."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            runs = directory(folder / "recorded", "healthy")
            server = stack.enter_context(services.dashboard(folder / "serve", runs_dir=runs, window="30d"))
            [log] = runs.glob("*/generations.jsonl")
            stack.enter_context(_evolving(log))
            yield f"{'sessions on Evolution, a refresh every 5 s':<46}{'p50':>9}{'p95':>9}{'server CPU':>12}{'a refresh: CPU':>11}, bytes  to reach"
            for count in self.counts:
                yield self.row(server, count)

    def row(self, server: services.Service, count: int) -> str:
        """So many sessions for a while."""
        pid = server.child.pid
        clients = [Client(f"ws://127.0.0.1:{server.port}/_stcore/stream") for _ in range(count)]
        used = asyncio.run(_together(clients, pid))
        latencies = sorted(one for client in clients for one in client.latencies)
        p50, p95 = statistics.median(latencies), latencies[int(0.95 * (len(latencies) - 1))]
        size = sum(client.received for client in clients) / len(latencies)
        reached = p95 <= REACH_SECONDS
        self.missed += not reached
        share = 100 * used / MEASURED_SECONDS
        return (
            f"{f'{count} sessions, {len(latencies)} refreshes':<46}{1000 * p50:>6.0f} ms{1000 * p95:>6.0f} ms{share:>10.0f} %"
            f"{1000 * used / len(latencies):>8.1f} ms{size / 1000:>8.1f} kB  p95 ≤ {1000 * REACH_SECONDS:.0f} ms {'✓' if reached else '✗'}"
        )


async def _together(clients: list[Client], pid: int) -> float:
    """Let all of them live; CPU seconds of the server while it was measured."""
    stop, chance = asyncio.Event(), random.Random(0)  # spreads the starts, hides nothing
    spread = max(REFRESH_SECONDS, len(clients) / 10)  # people do not open a page in the same second
    tasks = [asyncio.create_task(one.live(stop, chance.uniform(0, spread))) for one in clients]
    while not all(one.ready for one in clients):
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.2)
    await asyncio.sleep(WARM_SECONDS)
    for one in clients:
        one.latencies.clear()
        one.received = 0
    before = _cpu_seconds(pid)
    await asyncio.sleep(MEASURED_SECONDS)
    used = _cpu_seconds(pid) - before
    stop.set()
    await asyncio.gather(*tasks)
    return used


def _cpu_seconds(pid: int) -> float:
    """CPU time of the process, threads that have ended included: each script run is a thread."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
