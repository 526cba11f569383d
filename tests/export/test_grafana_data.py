"""Every query of the exported Grafana dashboard has data in a real Prometheus that scrapes what the example reports.

The example's recorded run is said again through the real observer, with requests beside it; the machine's metrics come
from the real exporter over the stand-in NVML library. The rules are the exported ones.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from collectors import nvml
from collectors.xid import XidWatch
from dashboard.export.grafana import grafana
from dashboard.export.rules import rules
from dashboard.exporter import Exporter
from dashboard.feed.axis import LOG_NAMES
from dashboard.observer import Observer
from dashboard.sampler import Sampler
from dashboard.settings import Settings
from tests import services
from tests.fakes.nvml.driver import driver
from tests.verdict.recorded import RUNS

pytestmark = pytest.mark.services

_NOT_VALUES = {"logger", "level", "event", "timestamp", "run_id", "elapsed_time_seconds", "generation"}


def generations(run: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the recorded router logged, generation by generation, under the catalogue's names."""
    for line in (RUNS / run / "generations.jsonl").read_text().splitlines():
        fields = json.loads(line)
        values = {
            LOG_NAMES.get(name, name): value for name, value in fields.items() if name not in _NOT_VALUES
        }
        yield fields["generation"], values


def filled(promql: str) -> str:
    """As Grafana fills it with all runs and instances chosen and a scrape every half second."""
    return promql.replace("$__rate_interval", "4s").replace("$run", ".*").replace("$instance", ".*")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[str]:
    """host:port of an exporter with one GPU."""
    with driver(tmp_path / "nvml") as board:
        board.gpu(0)
        sampler = Sampler(read_gpus=lambda: nvml.read(board.nvml), read_xids=XidWatch(board.nvml).look)
        sampler.start()
        exporter = Exporter(sampler)
        exporter.start()
        try:
            assert sampler.wait(5)
            yield exporter.url.removeprefix("http://")
        finally:
            exporter.close()
            sampler.stop()


def test_every_query_of_the_exported_dashboard_returns_data(tmp_path: Path, machine: str, prometheus):
    queries = {
        f"{panel['title']}: {target['legendFormat']}": filled(target["expr"])
        for panel in json.loads(grafana(Settings()))["panels"]
        for target in panel.get("targets", ())
    }
    assert len(queries) > 30
    port = services.free_port()
    observer = Observer(
        port=port, runs_dir=tmp_path / "runs", run_name="digits", registry=CollectorRegistry()
    )
    with observer.run(config={"num_experts": 8, "top_k": 2}):
        server = prometheus(
            targets={"moe-router": f"127.0.0.1:{port}", "moe-exporter": machine}, rules=[rules(Settings())]
        )
        recorded = generations("healthy")
        empty = dict(queries)

        def answered() -> bool:
            """One generation and one request further: which queries still have no number?"""
            with observer.span("fitness_evaluation"):
                pass
            for generation, values in islice(recorded, 1):
                observer.log(values, step=generation)
            with observer.inference(batch_size=8):
                pass
            for title, promql in list(empty.items()):
                numbers = [float(one["value"][1]) for one in server.query(promql)]
                if any(number == number for number in numbers):  # NaN is no number
                    del empty[title]
            return not empty

        try:
            services.wait_until(answered, 25)
        finally:
            assert empty == {}
