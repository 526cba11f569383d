"""Searches of other people's libraries, each a process of its own, read back as a dashboard reads them and shown on its pages."""

import ast
import base64
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors.prometheus import Prometheus
from collectors.runs import RunsDirectory
from dashboard.catalogue.experts import DEAD_BELOW
from dashboard.feed import Feed, Window
from dashboard.ports import free_port
from dashboard.verdict.balance import named
from dashboard.verdict.evolution import FIRST, MOST_PATIENCE, PATIENCE
from tests.pages.conftest import open_page  # noqa: F401  a fixture
from tests.pages.runs import figures
from tests.pages.screen import words
from tests.services import wait_until
from tests.verdict.recorded import judged

ROOT = Path(__file__).resolve().parents[2]
HOUR = Window("now-1h", "now")
GENERATIONS = {"pymoo_search": 60, "pygad_search": 60, "huggingface_moe": 12}
LAYERS, EXPERTS = 3, 8

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start an example with its /metrics on this port (0: a free one); its output is a pipe of text lines."""
    with contextlib.ExitStack() as stack:

        def run(name: str, port: int, *options: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", f"examples.{name}", "--port", str(port), *options]
            process = stack.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                )
            )
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture(scope="module")
def ended(start: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three examples, run at once to their ends: name → runs directory."""
    folders = {name: tmp_path_factory.mktemp(name) for name in GENERATIONS}
    processes = {
        name: start(
            name, 0, "--generations", str(GENERATIONS[name]), "--runs-dir", str(folder),
            *(("--layers", str(LAYERS)) if name == "huggingface_moe" else ()),
        )
        for name, folder in folders.items()
    }  # fmt: skip
    for name, process in processes.items():
        said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, f"{name}: {said}"
    return folders


@pytest.fixture
def feed(ended: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Feed]:
    with contextlib.closing(Feed(None, RunsDirectory(ended[request.param]))) as one:
        yield one


def drawn(app: object, key: str) -> dict[str, int]:
    """Curve → how many finite values of it were sent to the browser."""
    traces = figures(app)[key]["figure"]["data"]
    return {
        trace["name"]: int(
            np.isfinite(
                np.frombuffer(base64.b64decode(trace["y"]["bdata"]), np.dtype(trace["y"]["dtype"]))
            ).sum()
        )
        for trace in traces
        if isinstance(trace.get("y"), dict) and trace.get("name")
    }


def painted(app: object) -> bytes:
    """What was sent to the canvas of the heatmap."""
    [sent] = [one for one in app.get("bidi_component") if one.proto.component_name.endswith(".heatmap")]
    return sent.proto.bytes


@pytest.mark.parametrize("name", GENERATIONS)
def test_five_marked_lines_at_the_most_make_a_search_visible(name):
    source = (ROOT / "examples" / f"{name}.py").read_text()
    marks = re.findall(r"# observer (\d)/(\d)$", source, re.MULTILINE)
    assert [int(number) for number, _ in marks] == list(range(1, len(marks) + 1))
    assert {int(of) for _, of in marks} == {len(marks)}
    assert len(marks) <= 5
    code = ast.unparse(ast.parse(source)).splitlines()  # without comments, a statement a line
    assert sum("Observer" in line or "observer." in line for line in code[1:]) == len(marks), (
        "none is unmarked"
    )


@pytest.mark.parametrize("feed", GENERATIONS, indirect=True)
def test_every_generation_is_read_back_and_the_run_has_finished(feed):
    [run] = feed.runs(HOUR).runs
    frame = feed.evolution(run.run_id, HOUR).frame
    assert run.state == "finished"
    assert frame["generation"].tolist() == list(range(1, len(frame) + 1))
    assert (
        len(frame)
        == GENERATIONS[{"pymoo": "pymoo_search", "pygad": "pygad_search"}.get(run.name, "huggingface_moe")]
    )
    assert (frame["evolution_fitness_average"] <= frame["evolution_fitness_best"]).all()
    assert frame["evolution_fitness_best"].iloc[-1] > frame["evolution_fitness_best"].iloc[0]


@pytest.mark.parametrize("feed", ["pymoo_search"], indirect=True)
def test_a_search_that_minimises_has_negative_fitness_and_no_experts(feed):
    [run] = feed.runs(HOUR).runs
    evolution, experts = feed.evolution(run.run_id, HOUR), feed.experts(run.run_id, HOUR)
    assert (evolution.frame["evolution_fitness_best"] < 0).all()
    assert evolution.frame["evolution_evaluations_total"].iloc[-1] == 60 * 40
    assert not experts.load


@pytest.mark.parametrize("feed", ["pygad_search"], indirect=True)
def test_a_search_that_counts_has_fitness_far_above_one(feed):
    [run] = feed.runs(HOUR).runs
    frame = feed.evolution(run.run_id, HOUR).frame
    assert frame["evolution_fitness_best"].between(60, 120).all()
    assert frame["evolution_distinct_genomes"].between(2, 40).all()


