"""Questions beside PromQL: what NVML, the log and the benchmark runs answer, and when they cannot tell."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from collectors import nvml
from collectors.host import is_this
from collectors.logs import tail
from collectors.unavailable import Unavailable
from collectors.xid import XidWatch
from dashboard.benchmark.index import RunSummary
from dashboard.catalogue import units
from dashboard.runbooks import Context, Found, Origins, actions
from dashboard.runbooks.questions import KNOWN, SOURCES, parse
from dashboard.sampler import Sampler
from tests.fakes.nvml.driver import Driver, driver

NOW = 1_790_000_000.0
UNITS = {unit.name: unit for unit in vars(units).values() if isinstance(unit, units.Unit)}
SUFFIX = {"bytes": units.BYTES, "percent": units.PERCENT, "celsius": units.CELSIUS, "hertz": units.HERTZ,
          "ratio": units.RATIO, "count": units.COUNT, "seconds": units.SECONDS}  # fmt: skip


@dataclass
class Benchmarks:
    """Only the list of runs: what a run leaves behind is tested where runs are."""

    known: tuple[RunSummary, ...] = ()

    def runs(self) -> tuple[RunSummary, ...]:
        return self.known


def origins(
    sampler: Sampler | None = None,
    *,
    known: Sequence[RunSummary] = (),
    logs: Callable[[str], object] = lambda _: None,
    uuids: Callable[[str, str], Sequence[str]] = lambda *_: (),
    processes: Callable[[str], Sequence[nvml.GpuProcess]] = lambda _: (),
    now: float = NOW,
) -> Origins:
    here = partial(is_this, loopback=True)
    return Origins(sampler or Sampler(), Benchmarks(tuple(known)), logs, uuids, here, processes, now)  # type: ignore[arg-type]


def ask(source: str, text: str, at: Origins, **labels: str) -> Found:
    call = parse(source, text)  # type: ignore[arg-type]
    return call.question.answer(at, call.filled(Context(labels=labels)))


def values(found: Found) -> list[float]:
    return [point.value for point in found.points]


def why_not(source: str, text: str, at: Origins, **labels: str) -> Unavailable:
    with pytest.raises(Unavailable) as why:
        ask(source, text, at, **labels)
    return why.value


@pytest.mark.parametrize("source", SOURCES)
def test_a_question_s_name_ends_in_the_unit_of_its_answer(source):
    for name, question in KNOWN[source].items():
        assert SUFFIX[name.rpartition("-")[2]] is question.unit
        assert question.about


def test_every_question_and_action_is_in_the_guide_for_authors():
    guide = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text(encoding="utf-8")
    for source in SOURCES:
        for name, question in KNOWN[source].items():
            assert f"| `{source}` | `{name}` | {question.about} | {question.unit.name} |" in guide
    assert all(f"| `{name}` |" in guide for name in actions.KNOWN)


# NVML


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Driver]:
    with driver(tmp_path) as held:
        yield held


@pytest.fixture
def looked(board: Driver) -> Callable[[], Origins]:
    """The machine looked at now, through the real pynvml and the stand-in library."""
    watch = XidWatch(board.nvml, clock=lambda: NOW - 100)
    sampler = Sampler(read_gpus=lambda: nvml.read(board.nvml), read_xids=watch.look, clock=lambda: NOW - 1)

    def look() -> Origins:
        sampler.look()
        return origins(sampler, processes=lambda gpu: nvml.processes(gpu, board.nvml))

    return look


def test_nvml_tells_this_machine_s_gpus_in_base_units_with_their_last_hour(board: Driver, looked):
    board.gpu(0)
    board.gpu(1, memory_used=79 * 2**30, util=0)
    at = looked()
    free = ask("nvml", "memory-free-bytes", at)
    assert [(point.labels, point.value) for point in free.points] == [
        ({"gpu_id": "0"}, 20 * 2**30),
        ({"gpu_id": "1"}, 1 * 2**30),
    ]
    assert free.looked_at == NOW - 1
    assert {name: line[1].tolist() for name, line in free.trace.items()} == {
        "GPU 0": [20 * 2**30],
        "GPU 1": [2**30],
    }
    one = partial(ask, "nvml", at=at, gpu_id="1")
    assert values(one('memory-used-percent gpu="{{ $labels.gpu_id }}"')) == [98.75]
    assert values(one('utilization-percent gpu="{{ $labels.gpu_id }}"')) == [0]
    assert values(one('temperature-celsius gpu="{{ $labels.gpu_id }}"')) == [64]
    assert values(one('sm-clock-hertz gpu="{{ $labels.gpu_id }}"')) == [1.755e9]
    assert values(one('power-of-limit-ratio gpu="{{ $labels.gpu_id }}"')) == [412.5 / 700]
    assert values(one('uncorrected-errors-count gpu="{{ $labels.gpu_id }}"')) == [0]
    assert values(one('gpus-lost-count gpu="{{ $labels.gpu_id }}"')) == [0]


def test_a_counter_the_driver_does_not_tell_is_could_not_tell_and_never_0(board: Driver, looked):
    board.gpu(0, memory_used=None, reasons="!4")
    at = looked()
    why = why_not("nvml", "memory-free-bytes", at)
    assert (why.kind, why.reason) == ("not-available", "Not available (GPU 0: not supported).")
    assert why_not("nvml", "clock-holds-count", at).kind == "not-available"


def test_one_silent_gpu_does_not_silence_the_others(board: Driver, looked):
    board.gpu(0, power=None)
    board.gpu(1)
    found = ask("nvml", "power-of-limit-ratio", looked())
    assert [point.labels for point in found.points] == [{"gpu_id": "1"}]
    assert found.words == "GPU 0: not supported"


def test_reasons_processes_and_xids_are_counted_and_named(board: Driver, looked):
    import os

    board.gpu(0, reasons=0x1 | 0x4 | 0x20, compute=f"{os.getpid()}:1073741824,999999:5368709120", graphics="")
    looked()
    board.set(events="0:79,0:79")
    at = looked()
    held = ask("nvml", "clock-holds-count", at)
    assert (values(held), held.words) == ([1], "GPU 0: sw_thermal")
    xids = ask("nvml", "xids-count", at)
    assert [(dict(point.labels), point.value) for point in xids.points] == [({"gpu_id": "0", "xid": "79"}, 2)]
    assert "fallen off the bus" in xids.words
    assert values(ask("nvml", "last-xid-seconds", at)) == [100]
    holders = ask("nvml", "processes-count", at)
    assert values(holders) == [2]
    assert holders.words.index("5 GiB") < holders.words.index(f"pid {os.getpid()}"), (
        "who holds most comes first"
    )


def test_no_xid_is_0_where_xids_are_told_and_could_not_tell_where_they_are_not(board: Driver, looked):
    board.gpu(0)
    assert values(ask("nvml", "xids-count", looked())) == [0]
    assert ask("nvml", "last-xid-seconds", looked()).points == ()


def test_xids_that_the_driver_does_not_tell_are_could_not_tell(board: Driver, looked):
    board.gpu(0, event_types=None)
    assert why_not("nvml", "xids-count", looked()).kind == "not-supported"


def test_a_lost_gpu_counts_and_its_memory_is_not_told(board: Driver, looked):
    board.gpu(0)
    board.gpu(1)
    looked()
    board.gpu(0, handle="!15")
    at = looked()
    lost = ask("nvml", "gpus-lost-count", at)
    assert (values(lost), lost.words) == ([1], "GPU 0: lost")
    assert why_not("nvml", 'memory-free-bytes gpu="0"', at).reason == "Not available (GPU 0: lost)."
    assert values(ask("nvml", 'memory-free-bytes gpu="1"', at)) == [20 * 2**30]


WHICH = 'memory-free-bytes gpu="{{ $labels.gpu_id }}" instance="{{ $labels.instance }}"'


def test_the_gpu_of_another_machine_is_never_this_machine_s(board: Driver, looked):
    """The alert's GPU 0 is on gpu-host-7; this machine has a GPU 0 too."""
    board.gpu(0)
    at = looked()
    labels = {"gpu_id": "0", "instance": "gpu-host-7:9105"}
    assert why_not("nvml", WHICH, at, **labels).kind == "elsewhere"
    other = replace(at, uuids=lambda *_: ["GPU-ffffffff"])
    assert "is not in this machine" in why_not("nvml", WHICH, other, **labels).reason


