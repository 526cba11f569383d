"""Files, addresses and expressions as a dying disk, a stranger or an enemy would write them: no reader falls, none invents."""

import gzip
import json
import math
import os
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from collectors.alertmanager import Matcher
from collectors.logs import LogIndex, tail
from collectors.logs.follow import Follow
from collectors.runs import RunsDirectory
from collectors.traces.span import trace_id_of
from collectors.unavailable import Unavailable
from dashboard import people, settings
from dashboard.alerts import matchers, rules
from dashboard.benchmark import progress, spec
from dashboard.benchmark.directory import RunDirectory
from dashboard.feed import Window, query
from dashboard.feed.scrapes import parse_duration
from dashboard.runbooks import reader, shelf, template
from dashboard.settings import SettingError, Settings
from tests.faults.garbled import (
    HOSTILE,
    anything,
    damaged,
    garbled,
    hostile_texts,
    said,
    scalars,
    thorough,
    torn,
)

RUN = {
    "schema": 1, "run_id": "r1", "run_name": "digits", "state": "running", "started_at": "2026-11-23T07:00:00Z",
    "ended_at": None, "error": None, "pid": 4711, "host": "h", "git_sha": None, "config": {"num_experts": 8, "top_k": 2},
}  # fmt: skip
GENERATION = {
    "event": "Evolution generation completed", "level": "info", "logger": "self_evolving_moe", "timestamp": "2026-11-23T07:00:01Z",
    "run_id": "r1", "generation": 1, "best_fitness": 0.5, "expert_utilization_ratio": {"0": 0.25, "1": 0.75},
}  # fmt: skip
TOPOLOGY = {"schema": 1, "run_id": "r1", "generation": 3, "fitness": 0.5, "tokens": 2, "experts": 2, "top_k": 1, "matrix": [[0, 1], [1, 0]]}  # fmt: skip


def good(generation: int) -> bytes:
    return said({**GENERATION, "generation": generation, "best_fitness": generation / 10})


bad_lines = st.lists(
    torn(said(GENERATION)).map(lambda line: line.replace(b"\n", b" ")) | garbled(GENERATION).map(said) | hostile_texts.map(lambda text: text.encode(errors="replace").replace(b"\n", b" ")),
    max_size=4,
)  # fmt: skip


# a run's directory


@given(record=damaged(RUN), matrix=damaged(TOPOLOGY), between=bad_lines)
@thorough
def test_a_runs_directory(tmp_path_factory, record, matrix, between):
    folder = tmp_path_factory.mktemp("runs")
    run = folder / "r1"
    run.mkdir()
    (run / "run.json").write_bytes(record)
    (run / "topology.json").write_bytes(matrix)
    (run / "topologies.jsonl").write_bytes(
        b"\n".join([said(TOPOLOGY), matrix.replace(b"\n", b" "), said(TOPOLOGY)])
    )
    (run / "generations.jsonl").write_bytes(
        b"\n".join([good(1001), *between, good(1002)]) + b"\n" + good(1003)[:20]
    )
    directory = RunsDirectory(folder)
    [known] = directory.runs()
    assert known.run_id == "r1"
    assert all(isinstance(text, str) for text in (known.name, *known.config, *known.config.values()))
    assert known.started_at is None or math.isfinite(known.started_at)
    read = directory.generations("r1")
    generations = list(read.columns["generation"])
    assert generations[0] == 1001.0, "the line before the damage stays"
    assert generations[-1] == 1002.0, "the line behind the damage stays, the torn one waits"
    assert all(len(column) == len(read) for column in read.columns.values())
    directory.topology("r1")
    assert len(directory.topologies("r1")) >= 2
    rows = [0, len(read) - 1]
    first, last = directory.labelled("r1", "expert_utilization_ratio", rows)  # type: ignore[arg-type]  # indices
    assert first == last == GENERATION["expert_utilization_ratio"]


@given(run_id=hostile_texts)
@thorough
def test_a_run_id_of_an_address_leads_nowhere_else(tmp_path_factory, run_id):
    folder = tmp_path_factory.mktemp("runs")
    (folder.parent / "secret").mkdir(exist_ok=True)
    directory = RunsDirectory(folder)
    for ask in (directory.generations, directory.topology, directory.topologies):
        with pytest.raises(Unavailable):
            ask(run_id)


