"""Every way in which a Prometheus can answer badly, from a real HTTP server: nothing hangs, nothing half-read passes."""

import gzip
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from tests import services

START, END, STEP = 1_795_410_000, 1_795_410_060, 15


def matrix(values: dict[str, list[tuple[float, str]]], **more: object) -> bytes:
    """A compact query_range answer, one series an expert."""
    result = [{"metric": {"expert_id": name}, "values": pairs} for name, pairs in values.items()]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    return json.dumps(answer, separators=(",", ":")).encode()


GOOD = matrix({"0": [(START + 15 * i, f"0.{i}1") for i in range(5)], "1": [(START + 15, "2.5")]})


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start a server that answers every GET with what the function makes of the request."""
    with services.contextlib.ExitStack() as stack:

        def start(respond: Callable[[BaseHTTPRequestHandler], None]) -> str:
            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"

                def do_GET(self) -> None:
                    try:
                        respond(self)
                    except (BrokenPipeError, ConnectionResetError):
                        self.close_connection = True

                def log_message(self, *_: object) -> None: ...

            return stack.enter_context(services.http_server(Handler))

        yield start


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in (
        {"Content-Type": "application/json", "Content-Length": str(len(body))} | given
    ).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def ask(url: str, seconds: float = 2.0, **how: object) -> object:
    return Prometheus(url, timeout_seconds=seconds, **how).range("x", START, END, STEP)  # type: ignore[arg-type]


def failure(url: str, seconds: float = 2.0) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        ask(url, seconds)
    assert caught.value.reason.endswith("."), "one sentence"
    return caught.value


def test_a_stopped_server_is_refused_at_once():
    url = f"http://127.0.0.1:{services.free_port()}"
    began = time.monotonic()
    why = failure(url, 5)
    assert why.kind == "refused"
    assert url in why.reason
    assert time.monotonic() - began < 0.5


def test_a_silent_server_is_given_up_at_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert failure(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.5).kind == "timeout"
        assert time.monotonic() - began < 0.6


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_server_that_drips_holds_a_call_no_longer_than_its_timeout(part: str):
    """Each byte would start a plain read timeout anew."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
    stop = threading.Event()

    def drip(listener: socket.socket) -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    if part == "body":
                        connection.sendall(head)
                    for byte in GOOD if part == "body" else head:
                        if stop.wait(0.05):
                            return
                        connection.sendall(bytes([byte]))
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        began = time.monotonic()
        assert failure(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.5).kind == "timeout"
        assert time.monotonic() - began < 0.6
        stop.set()
    thread.join(2)


def test_a_503_is_said_and_forgotten(serve):
    answers = [503, 200]
    prometheus = Prometheus(serve(lambda handler: send(handler, GOOD, answers.pop(0))), timeout_seconds=2)
    with pytest.raises(Unavailable) as caught:
        prometheus.range("x", START, END, STEP)
    assert caught.value.kind == "http-503"
    assert prometheus.range("x", START, END, STEP).values.shape == (2, 5)
    assert answers == [], "one request each: nothing is retried in secret"


def test_prometheus_own_words_reach_the_reader(serve):
    said = {
        "status": "error",
        "errorType": "execution",
        "error": "query processing would load too many samples",
    }
    why = failure(serve(lambda handler: send(handler, json.dumps(said).encode(), 422)))
    assert why.kind == "execution"
    assert "too many samples" in why.reason


def test_an_error_with_partial_data_is_an_error(serve):
    partial = json.loads(GOOD) | {"status": "error", "errorType": "execution", "error": "one store is away"}
    compact = json.dumps(partial, separators=(",", ":")).encode()
    why = failure(serve(lambda handler: send(handler, compact)))
    assert (why.kind, "one store is away" in why.reason) == ("execution", True)