def test_a_gpu_is_found_by_its_uuid_whatever_its_index_and_this_machine_by_its_name(board: Driver, looked):
    board.gpu(0)
    board.gpu(1, memory_used=70 * 2**30)
    at = looked()
    known = replace(at, uuids=lambda instance, gpu: ["GPU-00000001-7a41-4f37-9d2c-5d8f3a6b1e00"])
    assert values(ask("nvml", WHICH, known, gpu_id="0", instance="10.1.2.3:9105")) == [10 * 2**30]
    for host in ("127.0.0.1:9105", "localhost:9105", "[::1]:9105", f"{socket.gethostname()}:9105"):
        assert values(ask("nvml", WHICH, at, gpu_id="1", instance=host)) == [10 * 2**30]


def test_no_driver_no_look_and_an_old_look_are_could_not_tell(board: Driver, looked):
    assert why_not("nvml", "memory-free-bytes", origins()).kind == "no-look"
    board.gpu(0)
    at = looked()
    assert why_not("nvml", "memory-free-bytes", replace(at, now=NOW + 60)).kind == "old-look"
    board.set(init="!9", count="!9")
    assert why_not("nvml", "memory-free-bytes", looked()).kind == "no-driver"


def test_a_gpu_index_this_machine_lacks_is_could_not_tell(board: Driver, looked):
    board.gpu(0)
    assert why_not("nvml", 'memory-free-bytes gpu="5"', looked()).reason.startswith(
        "GPU 5 is not in this machine"
    )


