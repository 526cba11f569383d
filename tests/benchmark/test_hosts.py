"""Dashboards that share a store see one list of runs: started and cancelled from any of them, on SQLite and PostgreSQL."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from collectors.unavailable import Unavailable
from dashboard.benchmark.directory import TERMINAL
from dashboard.benchmark.hosts import SILENT_SECONDS, Hosts
from dashboard.benchmark.runs import NoSuchRun, RunView
from dashboard.benchmark.starting import CannotStart
from dashboard.store import Store
from tests import postgres, services
from tests.benchmark.conftest import FACTORIES, SHORT, Room, opened

GOOD, SLOW = f"{FACTORIES}:good", f"{FACTORIES}:slow"
DEVICES = {"cpu": "CPU"}


class Clock:
    """The time of all machines, which the test may set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Site:
    """Two dashboards with data directories of their own."""

    one: Hosts
    two: Hosts
    room_one: Room
    room_two: Room
    clock: Clock
    url: str | Path

    def until(self, hosts: Hosts, run_id: str, so, seconds: float = 60) -> RunView:
        """Wait for what `hosts` sees of a run, exchanging as the servers' threads do."""
        deadline = time.monotonic() + seconds
        while True:
            self.one.exchange()
            self.two.exchange()
            hosts._others = None
            try:
                view = hosts.run(run_id)
                if so(view):
                    return view
            except NoSuchRun:
                view = None
            assert time.monotonic() < deadline, view
            time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    with postgres.cluster() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "sqlite":
        url: str | Path = tmp_path / "store.sqlite"
    else:
        url = request.getfixturevalue("cluster").fresh(f"hosts_{time.time_ns()}")
    clock = Clock()
    stores = [Store(url, clock=clock), Store(url, clock=clock)]
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    try:
        with opened(one) as room_one, opened(two) as room_two:
            yield Site(
                *(
                    Hosts(room.benchmarks, store.benchmarks, lambda: DEVICES, clock)
                    for room, store in zip((room_one, room_two), stores, strict=True)
                ),
                room_one, room_two, clock, url,
            )  # fmt: skip
    finally:
        for store in stores:
            store.close()


def test_a_run_started_at_one_is_seen_and_cancelled_at_the_other(site: Site):
    from dataclasses import replace

    run_id = site.room_one.start("slow", replace(SHORT, cell_seconds=30), owner="Ada")
    seen = site.until(site.two, run_id, lambda view: view.progress.cell)
    assert seen.state == "running"
    assert seen.summary.owner == "Ada"
    assert seen.summary.host
    assert seen.progress.p50_seconds is None or seen.progress.p50_seconds > 0
    [listed] = site.two.runs()
    assert listed.run_id == run_id
    assert site.two.ours.runs() == ()
    site.two.cancel(run_id, "Grace")
    ended = site.until(site.two, run_id, lambda view: view.state in TERMINAL)
    assert ended.state == "cancelled"
    assert "Grace" in ended.error
    assert site.room_one.wait(run_id).state == "cancelled"


def test_a_run_asked_for_at_one_is_measured_at_the_other_once_and_its_result_read_at_both(site: Site):
    site.one.exchange()
    site.two.exchange()
    [place] = site.one.places()
    assert GOOD in place.targets
    assert place.devices == DEVICES
    assert place.silent_seconds is None
    asked = {"target": GOOD, "profile": "quick", "device": "cpu", "idempotency_key": "click 1"}
    site.one.ask_to_start(place.place, who="Grace", **asked)
    site.one.ask_to_start(place.place, who="Grace", **asked)  # a double click
    site.two.exchange()
    [run] = site.room_two.benchmarks.runs()
    assert run.owner == "Grace"
    assert site.room_one.benchmarks.runs() == ()
    view = site.until(site.one, run.run_id, lambda view: view.state in TERMINAL)
    assert view.state == "done", view.error
    assert view.report == site.two.ours.run(run.run_id).report
    assert [found.run_id for found in site.one.runs()] == [run.run_id]


def test_the_queue_of_a_host_is_one_for_those_who_look_from_elsewhere(site: Site):
    from dataclasses import replace

    first = site.room_one.start("slow", replace(SHORT, cell_seconds=30), owner="Ada")
    second = site.room_one.start("good", owner="Grace")
    waiting = site.until(site.two, second, lambda view: view.progress.queue_position == 1)
    assert waiting.state == "queued"
    assert waiting.progress.queue_holder is not None
    assert waiting.progress.queue_holder["owner"] == "Ada"
    site.two.cancel(first, "Grace")
    assert site.until(site.two, second, lambda view: view.state in TERMINAL).state == "done"


