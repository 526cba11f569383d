"""Health: each check against real sources that are well, ill, silent and gone, and the answers over real HTTP."""

import fcntl
import json
import os
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from collectors import nvml
from collectors.prometheus import Prometheus
from collectors.runs import RunsDirectory
from collectors.unavailable import Unavailable
from dashboard import __version__
from dashboard.health import Check, Health, machine, routes, sources
from dashboard.sampler import Sampler
from dashboard.settings import Settings
from tests.fakes.nvml.driver import driver
from tests.services import wait_until

GUIDE = ("application", "database", "gpu", "memory", "disk", "evolution")


class SqliteStore:
    """A real SQLite file, as the dashboard's store is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def probe(self) -> None:
        with sqlite3.connect(self._path) as connection:
            connection.execute("create table if not exists probe (at real)")
            connection.execute("insert into probe values (1)")
            connection.rollback()
        connection.close()


class Replica:
    def __init__(self, answer: dict | Unavailable) -> None:
        self._answer = answer

    def status(self) -> dict:
        if isinstance(self._answer, Unavailable):
            raise self._answer
        return self._answer


def stored(tmp_path: Path, **arguments) -> Settings:
    return Settings(data_dir=tmp_path / "var", **arguments)


def by_name(health: Health) -> dict[str, Check]:
    return {check.name: check for check in health.checks()}


def run(
    folder: Path, *, state: str = "running", generations: list[float] = (), lock: bool = True
) -> Callable[[], None]:
    """A run directory as the observer writes it; `generations` are ages in seconds. Returns what lets the lock go."""
    folder.mkdir(parents=True)
    said = {"schema": 1, "run_id": folder.name, "run_name": "n", "state": state, "started_at": stamp(10_000), "pid": os.getpid(),
            "host": socket.gethostname(), "error": "RuntimeError" if state == "failed" else None, "config": {}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(said))
    with (folder / "generations.jsonl").open("w") as file:
        for number, age in enumerate(generations):
            file.write(
                json.dumps(
                    {"event": "Evolution generation completed", "generation": number, "timestamp": stamp(age)}
                )
                + "\n"
            )
    held = (folder / "lock").open("w")
    if lock:
        fcntl.flock(held, fcntl.LOCK_EX)
    return held.close


def stamp(age: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=age)).isoformat().replace("+00:00", "Z")


@contextmanager
def answering(answers: dict[str, object], delay: float = 0.0) -> Iterator[str]:
    """A real HTTP server that answers each path with this JSON (or text, or HTTP status)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(delay)
            path = self.path.partition("?")[0]
            body = answers.get(path, 404)
            if isinstance(body, int):
                self.send_error(body)
                return
            sent = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def sampling(**arguments) -> Iterator[Sampler]:
    sampler = Sampler(interval_seconds=0.1, **arguments)
    sampler.start()
    try:
        assert sampler.wait(5)
        yield sampler
    finally:
        sampler.stop()


@contextmanager
def serving(health: Health, *more: Route) -> Iterator[str]:
    """The routes as the dashboard mounts them: before an application that answers 200 with HTML to anything."""
    registry = CollectorRegistry()
    Counter("dashboard_things", "Things", registry=registry).inc()
    page = Route("/{path:path}", lambda _request: HTMLResponse("<html>a page</html>"))
    app = Starlette(routes=[*routes(health, registry), *more, page])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, what="the server")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as why:
        with why:
            return why.code, why.headers["Content-Type"], why.read().decode()


def test_health_has_the_guides_shape_and_its_six_checks(tmp_path: Path):
    with sampling() as sampler:
        health = Health(stored(tmp_path), sampler=sampler, store=SqliteStore(tmp_path / "s.sqlite"))
        status, said = health.report()
    assert (status, said["status"], said["version"]) == (200, "healthy", __version__)
    assert datetime.fromisoformat(said["timestamp"]).utcoffset() == timedelta(0)
    assert tuple(said["checks"])[:6] == GUIDE
    assert all(check["healthy"] is True and check["message"] for check in said["checks"].values())
    assert set(said["checks"]["memory"]) == {
        "healthy",
        "message",
        "memory_percent",
        "memory_available_gb",
        "memory_total_gb",
    }
    assert "failed_checks" not in said
    json.dumps(said, allow_nan=False)


def test_a_failed_check_is_503_and_named(tmp_path: Path):
    class Broken:
        def probe(self) -> None:
            raise sqlite3.OperationalError("unable to open database file /secret/path")

    status, said = Health(stored(tmp_path), store=Broken()).report(verbose=True)
    assert (status, said["status"], said["failed_checks"]) == (503, "unhealthy", ["database"])
    assert said["checks"]["database"]["error_type"] == "OperationalError"
    assert "/secret/path" not in json.dumps(said), "the answer says what kind of error, not what is inside"