# the log


def line(ago: float, event: str = "x", level: str = "info", **fields: object) -> str:
    stamp = datetime.fromtimestamp(NOW - ago, UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"event": event, "level": level, "timestamp": stamp, **fields}) + "\n"


@pytest.fixture
def logged(tmp_path: Path) -> Callable[..., Origins]:
    def written(*lines: str) -> Origins:
        path = tmp_path / "events.jsonl"
        path.write_text("".join(lines), encoding="utf-8")
        return origins(logs=lambda _: partial(tail, [path]))

    return written


@pytest.mark.parametrize(
    "said",
    [
        {"error": "CUDA out of memory. Tried to allocate 2.00 GiB"},
        {"error_type": "torch.OutOfMemoryError"},
        {"exception": [{"exc_type": "MemoryError"}]},
        {"message": "oom-kill:constraint=CONSTRAINT_MEMCG"},
    ],
)
def test_the_last_out_of_memory_in_the_log_is_found_however_it_is_said(logged, said):
    at = logged(line(900, **said), line(300, "Evolution step failed", "error", **said), line(10))
    found = ask("log", "last-out-of-memory-seconds", at)
    assert values(found) == [300]
    assert "Evolution step failed" in found.words
    [bars] = found.trace.values()
    assert bars[1].sum() == 2


def test_no_such_line_in_the_whole_log_is_known_and_a_search_that_ended_early_is_not(logged, monkeypatch):
    at = logged(*(line(3000 - i, padding="x" * 500) for i in range(2000)))
    assert ask("log", "last-out-of-memory-seconds", at).points == ()
    assert values(ask("log", "errors-count", at)) == [0]
    monkeypatch.setattr("dashboard.runbooks.questions.log.BUDGET_BYTES", 1000)
    assert why_not("log", "last-out-of-memory-seconds", at).kind == "budget"
    assert why_not("log", "errors-count", at).kind == "budget"