def test_a_long_search_that_found_nothing_for_hundreds_of_generations_is_no_longer_improving(start, tmp_path):
    """Sixteen queens, of which none can do better for most of 1,200 generations; the run is judged as it stood at each."""
    process = start("pygad_search", 0, "--generations", "1200", "--runs-dir", str(tmp_path))
    process.communicate(timeout=200)
    with contextlib.closing(Feed(None, RunsDirectory(tmp_path))) as feed:
        [run] = feed.runs(HOUR).runs
        frame = feed.evolution(run.run_id, HOUR).frame
    best = frame["evolution_fitness_best"].cummax().to_numpy()
    gained = [n for n in range(1, len(best)) if best[n] > best[n - 1]]
    waited = [n - max([g for g in gained if g <= n], default=0) for n in range(len(best))]
    words = [judged(frame.iloc[: n + 1]).word for n in range(len(frame))]
    assert max(waited) > MOST_PATIENCE, "there was a plateau of hundreds of generations"
    for word, since in zip(words[FIRST:], waited[FIRST:], strict=True):
        if since < PATIENCE:
            assert word == "improving"
        elif since >= MOST_PATIENCE:
            assert word in {"stagnated", "converged"}


@pytest.mark.parametrize("feed", ["huggingface_moe"], indirect=True)
def test_a_hugging_face_model_has_its_layers_and_each_token_takes_two_experts(feed, ended):
    [run] = feed.runs(HOUR).runs
    loads = feed.experts(run.run_id, HOUR)
    assert list(loads.load) == [str(layer) for layer in range(LAYERS)]
    for load, share in zip(loads.load.values(), loads.share.values(), strict=True):
        assert load.shape == (EXPERTS, GENERATIONS["huggingface_moe"])
        assert share.sum(axis=0) == pytest.approx(1)
        assert load.mean(axis=0) == pytest.approx(1)
    [log] = ended["huggingface_moe"].glob("*/generations.jsonl")
    tokens = json.loads(log.read_text().splitlines()[-1])["expert_tokens_total"]
    batches = GENERATIONS["huggingface_moe"] * (3 * 8 + 6 * 16)  # sequences trained on and evaluated
    assert {sum(layer.values()) for layer in tokens.values()} == {batches * 64 * 2}


@pytest.mark.parametrize("feed", ["huggingface_moe"], indirect=True)
def test_experts_that_die_in_a_hugging_face_model_are_named_with_the_generation_in_which_they_did(
    feed, ended
):
    [run] = feed.runs(HOUR).runs
    loads = feed.experts(run.run_id, HOUR)
    [log] = ended["huggingface_moe"].glob("*/generations.jsonl")
    lines = [json.loads(line)["expert_utilization_ratio"] for line in log.read_text().splitlines()]
    dead = {}
    for layer, shares in lines[-1].items():
        for expert in shares:
            loads_then = [EXPERTS * line[layer][expert] for line in lines]
            if loads_then[-1] < DEAD_BELOW:
                alive = [n for n, load in enumerate(loads_then) if load >= DEAD_BELOW]
                dead[layer, expert] = alive[-1] + 2 if alive else 1  # generations are counted from 1
    said = {
        (one.layer, one.expert): loads.generations[one.since]
        for layer, load in loads.load.items()
        for one in named(layer, loads.experts[layer], load)
        if one.condition == "dead"
    }
    assert said == dead
    assert any(generation > 1 for generation in said.values()), "some died while they were watched"


@pytest.mark.parametrize("name", ["pymoo_search", "pygad_search"])
def test_the_pages_show_what_a_search_has_and_draw_nothing_empty(open_page, ended, name):  # noqa: F811
    app = open_page("evolution", runs_dir=ended[name])
    curves = drawn(app, "curves-evolution")
    assert {"best of the generation", "best so far", "mean", "population size"} <= curves.keys()
    assert "diversity" not in curves
    assert min(curves.values()) > 0, curves
    assert "topology" not in figures(app)
    assert not app.exception
    for page, says in (
        ("experts", "does not report what its experts carry"),
        ("training", "Nothing was reported in this window of: training loss"),
    ):
        other = open_page(page, runs_dir=ended[name])
        assert says in words(other)
        assert not figures(other)
        assert not other.exception


def test_the_experts_page_shows_every_layer_of_a_hugging_face_model(open_page, ended):  # noqa: F811
    app = open_page("experts", runs_dir=ended["huggingface_moe"])
    assert not app.exception
    assert f"is the least even of {LAYERS}" in words(app)
    [picker] = [box for box in app.selectbox if box.label == "Layer"]
    assert picker.options == [str(layer) for layer in range(LAYERS)]
    before = painted(app)
    picker.set_value("2").run()
    assert painted(app) != before
    assert min(drawn(app, "curves-balance").values()) > 0


def test_prometheus_alone_knows_a_hugging_face_model_while_it_evolves(start, prometheus, tmp_path):
    port = free_port()
    start(
        "huggingface_moe",
        port,
        "--generations",
        "100000",
        "--runs-dir",
        str(tmp_path),
        "--layers",
        str(LAYERS),
    )
    server = prometheus(targets={"moe-router": f"127.0.0.1:{port}"})
    server.wait_for("evolution_generation_current > 3", 120)
    with contextlib.closing(Feed(Prometheus(server.url), None, refresh_seconds=0.1)) as feed:
        [run] = wait_until(lambda: feed.runs(HOUR).runs, what="the run in the list")
        frame = feed.evolution(run.run_id, HOUR).frame
        loads = wait_until(
            lambda: one if (one := feed.experts(run.run_id, HOUR)).load else None, what="loads"
        )
    assert (run.name, run.state, run.active) == ("mixtral", "running", True)
    assert set(frame["source"]) == {"prometheus"}
    assert frame["generation"].is_monotonic_increasing
    assert frame["generation"].max() > 3
    assert (frame["evolution_fitness_best"] < 0).all()
    assert list(loads.load) == [str(layer) for layer in range(LAYERS)]
    for share in loads.share.values():
        newest = share[:, np.isfinite(share).any(axis=0)][:, -1]
        assert newest.sum() == pytest.approx(1)