def test_checks_run_side_by_side_and_one_that_hangs_delays_only_itself(tmp_path: Path):
    release, calls = threading.Event(), []

    class Hanging:
        def probe(self) -> None:
            calls.append(1)
            release.wait(20)

    health = Health(stored(tmp_path), store=Hanging(), timeout_seconds=0.3, keep_seconds=0)
    try:
        began = time.monotonic()
        first = by_name(health)
        assert time.monotonic() - began < 1.5
        assert (first["database"].healthy, first["database"].error_type) == (False, "timeout")
        assert first["memory"].healthy
        by_name(health)
        by_name(health)
        assert len(calls) == 1, "a check that hangs keeps one thread, however often it is asked"
    finally:
        release.set()
    wait_until(lambda: by_name(health)["database"].healthy, what="the check to recover")


def test_a_storm_of_probes_asks_each_source_once(tmp_path: Path):
    calls = []

    class Counting:
        def probe(self) -> None:
            calls.append(1)
            time.sleep(0.2)

    health = Health(stored(tmp_path), store=Counting())
    threads = [threading.Thread(target=health.report) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_page_that_does_not_compile_is_an_unhealthy_application(tmp_path: Path):
    page = tmp_path / "overview.py"
    page.write_text("x = 1\n")
    application = machine.Application(tmp_path)
    assert application().healthy
    page.write_text("x = (\n")
    os.utime(page, (1, 1))
    broken = application()
    assert (broken.healthy, broken.error_type) == (False, "SyntaxError")
    assert "overview" in broken.message
    page.write_text("x = 2\n")
    assert application().healthy


@pytest.mark.parametrize(
    ("answers", "healthy", "error_type"),
    [
        ({}, True, None),
        ({"handle": "!15"}, False, "gpu-lost"),
    ],
)
def test_the_gpu_check_sees_a_lost_gpu(tmp_path: Path, answers: dict, healthy: bool, error_type: str | None):
    with driver(tmp_path) as board:
        board.gpu(0, **answers)
        sampler = Sampler(read_gpus=lambda: nvml.read(board.nvml))
        sampler.look()
        seen = machine.gpu(sampler)
    assert (seen.healthy, seen.error_type, seen.details["gpu_count"]) == (healthy, error_type, 1)
    if healthy:
        assert seen.details["gpu_memory_gb"] == 80


@pytest.mark.parametrize(
    ("kind", "healthy"), [("no-library", True), ("no-driver", False), ("version-mismatch", False)]
)
def test_a_machine_without_a_gpu_is_healthy_and_one_with_a_broken_driver_is_not(
    tmp_path: Path, kind: str, healthy: bool
):
    def read() -> list:
        raise Unavailable("a reason", kind=kind)

    sampler = Sampler(read_gpus=read)
    sampler.look()
    seen = by_name(Health(stored(tmp_path), sampler=sampler))["gpu"]
    assert seen.healthy is healthy
    assert seen.error_type == (None if healthy else kind)
    if healthy:
        assert seen.message == "No GPU available (CPU-only mode)"


def test_memory_follows_the_guides_limit(monkeypatch: pytest.MonkeyPatch):
    real = psutil.virtual_memory()
    for used, healthy in ((0.89, True), (0.91, False)):
        full = SimpleNamespace(total=real.total, available=int(real.total * (1 - used)))
        monkeypatch.setattr(psutil, "virtual_memory", lambda full=full: full)
        assert machine.memory().healthy is healthy


def test_disk_looks_where_data_will_be_written_even_before_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chosen = Settings(data_dir=tmp_path / "not" / "yet", runs_dir=tmp_path)
    assert machine.disk(chosen).healthy
    full = SimpleNamespace(total=100, used=90, free=4)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: full)
    seen = machine.disk(chosen)
    assert not seen.healthy
    assert seen.details["disk_percent"] == 95.7, "of what we may use: root's reserve is not ours"


def test_the_sampler_check_sees_a_dead_and_a_hanging_thread():
    now = [1000.0]
    sampler = Sampler(clock=lambda: now[0], interval_seconds=30)
    assert machine.sampling(sampler).error_type == "dead"
    sampler.start()
    try:
        assert sampler.wait(5)
        assert machine.sampling(sampler).healthy
        now[0] += 60
        assert machine.sampling(sampler).error_type == "stale"
    finally:
        sampler.stop()


RUNS = {
    "evolves": ({"generations": [20, 15, 10, 5]}, True, None),
    "has told nothing yet": ({}, False, "stalled"),
    "stands still": ({"generations": [1000, 999, 998]}, False, "stalled"),
    "is slow and in time": ({"generations": [2000, 1400, 800]}, True, None),
    "was killed": ({"generations": [5], "lock": False}, False, "died"),
    "finished long ago": ({"generations": [9000], "state": "finished", "lock": False}, True, None),
    "is paused": ({"generations": [9000], "state": "paused"}, True, None),
    "failed": ({"generations": [5], "state": "failed", "lock": False}, False, "failed"),
}