def test_lines_are_counted_within_the_time_asked_for(logged):
    at = logged(
        *(line(60 * minute, "boom", "critical") for minute in range(120, 0, -1)), line(5, "boom", "warning")
    )
    assert values(ask("log", "errors-count", at)) == [60]
    assert values(ask("log", 'errors-count within="10m"', at)) == [10]
    assert values(ask("log", 'lines-count text="BOOM" within="10m"', at)) == [11]
    assert values(ask("log", 'lines-count level="critical" event="boom" within="10m"', at)) == [10]
    assert values(ask("log", 'last-line-seconds event="boom"', at)) == [5]
    assert values(ask("log", "last-error-seconds", at)) == [60]


def test_only_the_alert_s_run_is_asked_about_and_a_hostile_run_is_just_no_run(logged):
    at = logged(line(50, "boom", "error", run_id="r1"), line(20, "boom", "error", run_id="r2"))
    asked = 'last-error-seconds run="{{ $labels.run_id }}"'
    assert values(ask("log", asked, at, run_id="r1")) == [50]
    assert ask("log", asked, at, run_id='r1" level="x').points == ()


def test_without_a_log_or_with_an_unreadable_one_nobody_can_tell(logged, tmp_path: Path):
    assert why_not("log", "last-error-seconds", origins()).kind == "no-file"
    gone = origins(logs=lambda _: partial(tail, [tmp_path / "gone.jsonl"]))
    assert why_not("log", "last-error-seconds", gone).kind == "no-file"


def test_a_generation_s_age_is_the_log_s(logged):
    at = logged(line(30, "Evolution generation completed", generation=4), line(3, "other"))
    assert values(ask("log", 'last-generation-seconds run=""', at)) == [30]


# benchmarks


def run(ago_hours: float, p50: float | None, **changed: object) -> RunSummary:
    at = datetime.fromtimestamp(NOW, UTC) - timedelta(hours=ago_hours)
    told = {
        "run_id": f"run-{ago_hours}", "target": "reference-moe", "profile": "quick", "device": "cpu", "device_name": "some CPU", "owner": "",
        "state": "done", "sentence": "", "created_at": at, "started_at": at, "ended_at": at, "p50_seconds": p50, "samples_per_second": None,
        "headline": "", "spec_hash": "a", "env_key": "b", "failed_cells": 0,
    }  # fmt: skip
    return RunSummary(**{**told, **changed})  # type: ignore[arg-type]


def test_the_last_benchmark_is_dated_and_compared_with_earlier_equal_ones():
    at = origins(known=[
        run(0.5, None, state="running"), run(1, 0.012), run(2, 0.050, env_key="another machine"),
        run(3, None, state="failed"), run(24, 0.010), run(48, 0.008), run(72, 0.011),
    ])  # fmt: skip
    assert values(ask("benchmark", "last-run-seconds", at)) == [3600]
    assert values(ask("benchmark", "latency-seconds", at)) == [0.012]
    against = ask("benchmark", 'latency-against-earlier-ratio target="reference-moe"', at)
    assert values(against) == [pytest.approx(1.2)]
    assert np.all(np.diff(against.trace["reference-moe"][0]) > 0)
    assert len(against.trace["reference-moe"][0]) == 4
    under_way = ask("benchmark", "runs-under-way-count", at)
    assert values(under_way) == [1]
    assert "running" in under_way.words


def test_a_benchmark_that_never_ran_or_has_nothing_to_compare_with_gives_no_value():
    assert ask("benchmark", "last-run-seconds", origins()).points == ()
    assert ask("benchmark", 'latency-seconds target="other"', origins(known=[run(1, 0.01)])).points == ()
    assert ask("benchmark", "latency-against-earlier-ratio", origins(known=[run(1, 0.01)])).points == ()
    assert values(ask("benchmark", "runs-under-way-count", origins())) == [0]


def test_asking_is_quick_enough_for_every_refresh(logged):
    """Many lines, none of them wanted: the whole budget is read."""
    at = logged(
        *(
            line(5000 - i / 10, "Evolution generation completed", generation=i, padding="x" * 200)
            for i in range(40_000)
        )
    )
    began = time.process_time()
    ask("log", "last-out-of-memory-seconds", at)
    assert time.process_time() - began < 2
