"""The report of a run: from the runs directory alone, from Prometheus alone, from both; safe to open."""

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from dashboard import cli
from dashboard.report import gather
from dashboard.report import run as report
from dashboard.settings import Settings
from dashboard.sources import Sources
from tests import services
from tests.feed import history
from tests.report.conftest import HOSTILE
from tests.verdict.recorded import RUNS


def command(*words: str, monkeypatch: pytest.MonkeyPatch, **settings: object) -> int:
    for name, value in settings.items():
        monkeypatch.setenv(f"MOE_DASHBOARD_{name.upper()}", str(value))
    return cli.main(["report", *words])


def rows(text: str) -> tuple[dict[str, object], list[dict[str, str]]]:
    """What the first line says, and the rows below it."""
    head, _, body = text.partition("\n")
    return json.loads(head.removeprefix("# ")), list(csv.DictReader(io.StringIO(body)))


def test_a_run_from_the_runs_directory_alone(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "healthy.html"
    assert command("--run", "healthy", "-o", str(out), "--csv", str(tmp_path / "csv"), monkeypatch=monkeypatch, runs_dir=RUNS, data_dir=tmp_path) == 0  # fmt: skip
    text = out.read_text(encoding="utf-8")
    assert '<strong class="good">Finished.</strong> Best 0.907 at generation 150 of 150.' in text
    assert "The log holds all 150 generations" in text
    assert "No Prometheus is configured, and it alone remembers what fired." in text
    for word in (
        "mutation_rate",
        "Fitness",
        "Diversity",
        "Training loss",
        "load ÷ fair load of 8 experts",
        "16 tokens",
    ):
        assert word in text, word
    about, points = rows((tmp_path / "csv" / "evolution.csv").read_text(encoding="utf-8"))
    assert (about["run"], about["times"], len(points)) == ("healthy", "UTC", 150)
    assert about["units"]["evolution_generation_duration_seconds"] == "seconds"
    assert points[0]["time_utc"] == "2026-11-23T22:26:39.528747Z"
    assert float(points[-1]["evolution_fitness_best"]) == pytest.approx(0.9075, abs=1e-3)
    _, loads = rows((tmp_path / "csv" / "experts.csv").read_text(encoding="utf-8"))
    assert len(loads) == 8 * 150
    assert sum(float(row["share_ratio"]) for row in loads[::150]) == pytest.approx(1)
    assert str(out) in capsys.readouterr().out


def test_a_run_that_lost_its_numbers_says_so(tmp_path):
    sources = Sources(Settings(runs_dir=RUNS, data_dir=tmp_path))
    found = gather.of_run(sources, "nan")
    sources.feed.close()
    assert found.story.verdict.word == "diverged"
    assert "Runbook: EvolutionFitnessNaN." in report.page(found)


def test_a_report_tells_pace_failures_and_how_the_run_stands_against_the_baseline(tmp_path):
    runs = tmp_path / "runs"
    for name in ("healthy", "mutation-zero"):
        shutil.copytree(RUNS / name, runs / name)
    log = runs / "healthy" / "generations.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines[4:]:
        line["evolution_evaluation_failures_total"] = {"ValueError": 1 + (line["generation"] >= 9)}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    failed = {
        "event": "Evolution step failed",
        "level": "error",
        "error_type": "RuntimeError",
        "generation": 7,
        "timestamp": lines[6]["timestamp"],
    }
    (log.parent / "events.jsonl").write_text(json.dumps(failed) + "\n")
    sources = Sources(Settings(runs_dir=runs, data_dir=tmp_path))
    try:
        sources.store.pin("mutation-zero", who="alice")
        found = gather.of_run(sources, "healthy")
        assert gather.of_run(sources, "mutation-zero").baseline is None
    finally:
        sources.feed.close()
    page = report.page(found)
    assert "generations a minute" in page
    assert "3,600" in page  # evaluations: 150 generations of 24
    assert "<td>ValueError</td><td>an evaluation</td><td>2</td><td>5</td><td>9</td>" in page
    assert "<td>RuntimeError</td><td>a step</td><td>1</td>" in page
    assert "pinned by alice" in page
    assert re.search(r"Over generations 1 to 80, healthy is on average [+-]0\.\d+ from mutation-zero", page)
    assert re.search(
        r"reached the baseline&#x27;s best, 0\.8\d+, at generation \d+, after .*, after [\d,]+ evaluations",
        page,
    )
    assert "<td>mutation_rate</td><td>0.02</td><td>0.0</td>" in page
    tables = {table.name: table.frame for table in report.tables(found)}
    assert tables["failures"][["where", "error_type", "failures"]].to_numpy().tolist() == [
        ["evaluation", "ValueError", 1.0], ["step", "RuntimeError", 1.0], ["evaluation", "ValueError", 1.0],
    ]  # fmt: skip


def test_a_zip_holds_the_page_and_every_table(tmp_path, monkeypatch):
    out = tmp_path / "healthy.zip"
    assert (
        command("--run", "healthy", "-o", str(out), monkeypatch=monkeypatch, runs_dir=RUNS, data_dir=tmp_path)
        == 0
    )
    with zipfile.ZipFile(out) as archive:
        assert set(archive.namelist()) == {
            "report.html",
            "evolution.csv",
            "experts.csv",
            "failures.csv",
            "alerts.csv",
            "log.csv",
            "benchmarks.csv",
        }


def test_a_run_nobody_knows_is_one_sentence(tmp_path, monkeypatch, capsys):
    assert (
        command(
            "--run",
            "../etc",
            "-o",
            str(tmp_path / "x.html"),
            monkeypatch=monkeypatch,
            runs_dir=RUNS,
            data_dir=tmp_path,
        )
        == 1
    )
    assert capsys.readouterr().err == "moe-dashboard: No run '../etc' is known.\n"
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "x.html"], "say what to report"),
        (["--run", "r", "-o", "x.pdf"], "ends neither in .html nor in .zip"),
        (["--from", "yesterday", "-o", "x.html"], "is not a time"),
        (["--from", "2026-13-45", "-o", "x.html"], "is not a time"),
        (["--from", "now", "--to", "now-1h", "-o", "x.html"], "ends before it begins"),
    ],
)
def test_a_wrong_question_is_one_sentence(words, sentence, monkeypatch, capsys):
    assert command(*words, monkeypatch=monkeypatch) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "x.html"
    assert (
        command("--run", "healthy", "-o", str(out), monkeypatch=monkeypatch, runs_dir=RUNS, data_dir=tmp_path)
        == 1
    )
    assert "cannot be written" in capsys.readouterr().err


