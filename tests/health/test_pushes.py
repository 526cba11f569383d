"""Runs that push: a gateway repeats everybody's last words for ever. A real gateway, a real Prometheus, a process that is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from collectors.prometheus import Prometheus
from dashboard.feed import Feed, Window
from dashboard.health import Health, pushes
from dashboard.observer import Observer
from dashboard.settings import Settings
from tests.services import wait_until

LATE_SECONDS = 4  # here; ten minutes for people
_RUN = """
import sys, time
from dashboard.observer import Observer
observer = Observer(pushgateway=sys.argv[1])
with observer.run("killed") as run:
    observer.log({"fitness_best": 0.7}, step=1)
    print(run.run_id, flush=True)
    time.sleep(600)
"""


@pytest.mark.services
def test_a_killed_run_is_told_from_one_that_ended_and_one_that_pushes(
    tmp_path: Path, pushgateway, prometheus, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dashboard.observer.push.EVERY_SECONDS", 0.5)
    gateway = pushgateway()
    scrape = {
        "job_name": "gateway",
        "honor_labels": True,
        "static_configs": [{"targets": [gateway.target]}],
    }
    server = prometheus(config={"scrape_configs": [scrape]}, scrape_seconds=1)
    client = Prometheus(server.url)
    ended, alive = Observer(pushgateway=gateway.url), Observer(pushgateway=gateway.url)
    with ended.run("ended") as gone:
        ended.log({"fitness_best": 0.5}, step=1)
    ended.close()
    with (
        alive.run("alive") as works,
        subprocess.Popen(
            [sys.executable, "-c", _RUN, gateway.url],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process,
    ):
        alive.log({"fitness_best": 0.7}, step=1)
        killed = process.stdout.readline().strip()
        everyone = {gone.run_id, works.run_id, killed}
        wait_until(
            lambda: {one["metric"]["run_id"] for one in server.query("evolution_run_active")} == everyone,
            30,
            "all runs in Prometheus",
        )
        assert pushes.stale(client).healthy, "ten minutes are not over"
        process.kill()
        monkeypatch.setattr("dashboard.health.pushes.PUSH_LATE_SECONDS", LATE_SECONDS)
        monkeypatch.setattr("dashboard.catalogue.application.PUSH_LATE_SECONDS", LATE_SECONDS)
        wait_until(lambda: not pushes.stale(client).healthy, 30, "the killed run to be late")
        seen = pushes.stale(client)
        assert seen.details == {"groups": 3, "groups_ended": 1, "groups_stale": 1}
        assert killed in seen.reason
        assert works.run_id not in seen.reason
        assert gone.run_id not in seen.reason
        feed = Feed(client, None, job="gateway", refresh_seconds=0)

        def states() -> dict[str, str]:
            return {run.run_id: run.state for run in feed.runs(Window("now-5m")).runs}

        expected = {gone.run_id: "finished", works.run_id: "running", killed: "unknown"}
        wait_until(lambda: states() == expected, 60, f"the runs to stand as they do, not {states()}")
        [lost] = [run for run in feed.runs(Window("now-5m")).runs if run.run_id == killed]
        assert lost.reason.startswith("It was last pushed ")
        assert lost.reason.endswith(" ago; it said running then.")
        assert not lost.active
        assert "pushes" in {
            check.name
            for check in Health(Settings(data_dir=tmp_path), prometheus=client).checks()
            if not check.healthy
        }
    alive.close()
    client.close()


def test_without_a_gateway_the_check_does_not_apply(prometheus_without_pushes):
    seen = pushes.stale(prometheus_without_pushes)
    assert (seen.healthy, seen.applies) == (True, False)


@pytest.fixture
def prometheus_without_pushes(prometheus):
    client = Prometheus(prometheus().url)
    yield client
    client.close()