@pytest.mark.parametrize(("made", "healthy", "error_type"), RUNS.values(), ids=RUNS)
def test_evolution_reads_the_newest_runs_heartbeat(
    tmp_path: Path, made: dict, healthy: bool, error_type: str | None
):
    release = run(tmp_path / "r1", **made)
    try:
        seen = sources.evolution(RunsDirectory(tmp_path), None)
    finally:
        release()
    assert (seen.healthy, seen.error_type) == (healthy, error_type)


def test_without_any_run_evolution_does_not_apply(tmp_path: Path):
    seen = sources.evolution(RunsDirectory(tmp_path), None)
    assert (seen.healthy, seen.applies) == (True, False)


def vector(*samples: tuple[dict, float]) -> dict:
    result = [{"metric": labels, "value": [time.time(), str(value)]} for labels, value in samples]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def groups(*rules: dict, evaluated: float = 1.0) -> dict:
    group = {"name": "g", "interval": 15, "lastEvaluation": stamp(evaluated), "rules": list(rules)}
    return {"status": "success", "data": {"groups": [group]}}


RULES = {
    "evaluated": (groups({"name": "A", "health": "ok"}), True, None),
    "failing": (
        groups({"name": "A", "health": "ok"}, {"name": "B", "health": "err"}),
        False,
        "not-evaluated",
    ),
    "late": (groups({"name": "A", "health": "ok"}, evaluated=300), False, "not-evaluated"),
    "none loaded": ({"status": "success", "data": {"groups": []}}, True, None),
    "not told": (404, True, None),
    "broken": (500, False, "http-500"),
}


@pytest.mark.parametrize(("answer", "healthy", "error_type"), RULES.values(), ids=RULES)
def test_rules_that_are_not_evaluated_are_no_silence(
    tmp_path: Path, answer: object, healthy: bool, error_type: str | None
):
    with answering({"/api/v1/rules": answer}) as url:
        prometheus = Prometheus(url)
        seen = by_name(Health(stored(tmp_path), prometheus=prometheus))["rules"]
        prometheus.close()
    assert (seen.healthy, seen.error_type) == (healthy, error_type)


def test_a_clock_that_is_apart_is_unhealthy(tmp_path: Path):
    for skew, healthy in ((2.0, True), (-90.0, False), (90.0, False)):
        with answering({"/api/v1/query": vector(({}, time.time() + skew))}) as url:
            prometheus = Prometheus(url)
            seen = sources.clock_skew(prometheus)
            prometheus.close()
        assert seen.healthy is healthy
        assert seen.details["skew_seconds"] == pytest.approx(skew, abs=1)


