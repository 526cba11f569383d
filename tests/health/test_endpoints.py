"""The addresses over real HTTP: what each answers, and what nobody may take for an answer."""

import json
import threading
import time
from pathlib import Path

from starlette.responses import PlainTextResponse
from starlette.routing import Route

from dashboard.health import Health
from tests.health.parts import get, serving, stored


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
