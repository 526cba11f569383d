"""Loki behind the interface of the log files: answers in the documented shapes, served by a real HTTP server."""

import inspect
import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors import logs
from collectors.logs.line import LEVELS, parse
from collectors.logs.wanted import Wanted
from collectors.loki import MOST_ENTRIES, Loki, logql, quoted
from collectors.unavailable import Unavailable
from dashboard.ports import free_port
from tests import services

RECORDINGS = Path(__file__).parents[1] / "recordings" / "loki"
SELECTOR = '{job="moe-router"}'
NOW = 1_795_470_060.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Server:
    """Answers with a recording, or as Loki would over `entries`: by time, newest first, up to the limit."""

    def __init__(self) -> None:
        self.url = ""
        self.status, self.body = 200, b""
        self.entries: list[tuple[int, str]] | None = None
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []

    def says(self, recording: str, status: int = 200) -> None:
        self.status, self.body = status, (RECORDINGS / recording).read_bytes()

    def holds(self, *lines: tuple[int, object]) -> None:
        """Lines as (seconds before NOW, JSON fields or text)."""
        self.entries = [
            (int(NOW * 1e9) - int(ago * 1e9), said if isinstance(said, str) else json.dumps(said))
            for ago, said in lines
        ]

    def answer(self) -> bytes:
        if self.entries is None:
            return self.body
        asked = self.asked[-1]
        start, end, limit = (int(asked[name]) for name in ("start", "end", "limit"))
        patterns = pushed(asked["query"])
        there = sorted((entry for entry in self.entries if start <= entry[0] < end), reverse=True)
        passing = [entry for entry in there if all(re.search(pattern, entry[1]) for pattern in patterns)][
            :limit
        ]
        values = [[str(when), line] for when, line in passing]
        result = [{"stream": {"job": "moe-router"}, "values": values}] if values else []
        summary = {"summary": {"totalBytesProcessed": sum(len(line) for _, line in there)}}
        return json.dumps(
            {"status": "success", "data": {"resultType": "streams", "result": result, "stats": summary}}
        ).encode()


def pushed(query: str) -> list[str]:
    """The patterns of a query's line filters. A LogQL string in double quotes is read as JSON here, which holds for ours."""
    rest = query.removeprefix(SELECTOR).strip()
    patterns = []
    while rest:
        assert rest.startswith("|~ "), rest
        pattern, length = json.JSONDecoder().raw_decode(rest[3:])
        patterns.append(pattern)
        rest = rest[3 + length :].strip()
    return patterns


