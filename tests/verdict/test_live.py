"""Real runs, judged after each generation as somebody saw them who had the page open: right, early, and no cry on a healthy one."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collectors.prometheus import Prometheus
from collectors.runs import RunsDirectory
from dashboard.catalogue.inference import OBJECTIVE, high_latency
from dashboard.feed import Feed, Window
from dashboard.ports import free_port
from dashboard.processes import Child
from dashboard.verdict.evolution import COLLAPSED_FOR, YOUNG, Standing, Verdict, judge
from tests import services
from tests.services import ROOT, wait_until
from tests.verdict.misbehaviours import CASES, Found, look, start
from tests.verdict.recorded import lived

HOUR = Window("now-1h", "now")
NAMED_WITHIN = {"mutation-zero": COLLAPSED_FOR - 1, "nan": 0, "freeze-expert": 0}  # generations


@dataclass
class Loops:
    """Small searches (tests.verdict.loop) that run beside each other, each with a runs directory and a port of its own."""

    folder: Path
    stack: contextlib.ExitStack
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, *options: str) -> Child:
        self.ports.setdefault(name, free_port())
        where = ["--port", str(self.ports[name]), "--runs-dir", str(self.folder / name)]
        command = [sys.executable, "-m", "tests.verdict.loop", *where, *options]
        log = self.folder / f"{name}.log"
        self.running[name] = self.stack.enter_context(Child(name, command, log=log, cwd=ROOT))
        return self.running[name]

    def generations(self, name: str) -> int:
        logs = list((self.folder / name).glob("*/generations.jsonl"))
        return sum(len(log.read_bytes().splitlines()) for log in logs)


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loops]:
    """Everything that takes its time is started first, and all of it at once."""
    with contextlib.ExitStack() as stack:
        started = Loops(tmp_path_factory.mktemp("loops"), stack)
        started.start("stopped", "--pace", "0.2")
        started.start("hung", "--pace", "0.2", "--hang-at", "12")
        started.start("collapsed", "--pace", "0.3", "--mutation-rate", "0", "--remember")
        started.start("guide", "--pace", "0.5", "--plain")
        started.start("raised", "--raise-at", "12")
        yield started


@pytest.fixture(scope="module")
def server(loops: Loops, tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.PrometheusService]:
    """A Prometheus that scrapes the loops, and the example where it serves."""
    loops.ports |= {"healthy": free_port(), "slow": free_port()}
    with services.prometheus(
        tmp_path_factory.mktemp("live") / "prometheus",
        targets={"moe-router": [f"127.0.0.1:{port}" for port in loops.ports.values()]},
        scrape_seconds=0.25,
    ) as service:
        yield service


@pytest.fixture(scope="module")
def examples(
    loops: Loops, server: services.PrometheusService, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Found]:
    """The example's misbehaviours and its healthy control, run beside each other to their ends."""
    folders = {case.name: tmp_path_factory.mktemp(case.name) / "runs" for case in CASES}
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(start(case, folders[case.name], port=loops.ports.get(case.name, 0)))
            for case in CASES
        ]
        for child in children:
            wait_until(lambda child=child: not child.running, 200, child.name)
            assert child.returncode == 0, child.tail()
    return {case.name: look(case, folders[case.name]) for case in CASES}


def seen(feed: Feed, run_id: str = "") -> Verdict | None:
    """What a page says of a run now: of the one with this id, or of the newest; None where none is known."""
    run = next((run for run in feed.runs(HOUR).runs if run.run_id == run_id or not run_id), None)
    if run is None:
        return None
    evolution = feed.evolution(run.run_id, HOUR)
    restarts = tuple(segment.reason for segment in evolution.segments[1:])
    return judge(Standing(run.state, run.reason, run.active), evolution.frame, feed.now(), restarts=restarts)


@contextlib.contextmanager
def feeding(prometheus_url: str | None, runs_dir: Path | None) -> Iterator[Feed]:
    prometheus = Prometheus(prometheus_url) if prometheus_url else None
    runs = RunsDirectory(runs_dir) if runs_dir else None
    with contextlib.closing(Feed(prometheus, runs, refresh_seconds=0.05)) as feed:
        yield feed


def test_the_process_that_will_be_stopped_has_a_life_first(loops):
    wait_until(lambda: loops.generations("stopped") >= 8, 60, "eight generations")
    with feeding(None, loops.folder / "stopped") as feed:
        assert seen(feed).word == "improving"
    loops.running["stopped"].signal(signal.SIGSTOP)


def test_a_healthy_run_is_improving_after_every_generation_from_its_third(examples):
    assert [word for _, word in examples["healthy"].words] == ["unknown"] * 2 + ["improving"] * 58


@pytest.mark.parametrize("name", NAMED_WITHIN)
def test_each_misbehaviour_is_named_early_and_stays_named(examples, name):
    found = examples[name]
    print(f"{name}: a fact in generation {found.happened}, named after {found.named} of {len(found.words)}")
    assert found.happened is not None
    assert found.named is not None
    assert found.named - found.happened <= NAMED_WITHIN[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mutation-zero", {"unknown", "improving", "collapsed"}),
        ("nan", {"unknown", "diverged"}),
        ("freeze-expert", {"unknown", "improving"}),
        ("slow", {"unknown", "improving"}),
    ],
)
def test_nothing_else_is_said_of_a_misbehaviour(examples, name, words):
    assert {word for _, word in examples[name].words} == words
    assert [generation for generation, word in examples[name].words if word == "unknown"] in ([1, 2], [1])


def test_slow_serving_is_what_the_latency_alert_looks_for_and_ordinary_serving_is_not(
    loops, examples, server
):
    found = {one["metric"]["instance"] for one in server.query(high_latency(OBJECTIVE).when)}
    assert found == {f"127.0.0.1:{loops.ports['slow']}"}
    assert server.query(
        f'inference_latency_seconds_count{{instance="127.0.0.1:{loops.ports["healthy"]}"}}[5m]'
    )


