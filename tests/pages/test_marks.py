"""What happened meanwhile is marked on every chart of a run, on every axis: alerts that fired, benchmarks, restarts."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboard.benchmark.index import Index, RunSummary
from tests import services
from tests.pages.runs import directory, figures

pytestmark = pytest.mark.services

BEGAN = float(int(time.time()) - 3 * 3600)
PACE = 2.0  # seconds a generation
FIRED, ENDED = BEGAN + 100.0, BEGAN + 160.0  # generations 50 to 80
RESTARTED = 120  # after this generation the run begins anew at 1
CHARTS = {
    "evolution": ("curves-evolution", "timeline", "failures"),
    "training": ("curves-training",),
    "experts": ("curves-balance",),
}


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The healthy run, as if it had ended two and a half hours ago, restarted once, with an evaluation that failed."""
    root = directory(tmp_path_factory.mktemp("marked"), "healthy")
    [log] = root.glob("*/generations.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for number, line in enumerate(lines):
        moment = BEGAN + PACE * number
        line |= {"timestamp": stamp(moment), "elapsed_time_seconds": PACE * number}
        line["generation"] = number + 1 if number < RESTARTED else number - RESTARTED + 1
        line["evolution_evaluation_failures_total"] = {"ValueError": 1 + number // 30}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = json.loads((log.parent / "run.json").read_text())
    record |= {"started_at": stamp(BEGAN), "ended_at": stamp(BEGAN + PACE * len(lines))}
    (log.parent / "run.json").write_text(json.dumps(record))
    return root


@pytest.fixture(scope="module")
def alerted(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that remembers an alert of the run, one of the machine and one of another run."""
    [folder] = runs.iterdir()
    about = {
        "ExpertDead": f'run_id="{folder.name}",severity="critical"',
        "GPUMemoryHigh": 'gpu_id="0",severity="warning"',
        "LowPopulationDiversity": 'run_id="another",severity="warning"',
    }
    states = {name: f'ALERTS_FOR_STATE{{alertname="{name}",{labels}}}' for name, labels in about.items()}
    firing = {
        name: f'ALERTS{{alertname="{name}",alertstate="firing",{labels}}}' for name, labels in about.items()
    }
    moments = [FIRED + 5.0 * step for step in range(13)]
    text = ["# TYPE ALERTS_FOR_STATE gauge"]
    text += [f"{series} {FIRED} {moment}" for series in states.values() for moment in moments]
    text += [
        "# TYPE ALERTS gauge",
        *(f"{series} 1 {moment}" for series in firing.values() for moment in moments),
        "# EOF\n",
    ]
    with services.prometheus(tmp_path_factory.mktemp("past") / "prometheus") as server:
        server.backfill("\n".join(text))
        yield server.url


@pytest.fixture(autouse=True)
def _benchmark(tmp_path: Path) -> None:
    """A benchmark of five seconds, as the list of ended runs remembers it."""
    began, ended = (datetime.fromtimestamp(moment, UTC) for moment in (BEGAN + 200.0, BEGAN + 205.0))
    run_id = "20260101T000000Z-reference-moe-quick-0000ab"
    (tmp_path / "data" / "benchmarks" / run_id).mkdir(parents=True)
    Index(tmp_path / "data" / "benchmarks" / "index.sqlite").write(RunSummary(
        run_id=run_id, target="reference-moe", profile="quick", device="cpu", device_name="cpu", owner="alice", state="done", sentence="",
        created_at=began, started_at=began, ended_at=ended, p50_seconds=0.1, samples_per_second=1.0, headline="", spec_hash="", env_key="", failed_cells=0,
    ))  # fmt: skip


def notes(document: dict) -> dict[str, object]:
    """Text of each mark → where it stands."""
    found = {
        note["hovertext"]: note["x"]
        for note in document["figure"]["layout"]["annotations"]
        if note.get("xref") == "x"
    }
    assert "LowPopulationDiversity" not in " ".join(found)
    return found


@pytest.mark.parametrize("page", CHARTS)
@pytest.mark.parametrize("axis", ["generation", "elapsed", "time"])
def test_alerts_benchmarks_and_restarts_are_marked_on_every_chart(open_page, runs, alerted, page, axis):
    window = {"from": f"{1000 * (BEGAN - 60):.0f}", "to": f"{1000 * (BEGAN + 400):.0f}"}
    app = open_page(
        page, runs_dir=runs, prometheus_url=alerted, query=window | {"axis": axis, "timeline": "300"}
    )
    drawn = figures(app)
    for chart in CHARTS[page]:
        marked = notes(drawn[chart])
        assert {text.split(" ")[0] for text in marked} >= {
            "ExpertDead",
            "GPUMemoryHigh",
            "Benchmark",
            "Segment",
        }, (chart, marked)
        at = next(place for text, place in marked.items() if text.startswith("ExpertDead"))
        where = {"generation": 51.0, "elapsed": 100.0, "time": 1000 * FIRED}[axis]
        if chart == "timeline" and axis == "generation":
            where = 1000 * FIRED  # a timeline is over time
        assert at == pytest.approx(where, abs=1.0 if where < 1e6 else 1000.0), chart
    assert not app.exception


def test_runs_over_each_other_have_their_marks_on_their_own_curves(open_page, runs, alerted):
    [folder] = runs.iterdir()
    for align in ("generation", "elapsed", "time", "evaluations"):
        app = open_page(
            "evolution", runs_dir=runs, prometheus_url=alerted, query={"runs": folder.name, "align": align}
        )
        texts = [
            text for trace in figures(app)["overlay"]["figure"]["data"] for text in trace.get("text") or ()
        ]
        for start in ("ExpertDead", "GPUMemoryHigh", "Benchmark", "Segment"):
            assert any(text.startswith(start) for text in texts), (align, start, texts)
