"""Jaeger and Tempo, on answers written after their documentation and served by a real HTTP server."""

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.traces import Jaeger, Search, Tempo, Trace, trace_id_of
from collectors.traces.span import Malformed, id_of
from collectors.traces.tempo import traceql
from collectors.unavailable import Unavailable
from dashboard.ports import free_port
from tests import services

RECORDINGS = Path(__file__).parents[1] / "recordings"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WANTED = Search("moe-router", 1_795_470_000.0, 1_795_473_600.0)


class Store:
    """What the server answers, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.status, self.body, self.kind = 200, b"", "application/json"
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []

    def says(self, recording: str, status: int = 200) -> "Store":
        self.status, self.body = status, (RECORDINGS / recording).read_bytes()
        return self

    def writes(self, body: str, status: int = 200, kind: str = "text/plain") -> "Store":
        self.status, self.body, self.kind = status, body.encode(), kind
        return self

    @property
    def query(self) -> dict[str, str]:
        return {name: value[0] for name, value in parse_qs(urlsplit(self.paths[-1]).query).items()}


@pytest.fixture
def store() -> Iterator[Store]:
    held = Store()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.paths.append(self.path)
            held.headers.append(dict(self.headers.items()))
            self.send_response(held.status)
            self.send_header("Content-Type", held.kind)
            self.send_header("Content-Length", str(len(held.body)))
            self.end_headers()
            self.wfile.write(held.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with services.http_server(Handler) as url:
        held.url = url
        yield held


@pytest.fixture
def jaeger(store: Store) -> Iterator[Jaeger]:
    one = Jaeger(store.url, timeout_seconds=2)
    yield one
    one.close()


@pytest.fixture
def tempo(store: Store) -> Iterator[Tempo]:
    one = Tempo(store.url, timeout_seconds=2, headers={"X-Scope-OrgID": "team-a"})
    yield one
    one.close()


def test_both_stores_tell_the_same_trace_in_the_same_form(store, jaeger, tempo):
    store.says("jaeger/trace.json")
    from_jaeger = jaeger.trace(TRACE)
    assert store.paths[-1] == f"/api/traces/{TRACE}"
    store.says("tempo/trace.json")
    from_tempo = tempo.trace(TRACE)
    assert store.paths[-1] == f"/api/v2/traces/{TRACE}"
    assert store.headers[-1]["X-Scope-OrgID"] == "team-a"

    def without_tags(trace: Trace) -> list[tuple[object, ...]]:
        return [
            (s.span_id, s.parent_id, s.service, s.name, s.start_ns, s.duration_ns, s.status, s.status_message, s.kind,
             [(e.name, e.time_ns, e.attributes) for e in s.events])
            for s in trace.spans
        ]  # fmt: skip

    assert without_tags(from_jaeger) == without_tags(from_tempo)


@pytest.mark.parametrize("product", ["jaeger", "tempo"])
def test_spans_are_in_order_once_with_parents_attributes_and_failures(store, jaeger, tempo, product):
    store.says(f"{product}/trace.json")
    trace = (jaeger if product == "jaeger" else tempo).trace(TRACE)
    assert [span.name for span in trace.spans] == [
        "evolution_step",
        "fitness_evaluation",
        "selection",
        "reproduction",
    ]
    root, evaluation, _, reproduction = trace.spans
    assert trace.root is root
    assert (root.parent_id, evaluation.parent_id) == (None, root.span_id)
    assert (root.start_ns, root.duration_ns) == (1_795_470_000_123_456_000, 812_345_000)
    assert root.attributes["generation"] == 42
    assert (root.service, root.kind, root.status) == ("moe-router", "internal", "unset")
    assert (reproduction.status, reproduction.status_message) == ("error", "ValueError: no parents")
    [event] = reproduction.events
    assert (event.name, event.attributes["exception.type"]) == ("exception", "ValueError")
    assert trace.duration_ns == root.duration_ns


@pytest.mark.parametrize("product", ["jaeger", "tempo"])
def test_a_trace_the_store_does_not_know_is_empty_and_not_a_failure(store, jaeger, tempo, product):
    if product == "jaeger":
        store.says("jaeger/trace-not-found.json", 404)
    else:
        store.writes("trace not found", 404)
    trace = (jaeger if product == "jaeger" else tempo).trace(TRACE)
    assert (trace.spans, trace.root) == ((), None)


@pytest.mark.parametrize("body", ['{"trace": {}}', '{"trace": null}'])
def test_an_empty_answer_of_tempo_is_an_unknown_trace(store, tempo, body):
    store.writes(body)
    assert tempo.trace(TRACE).spans == ()


@pytest.mark.parametrize("product", ["jaeger", "tempo"])
def test_a_wrong_path_prefix_is_not_mistaken_for_an_unknown_trace(store, jaeger, tempo, product):
    store.writes("404 page not found\n", 404)
    with pytest.raises(Unavailable) as caught:
        (jaeger if product == "jaeger" else tempo).trace(TRACE)
    assert caught.value.kind == "http-404"
    assert "path prefix" in caught.value.advice


def test_a_part_of_a_trace_says_so_in_tempos_words(store, tempo):
    store.says("tempo/trace-partial.json")
    trace = tempo.trace(TRACE)
    assert len(trace.spans) == 2
    assert trace.root is trace.spans[0], "the first span stands in for a root that is missing"
    assert trace.warnings == ("Trace exceeds maximum size of 5000000 bytes, a partial trace is returned",)


def test_warnings_of_jaeger_are_kept_once(store, jaeger):
    document = json.loads((RECORDINGS / "jaeger/trace.json").read_text())
    for span in document["data"][0]["spans"]:
        span["warnings"] = ["clock skew adjustment disabled"]
    store.writes(json.dumps(document))
    trace = jaeger.trace(TRACE)
    assert trace.warnings == ("clock skew adjustment disabled",)


def test_tempos_older_form_and_numbers_for_names_are_read(store, tempo):
    document = json.loads((RECORDINGS / "tempo/trace.json").read_text())
    [resource] = document["trace"]["resourceSpans"]
    for span in resource["scopeSpans"][0]["spans"]:
        span["kind"] = 2
        span["status"] = {"code": 2}
    store.writes(
        json.dumps(
            {"trace": {"batches": [{**resource, "instrumentationLibrarySpans": resource.pop("scopeSpans")}]}}
        )
    )
    assert {(span.kind, span.status) for span in tempo.trace(TRACE).spans} == {("server", "error")}


def test_jaeger_is_searched_by_service_operation_tags_duration_and_time(store, jaeger):
    store.says("jaeger/search.json")
    wanted = Search(
        "moe-router", 1_795_470_000.0, 1_795_473_600.5, name="inference", attributes={"generation": 42, "run_id": 'r"1'},
        min_duration_seconds=0.1, errors=True, limit=7,
    )  # fmt: skip
    found = jaeger.search(wanted)
    asked = store.query
    assert json.loads(asked.pop("tags")) == {"generation": "42", "run_id": 'r"1', "error": "true"}
    assert asked == {
        "service": "moe-router", "operation": "inference", "start": "1795470000000000", "end": "1795473600500000",
        "minDuration": "100000us", "limit": "7",
    }  # fmt: skip
    assert [(one.name, one.spans, one.errors) for one in found] == [
        ("inference", 1, 0),
        ("evolution_step", 4, 1),
    ]
    assert found[0].duration_ns == 23_100_000


def test_tempo_is_searched_by_traceql(store, tempo):
    store.says("tempo/search.json")
    found = tempo.search(WANTED)
    assert store.query == {
        "q": '{ resource.service.name = "moe-router" }', "start": "1795470000", "end": "1795473601", "limit": "20",
    }  # fmt: skip
    assert [(one.trace_id, one.name, one.spans) for one in found] == [
        ("0af7651916cd43dd8448eb211c80319c", "inference", None),
        (TRACE, "evolution_step", None),
        ("00000000000000001b1ba462b409200d", "", None),
    ]
    assert (found[2].service, found[2].duration_ns) == ("", 0)


def test_traceql_quotes_what_comes_from_outside():
    hostile = 'x" } || { true\\'
    said = traceql(
        Search(hostile, 0, 1, name=hostile, attributes={"run_id": hostile, "generation": 42, "slow": True})
    )
    quoted = '"x\\" } || { true\\\\"'
    assert said == (
        f"{{ resource.service.name = {quoted} && name = {quoted} && span.run_id = {quoted}"
        " && span.generation = 42 && span.slow = true }"
    )
    with pytest.raises(ValueError, match="not the name of an attribute"):
        traceql(Search("a", 0, 1, attributes={"x = 1 } || { y": "z"}))


def test_a_refusal_carries_the_stores_own_words(store, jaeger, tempo):
    store.says("jaeger/search-refused.json", 400)
    with pytest.raises(Unavailable, match="parameter 'service' is required") as caught:
        jaeger.search(Search("", 0, 1))
    assert caught.value.kind == "http-400"
    store.writes("invalid TraceQL query: parse error at line 1, col 3: syntax error", 400)
    with pytest.raises(Unavailable, match="invalid TraceQL query"):
        tempo.search(WANTED)


BROKEN = [
    ("<html><body>Sign in</body></html>", "not-json"),
    ("[]", "not-{}"),
    ('{"status": "ok"}', "not-{}"),
    ('{"data": 3, "trace": 3}', "not-{}"),
    ('{"data": [{"traceID": "xyz", "spans": []}], "trace": {"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}}', "not-{}"),
    ('{"data": [{"traceID": "4bf92f3577b34da6a3ce929d0e0e4736", "spans": [{"spanID": 1}]}], "trace": {"resourceSpans": [1]}}', "not-{}"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), BROKEN)
@pytest.mark.parametrize("product", ["jaeger", "tempo"])
def test_an_answer_that_is_no_trace_is_unavailable(store, jaeger, tempo, product, body, kind):
    store.writes(body)
    with pytest.raises(Unavailable) as caught:
        (jaeger if product == "jaeger" else tempo).trace(TRACE)
    assert caught.value.kind == kind.format(product)
    assert f"{product.title()}'s query API" in caught.value.advice


def test_a_span_of_another_trace_is_not_shown_as_part_of_this_one(store, tempo):
    store.says("tempo/trace.json")
    with pytest.raises(Unavailable, match="a span of another trace"):
        tempo.trace("f" * 32)


@pytest.mark.parametrize("make", [Jaeger, Tempo])
def test_a_store_that_is_off_or_silent_is_unavailable_in_time(make: Callable[..., Jaeger | Tempo]):
    off = make(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable) as caught:
        off.trace(TRACE)
    assert caught.value.kind == "refused"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        silent = make(f"http://user:secret@127.0.0.1:{listening.getsockname()[1]}", timeout_seconds=0.3)
        with pytest.raises(Unavailable) as caught:
            silent.search(WANTED)
        assert caught.value.kind == "timeout"
        assert "secret" not in str(caught.value)
        silent.close()
    off.close()


def test_many_threads_share_one_store(store, jaeger):
    store.says("jaeger/trace.json")
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: seen.append(len(jaeger.trace(TRACE).spans))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [4] * 12


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (TRACE, TRACE),
        (TRACE.upper(), TRACE),
        (f" {TRACE}\n", TRACE),
        ("d6e9329d67b6146a", "0000000000000000d6e9329d67b6146a"),
        ("0" * 32, None),
        ("", None),
        ("../../etc/passwd", None),
        (TRACE + "0", None),
        ("zz", None),
    ],
)
def test_a_trace_id_is_hex_and_nothing_else(written, read):
    assert trace_id_of(written) == read


@given(st.binary(min_size=16, max_size=16).filter(any))
def test_an_id_reads_the_same_from_hex_from_base64_and_without_leading_zeros(raw):
    assert (
        id_of(raw.hex(), 16) == id_of(base64.b64encode(raw).decode(), 16) == id_of(raw.hex().lstrip("0"), 16)
    )


@given(st.one_of(st.text(), st.none(), st.integers()))
def test_anything_else_is_no_id(said):
    try:
        found = id_of(said, 8)
    except Malformed:
        return
    assert len(found) == 16
    assert int(found, 16) > 0


def documents() -> st.SearchStrategy[object]:
    keys = st.sampled_from(["data", "traceID", "spans", "spanID", "references", "processes", "tags", "key", "value", "trace",
                            "resourceSpans", "scopeSpans", "traceId", "spanId", "startTimeUnixNano", "attributes", "status"])  # fmt: skip
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just(TRACE))
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
    )


@given(documents())
def test_no_document_breaks_the_readers(document):
    for store_of in (Jaeger, Tempo):
        reader = store_of("http://127.0.0.1:9")
        reader._get = lambda *_, **__: (
            document if isinstance(document, dict) else {"data": document, "trace": document}
        )  # type: ignore[method-assign]
        with contextlib.suppress(Unavailable):
            assert isinstance(reader.trace(TRACE), Trace)
        reader.close()