def test_what_a_host_refuses_is_said_where_it_was_asked(site: Site):
    site.one.exchange()
    site.two.exchange()
    [place] = site.one.places()
    with pytest.raises(CannotStart, match="not configured on"):
        site.one.ask_to_start(
            place.place, who="Grace", target="os:system", profile="quick", device="cpu", idempotency_key="k"
        )
    site.one.ask_to_start(
        place.place, who="Grace", target=GOOD, profile="quick", device="tpu", idempotency_key="k"
    )
    site.two.exchange()
    [(who, why)] = site.one.refused(place.place)
    assert who == "Grace"
    assert "no device 'tpu'" in why
    assert site.room_two.benchmarks.runs() == ()


def test_a_host_that_fell_silent_is_said_to_be_silent_and_takes_nothing(site: Site):
    run_id = site.room_one.start("ignores_sigterm")
    site.until(site.two, run_id, lambda view: view.state == "running")
    site.clock.ahead += 2 * SILENT_SECONDS
    site.two._others = None
    view = site.two.run(run_id)
    assert "has not been heard of since" in view.summary.sentence
    [place] = site.two.places()
    assert place.silent_seconds is not None
    with pytest.raises(CannotStart, match="has not been heard of"):
        site.two.ask_to_start(
            place.place, who="Grace", target=GOOD, profile="quick", device="cpu", idempotency_key="k"
        )


def test_an_old_wish_is_not_carried_out(site: Site):
    site.one.exchange()
    site.two.exchange()
    [place] = site.one.places()
    site.one.ask_to_start(
        place.place, who="Grace", target=GOOD, profile="quick", device="cpu", idempotency_key="k"
    )
    site.clock.ahead += 1000
    site.two.exchange()
    assert site.room_two.benchmarks.runs() == ()


def test_without_the_store_everyone_has_his_own_runs(room: Room, tmp_path: Path):
    run_id = room.start("good")
    folder = tmp_path / "store.sqlite"
    folder.mkdir()  # no database can be here
    hosts = Hosts(room.benchmarks, Store(folder).benchmarks, lambda: DEVICES)
    assert [run.run_id for run in hosts.runs()] == [run_id]
    assert isinstance(hosts.unavailable, Unavailable)
    assert hosts.run(run_id).summary.run_id == run_id
    with pytest.raises(Unavailable):
        hosts.exchange()


def test_the_thread_shows_runs_by_itself_and_stops(room: Room, tmp_path: Path):
    store = Store(tmp_path / "store.sqlite")
    hosts = Hosts(room.benchmarks, store.benchmarks, lambda: DEVICES)
    run_id = room.start("good")
    hosts.start()
    try:
        deadline = time.monotonic() + 20
        while store.benchmarks.one(run_id) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        hosts.stop()
        store.close()


@pytest.mark.services
def test_a_server_shows_its_runs_and_does_what_another_asks(cluster: postgres.Cluster, tmp_path: Path):
    """A real `moe-dashboard serve` with a data directory of its own; we are the other dashboard."""
    url = cluster.fresh(f"server_{time.time_ns()}")
    leases = tmp_path / "leases"
    store = Store(url)
    try:
        with (
            services.dashboard(
                tmp_path / "server", store_url=url, benchmark_targets=SLOW, benchmark_lease_dir=leases
            ),
            opened(tmp_path / "ours") as ours,
        ):
            hosts = Hosts(ours.benchmarks, store.benchmarks, lambda: DEVICES)
            services.wait_until(hosts.places, 60, "the server to show itself")
            [place] = hosts.places()
            assert "cpu" in place.devices
            hosts.ask_to_start(
                place.place, who="Grace", target=SLOW, profile="standard", device="cpu", idempotency_key="k"
            )
            services.wait_until(lambda: any(run.state == "running" for run in hosts.runs()), 60, "the run")
            [run] = hosts.runs()
            assert (run.owner, bool(run.host)) == ("Grace", True)
            hosts.cancel(run.run_id, "Ada")
            services.wait_until(lambda: hosts.run(run.run_id).state == "cancelled", 60, "the end of it")
            assert "Ada" in hosts.run(run.run_id).error
    finally:
        store.close()