@pytest.fixture
def server() -> Iterator[Server]:
    held = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            held.paths.append(parts.path)
            held.asked.append({name: value[0] for name, value in parse_qs(parts.query).items()})
            held.headers.append(dict(self.headers.items()))
            body = held.answer()
            self.send_response(held.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with services.http_server(Handler) as url:
        held.url = url
        yield held


@pytest.fixture
def loki(server: Server) -> Iterator[Loki]:
    one = Loki(
        server.url, SELECTOR, headers={"X-Scope-OrgID": "team-a"}, timeout_seconds=2, clock=lambda: NOW
    )
    yield one
    one.close()


def test_it_is_asked_as_the_files_are():
    ours, theirs = (inspect.signature(one).parameters for one in (Loki.tail, logs.tail))
    of_files_alone = {"paths", "budget_bytes", "index"}
    assert set(ours) - {"self"} == set(theirs) - of_files_alone
    assert all(ours[name].default == theirs[name].default for name in ours if name != "self")


def test_lines_of_all_streams_come_newest_first_with_their_fields(server, loki):
    server.says("query_range.json")
    page = loki.tail(limit=3)
    assert [line.event for line in page.lines] == [
        "Inference completed",
        "Evolution step failed",
        "Evolution generation completed",
    ]
    failed = page.lines[1]
    assert (failed.level, failed.fields["generation"], failed.fields["trace_id"]) == ("error", 42, TRACE)
    assert failed.time == datetime(2026, 11, 24, 0, 20, 4, 123000, UTC)
    assert failed.path == Path("/runs/r1/events.jsonl")
    assert page.scanned_bytes == 7772


def test_the_query_goes_backward_over_a_day_with_the_tenants_header(server, loki):
    server.says("query_range.json")
    loki.tail(limit=3)
    assert server.paths == ["/loki/api/v1/query_range"]
    assert server.headers[0]["X-Scope-OrgID"] == "team-a"
    asked = server.asked[0]
    assert (asked["query"], asked["limit"], asked["direction"]) == (SELECTOR, "4", "backward")
    assert int(asked["end"]) - int(asked["start"]) == 86_400 * 10**9
    assert int(asked["end"]) >= int(NOW * 1e9)


def test_a_line_that_is_no_json_is_counted_and_shown_on_request(server, loki):
    server.holds((1, {"event": "served"}), (2, "not JSON at all"), (3, {"event": "done"}))
    page = loki.tail()
    assert ([line.event for line in page.lines], page.malformed) == (["served", "done"], 1)
    page = loki.tail(only_malformed=True)
    assert [line.raw for line in page.lines] == ["not JSON at all"]
    assert page.lines[0].time is not None, "Loki's own time stands in"
    assert server.asked[-1]["query"] == SELECTOR


@pytest.mark.parametrize(
    ("filters", "events"),
    [
        ({"level": "warning"}, ["failed"]),
        ({"level": "debug"}, ["served", "failed", "done", "other"]),
        ({"event": "failed"}, ["failed"]),
        ({"logger": "evo"}, ["failed", "done"]),
        ({"run_id": "r2"}, ["other"]),
        ({"generation": 42}, ["failed", "done"]),
        ({"trace_id": TRACE}, ["failed"]),
        ({"text": "VALUEERROR"}, ["failed"]),
        ({"text": 'say "no"'}, ["failed"]),
        ({"text": "naïve"}, ["served"]),
        ({"generation": 42, "level": "info", "run_id": "r1"}, ["failed", "done"]),
        ({"run_id": "r1.*"}, []),
    ],
    ids=str,
)
def test_filters_find_what_the_files_would_give(server, loki, tmp_path, filters, events):
    lines = [
        (1, {"event": "served", "level": "info", "run_id": "r1", "note": "naïve", "trace_id": "0" * 31 + "1"}),
        (2, {"event": "failed", "level": "error", "logger": "evo.step", "run_id": "r1", "generation": 42, "trace_id": TRACE,
             "error_type": "ValueError", "why": 'say "no"'}),
        (3, {"event": "done", "level": "info", "logger": "evo", "run_id": "r1", "generation": 42}),
        (4, {"msg": "other", "severity": "INFO", "name": "evolve", "run_id": "r2", "generation": 420}),
    ]  # fmt: skip
    server.holds(*lines)
    found = [line.event for line in loki.tail(**filters).lines]
    assert found == events
    file = tmp_path / "same.jsonl"
    file.write_text("".join(json.dumps(fields) + "\n" for _, fields in reversed(lines)))
    assert found == [line.event for line in logs.tail([file], **filters).lines]


def test_what_loki_can_narrow_down_is_left_to_it(server, loki):
    server.holds(*((i, {"event": "e", "run_id": f"r{i}", "generation": i}) for i in range(50)))
    loki.tail(run_id="r7", generation=7, level="warning", event="Run started", trace_id=TRACE, text="oops")
    assert len(pushed(server.asked[0]["query"])) == 6
    server.asked.clear()
    loki.tail(event='say "no"', text="a/b")
    assert pushed(server.asked[0]["query"]) == [], "JSON may write these in several ways"


@pytest.mark.parametrize("hostile", ['"} | line_format "x', "`", "\\", "a\nb", "x\u2028", "\ud800", '|= "y"'])
def test_text_from_outside_stays_inside_its_string(hostile):
    assert json.loads(quoted(hostile)) == hostile.encode(errors="replace").decode()
    for name in ("text", "event", "run_id", "trace_id", "logger"):
        query = logql(SELECTOR, Wanted(**{name: hostile}))
        assert query.startswith(SELECTOR)
        pushed(query)  # nothing but selector and line filters


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6)),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
fields = st.fixed_dictionaries(
    {},
    optional={
        "event": st.one_of(st.sampled_from(["Run started", "a.b", 'q"q']), st.text(max_size=5)),
        "msg": st.text(max_size=4),
        "level": st.one_of(st.sampled_from([*LEVELS, "WARN", "Fatal"]), st.integers(0, 70)),
        "log.level": st.sampled_from(LEVELS),
        "logger": st.sampled_from(["evo", "evo.step", "evolve"]),
        "run_id": st.sampled_from(["r1", "r2", "r 1", "r/1", 7]),
        "generation": st.one_of(st.integers(0, 50), st.just(4.0)),
        "trace_id": st.sampled_from([TRACE, "x"]),
        "other": json_values,
    },
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "level": st.sampled_from(LEVELS),
        "event": st.sampled_from(["Run started", "a.b", 'q"q', "axb"]),
        "logger": st.sampled_from(["evo", "evo.step"]),
        "text": st.one_of(
            st.sampled_from(["RUN", "evo", "a.b", "r/1", "["]), st.text(min_size=1, max_size=3)
        ),
        "run_id": st.sampled_from(["r1", "r 1", "r/1", "7"]),
        "generation": st.integers(0, 50),
        "trace_id": st.just(TRACE),
    },
)