def test_gzip_cut_in_half_is_no_answer(serve):
    whole = gzip.compress(matrix({str(i): [(START, str(i / 7))] for i in range(500)}))
    half = whole[: len(whole) // 2]
    for length, kind in (
        (len(half), "truncated"),
        (len(whole), "timeout"),
    ):  # cut by a proxy, or still on its way
        url = serve(
            lambda handler, length=length: send(
                handler, half, Content_Encoding="gzip", Content_Length=str(length)
            )
        )
        assert failure(url, 0.5).kind == kind


def test_gzip_works_where_it_is_asked_for(serve):
    asked = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Accept-Encoding"])
        send(handler, gzip.compress(GOOD), Content_Encoding="gzip")

    url = serve(respond)
    assert ask(url, gzip=True).values[1, 1] == 2.5  # type: ignore[attr-defined]
    assert ask(url).values[1, 1] == 2.5  # type: ignore[attr-defined]
    assert "gzip" in asked[0]
    assert asked[1] == "identity", (
        "compression costs Prometheus more than it saves, so it is off unless wanted"
    )


def test_json_cut_anywhere_is_never_fewer_numbers(serve):
    body = [b""]
    prometheus = Prometheus(serve(lambda handler: send(handler, body[0])), timeout_seconds=2)
    for length in range(0, len(GOOD), 7):
        body[0] = GOOD[:length]
        with pytest.raises(Unavailable) as caught:
            prometheus.range("x", START, END, STEP)
        assert caught.value.kind in {"truncated", "not-json"}, length
    body[0] = GOOD
    assert prometheus.range("x", START, END, STEP).values.shape == (2, 5)


def test_a_connection_closed_in_the_middle_is_truncated(serve):
    def respond(handler: BaseHTTPRequestHandler) -> None:
        send(handler, GOOD[: len(GOOD) // 2], Content_Length=str(len(GOOD)))
        handler.close_connection = True

    assert failure(serve(respond)).kind == "truncated"


@pytest.mark.parametrize("status", [200, 502])
def test_a_web_page_is_not_prometheus(serve, status: int):
    page = b"<!doctype html><title>Sign in</title>"
    why = failure(serve(lambda handler: send(handler, page, status, Content_Type="text/html")))
    assert why.kind == ("not-prometheus" if status == 200 else "http-502")


def test_json_of_another_shape_is_not_prometheus(serve):
    for body in (
        b"[]",
        b'{"hello":1}',
        b'{"status":"success"}',
        b'{"status":"success","data":{"resultType":"vector","result":[]}}',
    ):
        url = serve(lambda handler, body=body: send(handler, body))
        assert failure(url).kind == "not-prometheus"


def test_a_redirect_loop_ends_at_the_first_turn(serve):
    asked = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, b"", 302, Location="/again")

    why = failure(serve(respond))
    assert (why.kind, len(asked)) == ("redirect", 1)
    assert "/again" in why.reason


def test_fifty_megabytes_of_label_values_are_read(serve):
    names = [f"{i:06d}" + "x" * 94 for i in range(500_000)]
    body = json.dumps({"status": "success", "data": names}, separators=(",", ":")).encode()
    assert len(body) > 50e6
    prometheus = Prometheus(serve(lambda handler: send(handler, body)), timeout_seconds=20)
    assert len(prometheus.label_values("expert_id")) == 500_000


def test_an_answer_without_end_is_refused_by_its_size(serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("collectors.prometheus.connection.MOST_BYTES", 1 << 20)
    assert failure(serve(lambda handler: send(handler, b" " * (2 << 20)))).kind == "too-large"


def test_series_that_come_twice_stand_once_and_it_is_said(serve):
    twice = json.loads(GOOD)
    twice["data"]["result"].append(
        {"metric": {"expert_id": "1"}, "values": [[START, "7"], [START + 15, "8"]]}
    )
    body = json.dumps(twice, separators=(",", ":")).encode()
    answer = ask(serve(lambda handler: send(handler, body)))
    assert [labels["expert_id"] for labels in answer.labels] == ["0", "1"]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(answer.values[1], [7, 2.5, np.nan, np.nan, np.nan])  # type: ignore[attr-defined]
    assert "twice" in answer.warnings[0]  # type: ignore[attr-defined]


def test_samples_out_of_order_land_at_their_times(serve):
    pairs = [(START + 15 * i, str(i)) for i in (3, 0, 4, 1, 2)]
    answer = ask(serve(lambda handler: send(handler, matrix({"0": pairs}))))
    np.testing.assert_array_equal(answer.values, [[0, 1, 2, 3, 4]])  # type: ignore[attr-defined]


def test_samples_at_times_that_were_not_asked_for_are_refused(serve):
    for off in (7, 3600):
        body = matrix({"0": [(START + off, "1")]})
        assert failure(serve(lambda handler, body=body: send(handler, body))).kind == "not-prometheus"


def test_reformatted_json_is_read_as_exactly(serve):
    loose = json.dumps(json.loads(GOOD), indent=1).encode()
    answer = ask(serve(lambda handler: send(handler, loose)))
    np.testing.assert_array_equal(answer.values, ask(serve(lambda handler: send(handler, GOOD))).values)  # type: ignore[attr-defined]


def test_warnings_and_infos_reach_the_answer(serve):
    body = matrix(
        {"0": [(START, "1")]}, warnings=["a store is away"], infos=["metric might not be a counter"]
    )
    answer = ask(serve(lambda handler: send(handler, body)))
    assert answer.warnings == ("a store is away",)  # type: ignore[attr-defined]
    assert answer.infos == ("metric might not be a counter",)  # type: ignore[attr-defined]


def test_the_clock_of_the_server_is_noticed(serve):
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.date_time_string = lambda *_: time.strftime(  # type: ignore[method-assign]
            "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600)
        )
        send(handler, GOOD)

    prometheus = Prometheus(serve(respond), timeout_seconds=2)
    prometheus.range("x", START, END, STEP)
    assert prometheus.skew_seconds == pytest.approx(3600, abs=2)


def test_a_name_that_does_not_resolve_says_so():
    why = failure("http://prometheus.invalid:9090", 5)
    assert (why.kind, "prometheus.invalid" in why.reason) == ("dns", True)


def test_a_resolver_that_is_silent_holds_a_call_no_longer_than_its_timeout(monkeypatch: pytest.MonkeyPatch):
    """A fake resolver: a name server that swallows questions would need another /etc/resolv.conf."""
    stop = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: stop.wait(10) and [])
    began = time.monotonic()
    why = failure("http://prometheus.example:9090", 0.4)
    stop.set()
    assert why.kind == "timeout"
    assert time.monotonic() - began < 0.5


def test_a_handshake_that_never_ends_is_given_up_at_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        why = failure(f"https://127.0.0.1:{silent.getsockname()[1]}", 0.4)
        assert time.monotonic() - began < 0.5
    assert why.kind == "timeout"


def test_every_address_of_a_name_is_tried_within_the_same_timeout(serve, monkeypatch: pytest.MonkeyPatch):
    url = serve(lambda handler: send(handler, GOOD))
    port = int(url.rpartition(":")[2])
    resolve = socket.getaddrinfo

    def three(host: str, *given: object, **how: object) -> object:
        """A fake resolver: nobody answers on the first two addresses of the name."""
        hosts = ("127.0.0.2", "127.0.0.3", "127.0.0.1") if host == "prometheus.example" else (host,)
        return [answer for one in hosts for answer in resolve(one, *given, **how)]  # type: ignore[arg-type]

    monkeypatch.setattr("socket.getaddrinfo", three)
    assert ask(f"http://prometheus.example:{port}").values.shape == (2, 5)  # type: ignore[attr-defined]


def test_tls_to_a_plain_server_says_so(serve):
    url = serve(lambda handler: send(handler, GOOD)).replace("http:", "https:")
    assert failure(url).kind == "tls"


def test_credentials_are_sent_and_never_shown(serve, tmp_path):
    seen = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        seen.append(
            (handler.path.split("?")[0], handler.headers["Authorization"], handler.headers["X-Scope-OrgID"])
        )
        send(handler, b"{}", 401)

    url = serve(respond) + "/prefix/"
    token = tmp_path / "token"
    for how, sent in (
        ({"username": "u", "password": "secret"}, "Basic dTpzZWNyZXQ="),
        ({"bearer_token": "secret"}, "Bearer secret"),
    ):
        with pytest.raises(Unavailable) as caught:
            ask(url, headers={"X-Scope-OrgID": "team-a"}, **how)
        assert seen.pop() == ("/prefix/api/v1/query_range", sent, "team-a")
        assert caught.value.kind == "http-401"
        assert "secret" not in str(caught.value)
    with pytest.raises(Unavailable):
        ask(url.replace("//", "//u:secret@"))
    assert seen.pop()[1] == "Basic dTpzZWNyZXQ="
    rotating = Prometheus(url, bearer_token_file=token, timeout_seconds=2)
    for text in ("first", "second"):
        token.write_text(text + "\n")
        with pytest.raises(Unavailable):
            rotating.instant("up")
        assert seen.pop()[1] == f"Bearer {text}"
    token.unlink()
    with pytest.raises(Unavailable) as caught:
        rotating.instant("up")
    assert caught.value.kind == "credentials"


def test_a_password_in_the_url_is_not_shown():
    with pytest.raises(Unavailable) as caught:
        ask(f"http://user:secret@127.0.0.1:{services.free_port()}")
    assert "secret" not in str(caught.value)


def test_an_idle_connection_that_was_closed_is_opened_again(serve):
    """Prometheus closes idle connections after 5 minutes; the next question must not fail for that."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        send(handler, GOOD)
        handler.close_connection = True  # without saying so in the head

    prometheus = Prometheus(serve(respond), timeout_seconds=2)
    for _ in range(5):
        assert prometheus.range("x", START, END, STEP).values.shape == (2, 5)


@pytest.mark.parametrize(
    "method", ["rules", "alerts", "targets", "metadata", "buildinfo", "runtimeinfo", "ready"]
)
def test_every_other_endpoint_fails_in_one_sentence_too(serve, method: str):
    busy = Prometheus(serve(lambda handler: send(handler, b"busy", 503)), timeout_seconds=2)
    with pytest.raises(Unavailable, match="503"):
        getattr(busy, method)()
    page = Prometheus(
        serve(lambda handler: send(handler, b"<html>", Content_Type="text/html")), timeout_seconds=2
    )
    if method != "ready":  # it has no body to judge
        with pytest.raises(Unavailable, match="web page"):
            getattr(page, method)()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, a server certificate for 127.0.0.1 and a client certificate, made with openssl."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = ("-addext", "keyUsage=critical,keyCertSign")
    openssl(
        "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority", *authority
    )
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (folder / f"{name}.ext").write_text(extension)
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    return folder


@pytest.fixture
def tls_url(certificates):
    """A server that wants a client certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            send(self, GOOD)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A refused handshake is what some of these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_tls_with_an_own_authority_and_a_client_certificate(tls_url, certificates):
    pair = (certificates / "client.pem", certificates / "client.key")
    assert ask(tls_url, ca_file=certificates / "ca.pem", client_cert=pair).values[1, 1] == 2.5  # type: ignore[attr-defined]


def test_an_authority_nobody_knows_is_refused(tls_url, certificates):
    with pytest.raises(Unavailable) as caught:
        ask(tls_url)
    assert caught.value.kind == "tls"


def test_a_ca_file_that_is_not_there_is_named(tls_url, certificates):
    with pytest.raises(Unavailable, match=r"none\.pem") as caught:
        ask(tls_url, ca_file=certificates / "none.pem")
    assert caught.value.kind == "tls"
