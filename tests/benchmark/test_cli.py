"""The command line as CI uses it: a real process, its exit status, its last line, its files."""

import json
import os
import re
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dashboard.benchmark import exports, report_html
from dashboard.benchmark.comparison import compare
from tests import services
from tests.benchmark.conftest import FACTORIES, SHORT, Room

TARGETS = ",".join(
    ["reference-moe", *(f"{FACTORIES}:{name}" for name in ("good", "raises", "raises_in_one_cell"))]
)


def command(room: Room, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "MOE_DASHBOARD_DATA_DIR": str(room.path / "data"),
        "MOE_DASHBOARD_BENCHMARK_TARGETS": TARGETS,
        "TMPDIR": str(room.path),  # leases of this test alone
    }
    return subprocess.run(
        [sys.executable, "-m", "dashboard.cli", "benchmark", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(shared_room: Room) -> str:
    """A run that is done, by the command line."""
    done = command(
        shared_room, "run", f"{FACTORIES}:good", "--device", "cpu", "--json", "--owner", "<b>Ada</b>"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["state"] == "done"
    assert document["report"]["cells"][0]["status"] == "ok"
    assert "started" in done.stderr
    return str(document["run_id"])


def test_a_run_can_be_listed_shown_compared_and_reported(shared_room: Room, finished: str):
    listed = json.loads(command(shared_room, "list", "--json").stdout)
    assert [run["run_id"] for run in listed] == [finished]
    shown = command(shared_room, "show", finished)
    assert "case=a" in shown.stdout
    rows = command(shared_room, "show", finished, "--csv").stdout.splitlines()
    assert rows[0] == ",".join(exports.COLUMNS)
    assert len(rows) == 3
    same = command(shared_room, "compare", finished, finished, "--json")
    assert same.returncode == 0
    assert json.loads(same.stdout)["word"] == "inconclusive"  # one launch never proves anything
    alone = command(shared_room, "compare", finished)
    assert alone.returncode == 2
    assert "No earlier run compares" in alone.stderr
    page = shared_room.path / "report/page.html"
    assert command(shared_room, "report", finished, "--compare", finished, "-o", str(page)).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert "<b>Ada</b>" not in text
    assert "&lt;b&gt;Ada&lt;/b&gt;" in text


def test_a_failing_target_fails_ci_and_says_so_in_junit(room: Room):
    junit = room.path / "junit.xml"
    done = command(room, "run", f"{FACTORIES}:raises", "--device", "cpu", "--junit", str(junit), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["state"] == "failed"
    suite = ET.parse(junit).getroot()
    assert suite.get("errors") == "1"
    assert "the factory said no" in (suite.find("testcase/error").get("message") or "")  # type: ignore[union-attr]


def test_one_failing_cell_fails_ci_too(room: Room):
    junit = room.path / "junit.xml"
    done = command(room, "run", f"{FACTORIES}:raises_in_one_cell", "--device", "cpu", "--junit", str(junit))
    assert done.returncode == 1
    suite = ET.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "os:system"), "not a configured benchmark target"),
        (("run", "reference-moe", "--backend", "slurm"), "Slurm is not configured"),
        (("show", "no-such-run"), "no benchmark run 'no-such-run'"),
        (
            ("run", f"{FACTORIES}:good", "--device", "cpu", "--against", "no-such-revision"),
            "git rev-parse failed",
        ),
    ],
)
def test_what_was_asked_wrongly_is_one_sentence_and_status_2(room: Room, words: tuple[str, ...], said: str):
    done = command(room, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_reference_layer_runs_to_a_right_result(room: Room):
    """End to end with torch: every cell measured, and its error against float64 within what the dtype explains."""
    view = room.wait(room.start("reference-moe", SHORT))
    report = view.report
    assert report is not None, view.error
    assert len(report["cells"]) == 8
    for cell in report["cells"]:
        assert cell["status"] == "ok", cell["reason"]
        assert 0 < cell["error_relative"] < 1e-5
        assert cell["roofline"]["bound"] in ("compute", "memory", "launch")
        assert cell["roofline"]["share_of_floor"] > 0
    assert report["environment"]["torch"]


@pytest.mark.services
def test_a_batch_run_pushes_its_result_and_a_gateway_that_is_gone_is_said(room: Room):
    target = f"{FACTORIES}:good"
    with services.pushgateway(room.path / "gateway") as gateway:
        done = command(room, "run", target, "--device", "cpu", "--json", "--push", gateway.url)
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout.splitlines()[-1])["summary"]
        with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    samples = {
        sample.name: sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("benchmark") == target
    }
    latency = samples["benchmark_latency_seconds"]
    assert latency.value == summary["p50_seconds"]
    assert latency.labels["job"] == "moe-benchmark"
    assert latency.labels["instance"]
    assert samples["benchmark_throughput_samples_per_second"].value == summary["samples_per_second"]
    assert samples["benchmark_last_run_timestamp_seconds"].value > 1.7e9
    gone = command(room, "run", target, "--device", "cpu", "--push", gateway.url)
    assert gone.returncode == 1
    assert "could not be pushed" in gone.stderr
    failed = command(room, "run", f"{FACTORIES}:raises", "--device", "cpu", "--push", gateway.url)
    assert "nothing is pushed: the run is failed" in failed.stderr


class _Page(HTMLParser):
    """Collects what a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "onload", "onerror")]
        if tag in ("script", "iframe", "link", "img", "object"):
            self.fetched.append(tag)


def test_the_page_fetches_nothing_and_escapes_everything(shared_room: Room, finished: str):
    report = shared_room.benchmarks.run(finished).report
    assert report is not None
    hostile = "<script>alert(1)</script>\"'&"
    report["environment"]["gpu_name"] = report["device"]["name"] = report["target"] = hostile
    report["cells"][0]["key"] = hostile
    report["cells"][1] |= {"status": "failed", "reason": hostile}
    text = report_html.page(report, compare(report, report), report)
    parser = _Page()
    parser.feed(text)
    assert parser.fetched == []
    assert "<script>" not in text
    assert not re.search(r"https?://", text)
    assert hostile not in exports.as_markdown(report)
    ET.fromstring(exports.as_junit(hostile, report, ""))


def test_a_cell_that_a_spreadsheet_would_run_is_tamed(shared_room: Room, finished: str):
    report = shared_room.benchmarks.run(finished).report
    assert report is not None
    report["cells"][0]["key"] = "=cmd|' /C calc'!A0"
    assert "\n'=cmd" in exports.as_csv(report)