# log lines


@given(between=bad_lines, zipped=st.booleans())
@thorough
def test_log_lines_around_bad_ones(tmp_path_factory, between, zipped):
    folder = tmp_path_factory.mktemp("logs")
    path = folder / "events.jsonl"
    body = b"\n".join([good(1001), *between, good(1002)]) + b"\n"
    if zipped:
        (folder / "events.jsonl.1.gz").write_bytes(gzip.compress(body))
        body = b""
    path.write_bytes(body + b'{"event": "half')
    index = LogIndex()
    index.update([path])
    for wanted in (
        {},
        {"level": "info"},
        {"generation": 1001},
        {"text": "Completed"},
        {"run_id": "r1"},
        {"trace_id": "x"},
    ):
        page = tail([path], index=index, **wanted)  # type: ignore[arg-type]  # each is one of its keywords
        found = [line.fields.get("generation") for line in page.lines]
        assert ("trace_id" in wanted) or 1001 in found, wanted
    assert 1002 in [line.fields.get("generation") for line in tail([path]).lines]
    tail([path], only_malformed=True)
    follow = Follow(path, from_start=True)
    if not zipped:
        assert {"1001", "1002"} <= {str(line.fields.get("generation")) for line in follow.poll()}
    follow.close()


@given(body=torn(gzip.compress(good(1) * 50)))
@thorough
def test_a_damaged_gzip(tmp_path_factory, body):
    folder = tmp_path_factory.mktemp("logs")
    (folder / "events.jsonl").write_bytes(good(7) + b"\n")
    (folder / "events.jsonl.1.gz").write_bytes(body)
    page = tail([folder / "events.jsonl"])
    assert page.lines[0].fields["generation"] == 7 or len(page.lines) > 1