def test_a_prometheus_that_refuses_or_says_nothing_is_unhealthy_within_the_time_of_its_check(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    prometheus = Prometheus(closed)
    health = Health(stored(tmp_path), prometheus=prometheus)
    _, said = health.report(verbose=True)
    prometheus.close()
    assert {"prometheus", "scrape", "rules", "clock_skew"} <= set(said["failed_checks"])
    assert said["checks"]["prometheus"]["error_type"] == "refused"
    assert closed not in json.dumps(said)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        prometheus = Prometheus(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=2.0)
        began = time.monotonic()
        seen = by_name(Health(stored(tmp_path), prometheus=prometheus, timeout_seconds=0.5))["prometheus"]
        assert time.monotonic() - began < 1.5
        assert (seen.healthy, seen.error_type) == (False, "timeout")
        wait_until(
            lambda: not [t for t in threading.enumerate() if t.name.startswith("check-")],
            what="the checks to end",
        )
        prometheus.close()


@pytest.mark.parametrize(
    ("answers", "healthy", "error_type"),
    [
        ([{"cluster": {"status": "ready"}}, {"cluster": {"status": "disabled"}}], True, None),
        ([{"cluster": {"status": "settling"}}], False, "not-settled"),
        ([{"cluster": {"status": "ready"}}, Unavailable("gone", kind="refused")], False, "refused"),
    ],
)
def test_every_alertmanager_replica_counts(answers: list, healthy: bool, error_type: str | None):
    seen = sources.alertmanager([Replica(answer) for answer in answers])
    assert (seen.healthy, seen.error_type) == (healthy, error_type)


def test_logs_that_are_gone_or_hold_no_structure_are_unhealthy(tmp_path: Path):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text('{"event":"a"}\n')
    bad.write_text("Traceback\n  File\n")
    assert sources.log(Settings(log_files=(str(good),)), None).healthy
    assert sources.log(Settings(log_files=(str(bad),)), None).error_type == "not-json"
    assert (
        sources.log(Settings(log_files=(str(good), f"{tmp_path}/none*.jsonl")), None).error_type == "missing"
    )
    assert sources.log(Settings(), None).applies is False


def test_what_is_not_configured_does_not_apply_and_is_no_fault(tmp_path: Path):
    checks = by_name(Health(stored(tmp_path)))
    assert {name for name, check in checks.items() if not check.applies} == {
        "database", "gpu", "evolution", "prometheus", "scrape", "rules", "alertmanager", "clock_skew", "sampler", "log",
        "benchmarks", "loki", "traces", "pushes",
    }  # fmt: skip
    assert all(check.healthy for check in checks.values())


def test_the_routes_answer_over_http(tmp_path: Path):
    with serving(Health(stored(tmp_path))) as url:
        for path in ("/livez", "/readyz", "/ready", "/health"):
            status, kind, body = get(url + path)
            assert (status, kind, json.loads(body)["status"]) == (200, "application/json", "healthy")
            assert get(url + path, "HEAD")[::2] == (200, "")
        status, kind, body = get(f"{url}/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert "dashboard_things_total 1.0" in body
        assert get(f"{url}/metrics", "HEAD")[::2] == (200, "")
        verbose = json.loads(get(f"{url}/health?verbose")[2])["checks"]["memory"]
        assert {"applies", "seconds", "advice", "checked_at"} <= set(verbose)
        assert "seconds" not in json.loads(get(f"{url}/health?verbose=0")[2])["checks"]["memory"]


def test_unknown_paths_under_these_names_never_answer_200_with_html(tmp_path: Path):
    with serving(Health(stored(tmp_path))) as url:
        for path in (
            "/livez/",
            "/health/gpu",
            "/readyz/x",
            "/ready/",
            "/metrics/",
            "/healthz",
            "/live",
            "/healthz/x",
        ):
            status, kind, body = get(url + path)
            assert (status, kind) == (404, "application/json"), path
            assert "/health" in json.loads(body)["paths"]
        assert get(f"{url}/health", "POST")[0] == 405
        assert get(f"{url}/health-checks")[2] == "<html>a page</html>", (
            "the page of a similar name is not ours"
        )


def test_readiness_is_streamlits_own_where_it_is_mounted_beside(tmp_path: Path):
    state = [503]

    async def ready(_request: object) -> PlainTextResponse:
        return PlainTextResponse("Runtime has stopped" if state[0] == 503 else "ok", state[0])

    streamlit = Route("/moe/_stcore/health", ready)
    with serving(Health(stored(tmp_path)), streamlit) as url:
        status, _, body = get(f"{url}/readyz")
        assert (status, json.loads(body)["message"]) == (503, "Runtime has stopped")
        assert get(f"{url}/livez")[0] == 200, "a server that is not ready lives"
        state[0] = 200
        assert get(f"{url}/ready")[0] == 200


def test_liveness_answers_while_every_check_hangs(tmp_path: Path):
    release = threading.Event()

    class Hanging:
        def probe(self) -> None:
            release.wait(20)

    with serving(Health(stored(tmp_path), store=Hanging(), timeout_seconds=3)) as url:
        asking = [threading.Thread(target=get, args=(f"{url}/health",)) for _ in range(10)]
        for thread in asking:
            thread.start()
        began = time.monotonic()
        assert get(f"{url}/livez")[0] == 200
        assert time.monotonic() - began < 1
        release.set()
        for thread in asking:
            thread.join()


@pytest.mark.services
def test_against_a_real_prometheus_a_scraped_router_is_well_and_a_gone_one_is_not(
    tmp_path: Path, prometheus, scrape_target
):
    now = time.time()
    target = scrape_target(
        f'evolution_run_active{{run_id="r1"}} 1\nevolution_last_generation_timestamp_seconds{{run_id="r1"}} {now}\n'
        'evolution_generation_duration_seconds{run_id="r1"} 2\n'
    )
    rule = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: vector(0) > 1\n"
    server = prometheus(targets={"moe-router": target.target}, rules=[rule])
    server.wait_for("evolution_run_active")
    client = Prometheus(server.url)
    health = Health(stored(tmp_path), prometheus=client, keep_seconds=0)
    checks = by_name(health)
    for name in ("prometheus", "scrape", "rules", "clock_skew", "evolution"):
        assert (checks[name].healthy, checks[name].applies) == (True, True), checks[name]
    assert checks["scrape"].details["targets_up"] == 1
    assert (
        by_name(Health(stored(tmp_path, job="other"), prometheus=client))["scrape"].error_type == "no-target"
    )
    target.text = target.text.replace(str(now), str(now - 1000))
    wait_until(lambda: by_name(health)["evolution"].error_type == "stalled", what="the stall to be seen")
    client.close()