@given(fields, filters, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
@example({"generation": 4.0}, {"generation": 4}, (",", ":"), True)
def test_loki_never_leaves_out_a_line_that_would_pass(said, wanted, separators, ascii_only):
    raw = json.dumps(said, separators=separators, ensure_ascii=ascii_only)
    if Wanted(**wanted).accepts(parse(raw.encode(errors="replace"), Path("x"), 0)):
        for pattern in pushed(logql(SELECTOR, Wanted(**wanted))):
            assert re.search(pattern, raw), pattern


def test_older_lines_come_by_asking_again_each_once(server, loki):
    server.holds(*((i / 3, {"event": str(i)}) for i in range(70)))  # three lines a second
    found: list[str] = []
    page = loki.tail(limit=20)
    found += [line.event for line in page.lines]
    while not page.exhausted and len(found) < 70:
        page = loki.tail(limit=20, resume=page.resume)
        assert page.lines
        found += [line.event for line in page.lines]
    assert found == [str(i) for i in range(70)]


def test_lines_of_one_moment_are_neither_lost_nor_doubled_at_the_edge_of_a_page(server, loki):
    server.holds(*((i // 4, {"event": str(i)}) for i in range(40)))  # four lines share a nanosecond
    found: list[str] = []
    page = loki.tail(limit=6)
    for _ in range(10):
        found += [line.event for line in page.lines]
        if len(found) >= 40:
            break
        page = loki.tail(limit=6, resume=page.resume)
    assert sorted(found, key=int) == [str(i) for i in range(40)]


def test_a_search_that_finds_nothing_stops_after_a_few_queries_and_can_be_resumed_to_the_end(server, loki):
    server.holds((20 * 86_400, {"event": "long ago"}))
    page = loki.tail(event="long ago")
    assert (page.lines, page.exhausted) == ((), False)
    assert len(server.asked) == 8
    pages = 1
    while not page.exhausted and not page.lines:
        page = loki.tail(event="long ago", resume=page.resume)
        pages += 1
    assert [line.event for line in page.lines] == ["long ago"]
    while not page.exhausted:
        page = loki.tail(event="long ago", resume=page.resume)
        pages += 1
    assert pages == 4, "thirty days, eight at a time"
    assert loki.tail(resume=page.resume).exhausted


def test_no_query_asks_for_more_than_loki_gives_by_default(server, loki):
    server.says("empty.json")
    loki.tail(limit=MOST_ENTRIES)
    assert {asked["limit"] for asked in server.asked} == {str(MOST_ENTRIES)}


def test_a_query_that_loki_refuses_is_said_in_its_own_words(server, loki):
    server.says("parse-error.txt", 400)
    with pytest.raises(Unavailable, match="parse error at line 1, col 1") as caught:
        loki.tail()
    assert caught.value.kind == "http-400"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<html>Sign in</html>", "not-json"),
        ("[]", "not-loki"),
        (
            '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}',
            "not-loki",
        ),
        ('{"data":{"result":[{"stream":{},"values":[["x","line"]]}]}}', "not-loki"),
        ('{"data":{"result":[{"stream":{},"values":[["1"]]}]}}', "not-loki"),
    ],
)
def test_an_answer_that_is_not_lokis_is_unavailable(server, loki, body, kind):
    server.body = body.encode()
    with pytest.raises(Unavailable) as caught:
        loki.tail()
    assert caught.value.kind == kind


def test_a_loki_that_is_off_or_silent_is_unavailable_in_time():
    off = Loki(f"http://127.0.0.1:{free_port()}", SELECTOR)
    with pytest.raises(Unavailable) as caught:
        off.tail()
    assert caught.value.kind == "refused"
    off.close()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        silent = Loki(f"http://127.0.0.1:{listening.getsockname()[1]}", SELECTOR, timeout_seconds=0.3)
        with pytest.raises(Unavailable) as caught:
            silent.tail()
        assert caught.value.kind == "timeout"
        silent.close()


def test_a_level_that_is_none_is_refused_as_for_files(loki):
    with pytest.raises(ValueError, match="is not a level"):
        loki.tail(level="loud")