@given(
    document=st.dictionaries(
        st.sampled_from(["event", "msg", "level", "severity", "timestamp", "ts", "logger", "generation"]),
        anything,
    )
)
@thorough
def test_any_object_is_a_line(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("logs") / "x.jsonl"
    path.write_bytes(said(document) + b"\n")
    page = tail([path])
    assert len(page.lines) + page.malformed == 1
    for line in page.lines:
        assert line.time is None or line.time.utcoffset() is not None


# a benchmark's directory


def a_spec() -> dict[str, Any]:
    return dict(
        json.loads(
            spec.Spec(
                run_id="b", target="t", factory="p:f", profile=spec.PROFILES["quick"], device=spec.Device(kind="cpu"),
                cells=(spec.Cell({"batch": 1}),), created_at="2026-11-23T07:00:00Z", mark="m", lease_directory="l",
                working_directory="w", sides=(spec.Side(name="base", revision="r", directory="d"),),
            ).dumps()
        )
    )  # fmt: skip


EVENTS = [
    {"event": "queued", "time": 1.0, "monotonic_seconds": 1.0, "position": 1, "holder": {"run_id": "x"}},
    {"event": "leased", "time": 1.0, "monotonic_seconds": 1.0},
    {"event": "planned", "time": 1.0, "monotonic_seconds": 1.0, "cells": [{"batch": 1}]},
    {"event": "launch started", "time": 1.0, "monotonic_seconds": 1.0, "launch": 0},
    {"event": "cell progress", "time": 1.0, "monotonic_seconds": 1.0, "p50_seconds": 0.1},
]


@given(body=damaged(a_spec()))
@thorough
def test_a_spec(body):
    try:
        read = spec.loads(body.decode(errors="replace"))
    except spec.SpecError as why:
        assert str(why)  # noqa: PT017  the sentence is the contract
        return
    assert all(isinstance(cell.key, str) for cell in read.cells or ())
    read.hash()
    read.dumps()
    assert read.profile.soft_limit_seconds >= 0 or read.profile.limit_seconds < 0


@given(body=damaged(EVENTS), report=damaged({"schema": 1, "cells": []}), cancel=damaged({"who": "ada"}))
@thorough
def test_a_benchmarks_directory(tmp_path_factory, body, report, cancel):
    path = tmp_path_factory.mktemp("benchmarks") / "b"
    path.mkdir()
    (path / "spec.json").write_text(json.dumps(a_spec()))
    try:
        lines = [said(event) for event in json.loads(body)]
    except (ValueError, TypeError, RecursionError):
        lines = [body.replace(b"\n", b" ")]
    (path / "events.jsonl").write_bytes(
        b"\n".join([said(EVENTS[1]), *lines, said(EVENTS[2])]) + b'\n{"event": "ha'
    )
    (path / "cancel.json").write_bytes(cancel)
    run = RunDirectory(path)
    events, _ = run.events()
    assert events[0]["event"] == "leased"
    assert events[-1]["event"] == "planned"
    assert run.state() == "lost"
    assert isinstance(run.cancel_request(), str)
    seen = progress.follow(run.spec(), events, "running", 2.0)
    assert seen.share is None or 0 <= seen.share <= 1
    (path / "report.json").write_bytes(report)
    assert run.report() is None or isinstance(run.report(), dict)
    assert run.state() == "done"


# addresses, settings, expressions


@given(first=hostile_texts | st.none(), last=hostile_texts | st.none())
@thorough
def test_a_window_of_an_address(first, last):
    try:
        window = Window.parse(first, last)
    except ValueError as why:
        assert len(str(why)) < 300  # noqa: PT017  it is shown
        return
    start, end = window.bounds(1_795_410_000.0)
    assert math.isfinite(start)
    assert math.isfinite(end)
    assert window.label()


@given(number=st.integers(0, 10**30), unit=st.sampled_from("smhdwMyx"))
@thorough
def test_a_window_of_any_length(number, unit):
    for text in (f"now-{number}{unit}", str(number)):
        try:
            window = Window.parse(text, None)
        except ValueError:
            continue
        assert window.seconds(2e9) >= 0 or not window.live
        assert window.label()


@given(run=hostile_texts | st.none(), instance=hostile_texts | st.none())
@thorough
def test_what_is_filled_into_promql_stays_a_string(run, instance):
    filled = query.fill('x{run_id=~"$run",instance=~"$instance"}', run, instance, 60)
    selector = promql_parser.parse(filled)
    assert selector.name == "x"
    assert len(selector.matchers.matchers) == 2


@given(text=hostile_texts | st.text(alphabet='{}=!~",\\ab(+*)[]?\n ', max_size=40))
@thorough
def test_a_filter(text):
    try:
        parsed = matchers.parse(text)
    except matchers.MatcherError as why:
        assert str(why)  # noqa: PT017  the sentence is the contract
        return
    assert isinstance(matchers.matches(parsed, {"a": "b" * 50}), bool)
    assert matchers.parse(matchers.written(parsed)) == parsed


@given(name=st.from_regex(r"[a-z_]{1,8}", fullmatch=True), value=hostile_texts, equal=st.booleans())
@thorough
def test_a_filter_that_was_written_is_read_again(name, value, equal):
    wanted = (Matcher(name, value, False, equal),)
    text = matchers.written(wanted)
    assume(len(text) <= matchers.LONGEST)
    assert matchers.parse(text) == wanted


@given(text=hostile_texts | st.text(alphabet="0123456789smhdwy ", max_size=12))
@thorough
def test_a_duration(text):
    seconds = parse_duration(text)
    assert seconds is None or seconds > 0


@given(text=hostile_texts)
@thorough
def test_a_trace_id(text):
    found = trace_id_of(text)
    assert found is None or len(found) == 32


@given(
    body=torn(b'prometheus_url = "http://x"\nport = 8501\nread_only = true\n[aliases]\na = "b"\n')
    | st.dictionaries(
        st.sampled_from([*settings.Settings.__dataclass_fields__, "nonsense"]),
        scalars | st.lists(scalars, max_size=2),
        max_size=3,
    ).map(lambda table: _toml(table))
)
@thorough
def test_a_settings_file(tmp_path_factory, body):
    path = tmp_path_factory.mktemp("settings") / "x.toml"
    path.write_bytes(body)
    try:
        chosen = Settings.load(path, {})
    except SettingError as why:
        assert str(path) in str(why) or "trace_store" in str(why)  # noqa: PT017  it names where it came from
        return
    assert isinstance(chosen.port, int)


@given(
    values=st.dictionaries(
        st.sampled_from([f"MOE_DASHBOARD_{name.upper()}" for name in settings.Settings.__dataclass_fields__]),
        hostile_texts,
        max_size=4,
    )
)
@thorough
def test_an_environment(values):
    try:
        Settings.load(
            None,
            {name: text.replace("\x00", "") for name, text in values.items() if not name.endswith("CONFIG")},
        )
    except SettingError as why:
        assert str(why)  # noqa: PT017  the sentence is the contract


def _toml(table: dict[str, Any]) -> bytes:
    lines = []
    for key, value in table.items():
        try:
            text = json.dumps(value, allow_nan=False)
            tomllib.loads(f"{key} = {text}")
        except ValueError:
            continue
        lines.append(f"{key} = {text}")
    return "\n".join(lines).encode(errors="replace")


@given(
    claims=st.dictionaries(
        st.sampled_from(["roles", "email", "email_verified", "realm_access", "groups"]), anything
    ),
    claim=st.sampled_from(["roles", "realm_access.roles", "a..b", "email"]),
)
@thorough
def test_claims_of_a_login(claims, claim):
    chosen = Settings(role_claim=claim, operator_values=("ops",), admin_values=("root",))
    role = people.role_of(claims, chosen)
    held = json.dumps(claims, default=str)
    assert role is people.Role.VIEWER or "ops" in held or "root" in held


@given(
    headers=st.dictionaries(
        st.sampled_from(["Host", "X-Forwarded-For", "Forwarded", "X-Real-Ip"]),
        hostile_texts | st.sampled_from(["127.0.0.1", "[::1]:80", "for=10.0.0.1"]),
    ),
    address=hostile_texts,
)
@thorough
def test_nobody_is_here_who_names_another_place(headers, address):
    visitor = people.Visitor(headers=headers, address=address)
    standing = people.standing(visitor, Settings())
    if standing.role is people.Role.ADMIN:
        assert (
            all(not text or "127" in text or "::1" in text or text == "=" for text in headers.values())
            or not headers
        )
    assert len(people.origin(visitor)) <= 200


# runbooks and rules

PAGE = (shelf.SHIPPED / "ExpertDead.md").read_bytes()


@given(
    body=torn(PAGE)
    | st.lists(
        st.sampled_from(
            [
                *HOSTILE,
                "## Diagnosis",
                "- [ ] do it",
                "```promql id=x range=30m",
                "up",
                "```",
                "| value | verdict | means |",
                "|---|---|---|",
                "| `< 1` | bad | x |",
                "---",
                "alert: X",
                "  - [ ] {{ $labels.x }}",
            ]
        ),
        max_size=12,
    ).map(lambda lines: "\n".join(lines).encode(errors="replace"))
)
@thorough
def test_a_runbook(body):
    page = reader.read("ExpertDead", body.decode(errors="replace"), path=Path("x.md"))
    assert isinstance(page.title, str)
    context = template.Context(
        labels=dict.fromkeys(("run_id", "expert_id", "x"), '"} or up #'), value=1.0, start=0.0, end=1.0
    )
    for piece in page.pieces:
        try:
            if isinstance(piece, reader.Check) and isinstance(piece.asks, reader.Query):
                promql_parser.parse(template.promql(piece.asks.promql, context))
            elif isinstance(piece, reader.Text | reader.Step):
                template.markdown(piece.markdown, context)
        except (template.TemplateError, ValueError) as why:
            assert str(why)  # noqa: PT017  the page shows it


@given(
    body=torn(b"groups:\n- name: g\n  rules:\n  - {alert: A, expr: up, labels: {severity: x}}\n")
    | garbled({"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up", "labels": {"a": "b"}}]}]}).map(
        said
    )
)
@thorough
def test_a_rule_file(body):
    try:
        found = rules.from_text(body.decode(errors="replace"))
    except rules.RuleFileError as why:
        assert str(why)  # noqa: PT017  the sentence is the contract
        return
    assert all(isinstance(rule.query, str) for rule in found)


def test_a_folder_without_rights_is_said(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    (tmp_path / "runs").mkdir(mode=0)
    with pytest.raises(Unavailable, match="cannot be read"):
        RunsDirectory(tmp_path / "runs").runs()


def test_the_documents_damaged_here_are_right_before():
    """Else all of this would only show that nonsense is refused."""
    assert asdict(spec.loads(json.dumps(a_spec())))["run_id"] == "b"
    assert rules.from_text('{"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up"}]}]}')
    assert reader.read("ExpertDead", PAGE.decode(), path=Path("x.md")).problems == ()