def test_a_loop_that_raises_has_failed_and_says_why_and_where(loops):
    child = loops.running["raised"]
    wait_until(lambda: not child.running, 60, "the loop to raise")
    with feeding(None, loops.folder / "raised") as feed:
        verdict = seen(feed)
    assert verdict.word == "failed"
    assert "FloatingPointError: the evaluation of the third genome overflowed" in verdict.evidence[0]
    assert "of 11." in verdict.evidence[1]


def test_speed_that_is_no_progress_is_named_with_the_generation_since_which_nothing_new_is_evaluated(
    tmp_path,
):
    """Fitness is remembered by genome, mutation is off: once all are the same, a generation costs nothing."""
    with contextlib.ExitStack() as stack:
        loops = Loops(tmp_path, stack)
        child = loops.start("remembered", "--remember", "--mutation-rate", "0", "--generations", "60")
        wait_until(lambda: not child.running, 60, "sixty generations")
        assert child.returncode == 0, child.tail()
    with feeding(None, tmp_path / "remembered") as feed:
        [run] = feed.runs(HOUR).runs
        frame = feed.evolution(run.run_id, HOUR).frame
    evaluated = frame["evolution_evaluations_total"]
    last_new = int(frame["generation"][evaluated.diff() > 0].max())
    history = lived(frame)
    said = [
        generation
        for generation, verdict in history
        if "because nothing new is evaluated." in verdict.sentence
    ]
    print(f"the last new genome was evaluated in generation {last_new}, that was said from {said[0]} on")
    assert said == list(range(said[0], 61)), "for as long as it is so"
    assert said[0] <= max(last_new, 10) + 10
    assert f"since generation {last_new + 1} because nothing new is evaluated." in history[-1][1].sentence
    assert history[-1][1].word == "collapsed"


def test_log_prometheus_and_both_say_the_same(loops, server):
    wait_until(lambda: loops.generations("collapsed") >= 20, 60, "twenty generations")
    [run] = [path.name for path in (loops.folder / "collapsed").iterdir()]
    server.wait_for(f'evolution_distinct_genomes{{run_id="{run}"}} == 1', 60)
    for prometheus, runs in (
        (None, loops.folder / "collapsed"),
        (server.url, None),
        (server.url, loops.folder / "collapsed"),
    ):
        with feeding(prometheus, runs) as feed:
            verdict = wait_until(
                lambda feed=feed: one if (one := seen(feed, run)) and one.word == "collapsed" else None,
                what=f"the verdict of {prometheus} and {runs}",
            )
        assert "One distinct genome of 16; diversity 0.00" in verdict.sentence
        assert "Mutation is off" in verdict.sentence


def test_a_process_that_is_killed_and_started_again_is_a_restart_and_then_judged_by_its_new_life(
    loops, server
):
    """The guide's gauges alone, without run or state: Prometheus knows the process by its instance."""
    instance = f"127.0.0.1:{loops.ports['guide']}"
    server.wait_for(f'evolution_generation_current{{instance="{instance}"}} >= 8', 60)
    with feeding(server.url, None) as feed:
        assert wait_until(lambda: seen(feed, instance)).word == "improving"
        loops.running["guide"].kill()
        loops.start("guide", "--pace", "0.5", "--plain")
        restarted = wait_until(
            lambda: one if (one := seen(feed, instance)).word == "restarted" else None, 60, "the restart"
        )
        assert restarted.evidence[0].startswith("Generation fell from ")
        after = wait_until(
            lambda: one if (one := seen(feed, instance)).word not in {"restarted", "unknown"} else None, 60
        )
        assert after.word == "improving"
        newest = feed.evolution(instance, HOUR).segments[-1]
        assert newest.last_generation <= YOUNG + 3, "early"


def test_a_killed_run_has_failed_without_a_word_and_the_next_one_is_another_run(tmp_path):
    with contextlib.ExitStack() as stack:
        loops = Loops(tmp_path, stack)
        first = loops.start("killed", "--pace", "0.1")
        wait_until(lambda: loops.generations("killed") >= 5, 60, "five generations")
        first.kill()
        [dead] = [path.name for path in (tmp_path / "killed").iterdir()]
        loops.start("killed", "--pace", "0.1")
        wait_until(lambda: loops.generations("killed") >= 12, 60, "the next run")
        with feeding(None, tmp_path / "killed") as feed:
            assert "gone without a word" in seen(feed, dead).evidence[0]
            assert seen(feed, dead).word == "failed"
            assert seen(feed).word == "improving"


def test_a_generation_that_hangs_is_stuck_as_long_as_the_process_answers(loops, server):
    with feeding(server.url, None) as alone, feeding(server.url, loops.folder / "hung") as both:
        [run] = [path.name for path in (loops.folder / "hung").iterdir()]
        for feed in (alone, both):
            verdict = wait_until(
                lambda feed=feed: one if (one := seen(feed, run)).word != "improving" else None,
                90,
                "a verdict",
            )
            assert verdict.word == "stuck"
            assert verdict.since == 11


def test_a_stopped_process_is_stuck_and_none_the_worse_when_it_goes_on(loops):
    with feeding(None, loops.folder / "stopped") as feed:
        verdict = wait_until(
            lambda: one if (one := seen(feed)).word != "improving" else None, 90, "a verdict"
        )
        assert verdict.word == "stuck"
        assert verdict.since == loops.generations("stopped")
        loops.running["stopped"].signal(signal.SIGCONT)
        wait_until(lambda: seen(feed).word == "improving", 30, "it to go on")