def test_a_prometheus_that_is_off_is_said_and_the_log_tells_the_run(tmp_path):
    off = f"http://127.0.0.1:{services.free_port()}"
    sources = Sources(Settings(prometheus_url=off, runs_dir=RUNS, data_dir=tmp_path))
    try:
        found = gather.of_run(sources, "healthy")
    finally:
        sources.feed.close()
    page = report.page(found)
    assert len(found.story.evolution.frame) == 150
    assert found.story.verdict.word == "finished"
    assert "Not known: " in page
    assert "No alert" not in page


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    with services.prometheus(tmp_path_factory.mktemp("past")) as service:
        service.backfill(history.openmetrics())
        yield service


@pytest.mark.services
@pytest.mark.parametrize("with_log", [False, True])
def test_a_run_from_prometheus_with_and_without_its_log(tmp_path: Path, past, with_log: bool):
    runs = tmp_path / "runs"
    runs.mkdir()
    if with_log:
        history.write_run(runs)
    sources = Sources(Settings(prometheus_url=past.url, runs_dir=runs, data_dir=tmp_path))
    try:
        found = gather.of_run(sources, "alpha")
        text = report.page(found)
    finally:
        sources.feed.close()
    frame = found.story.evolution.frame
    assert frame["source"].isin(["prometheus", "log"] if with_log else ["prometheus"]).all()
    generations = (history.FINISHED - history.START) / history.GENERATION_SECONDS
    seen_once = len(frame) in {generations, generations + 1}  # Prometheus saw the counter after the last line
    assert seen_once if with_log else len(frame) < generations / 5
    assert found.story.run.state == "finished"
    assert set(found.loads.load) == {"0", "1"}
    assert "segment" in text
    assert "no alert was pending or firing" in text.lower()
    assert re.search(r"queries behind these numbers", text)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_full_of_hostile_text_opens_without_network_and_runs_nothing(
    tmp_path, sources, browser, scheme
):
    found = gather.of_run(sources, "bad")
    out = tmp_path / "bad.html"
    out.write_text(report.page(found), encoding="utf-8")
    context = browser.new_context(color_scheme=scheme, timezone_id="America/New_York")
    page = context.new_page()
    asked, trouble = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    page.goto(out.as_uri())
    page.wait_for_selector("html[data-drawn]", timeout=30_000)
    assert int(page.evaluate("document.documentElement.dataset.drawn")) == 6
    assert page.locator("figure .main-svg").count() >= 6
    assert page.evaluate("document.images.length") == 0
    assert page.title() != "run"
    assert HOSTILE.split("\u202e")[0].strip() in page.locator("body").inner_text()
    assert page.locator("[onerror], [onload]").count() == 0
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page.evaluate("document.querySelector('.main-svg').style.background").replace(
        " ", ""
    ) == paper.replace(" ", "")
    page.emulate_media(media="print")
    services.wait_until(
        lambda: "255, 255, 255" in page.evaluate("document.querySelector('.main-svg').style.background"),
        what="figures on white for paper",
    )
    assert asked == [out.as_uri()]
    assert trouble == []
    context.close()
