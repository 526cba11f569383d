"""/livez, /readyz, /ready, /health and /metrics as Starlette routes, and a 404 in JSON for everything below those names.

Without the last, a mistyped probe would meet the single-page application behind them, which answers 200 with HTML to
anything. HEAD works wherever GET does.
"""

from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard.health.health import Answer, Health

PATHS = ("/livez", "/readyz", "/ready", "/health", "/metrics")

# Names that other systems use for the same thing: a probe pointed there must fail, not read a web page as well-being.
_OTHER_NAMES = ("/healthz", "/live", "/alive", "/metrics.json")

_NOT_STORED = {"Cache-Control": "no-store"}


def routes(health: Health, registry: CollectorRegistry) -> list[BaseRoute]:
    """The routes; they come before everything else the server serves."""

    async def live(_request: Request) -> Response:
        return _json(health.live())  # in the event loop itself: that it turns is what is asked

    async def ready(request: Request) -> Response:
        return _json(health.ready(await _hindrance(request)))

    async def report(request: Request) -> Response:
        wordy = request.query_params.get("verbose")
        try:
            answer = await run_in_threadpool(
                health.report, verbose=wordy is not None and wordy not in {"0", "false"}
            )
        except Exception as why:  # noqa: BLE001  the guide's third answer: the check itself broke
            answer = (
                500,
                {"status": "error", "error": type(why).__name__, "timestamp": health.live()[1]["timestamp"]},
            )
        return _json(answer)

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(
            await run_in_threadpool(encode, registry), headers=_NOT_STORED | {"Content-Type": content_type}
        )

    async def unknown(_request: Request) -> Response:
        return _json((404, {"status": "error", "error": "not found", "paths": list(PATHS)}))

    answers = {"/livez": live, "/readyz": ready, "/ready": ready, "/health": report, "/metrics": metrics}
    known: list[BaseRoute] = [Route(path, answers[path]) for path in PATHS]
    below: list[BaseRoute] = [Route(f"{path}/{{rest:path}}", unknown) for path in (*PATHS, *_OTHER_NAMES)]
    others: list[BaseRoute] = [Route(path, unknown) for path in _OTHER_NAMES]
    return [*known, *below, *others]


async def _hindrance(request: Request) -> str | None:
    """Why the server cannot serve a browser, from Streamlit's own readiness route where it is mounted beside ours."""
    for route in getattr(request.app, "routes", ()):
        if (
            isinstance(route, Route)
            and route.path.endswith("/_stcore/health")
            and "GET" in (route.methods or ())
        ):
            answer: Response = await route.endpoint(request)
            return None if answer.status_code == 200 else bytes(answer.body).decode(errors="replace")
    return None


def _json(answer: Answer) -> Response:
    status, said = answer
    content: dict[str, Any] = said
    return JSONResponse(content, status_code=status, headers=_NOT_STORED)
