"""Bytes that a browser may ask for later, under an address nobody can guess. Most are never asked for and never made."""

import gzip
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collectors.unavailable import Unavailable

Make = Callable[[], bytes | None]
MOST = 256  # promises held; the oldest are forgotten
_SMALL = 100_000  # bytes that are not worth packing

_lock = threading.Lock()
_promised: OrderedDict[str, Make] = OrderedDict()


def promise(make: Make) -> str:
    """An address, relative to the page, under which `make` answers; None is "there is no such thing" (204).

    The address holds 192 random bits and is told only to sessions that see the page it belongs to.
    """
    key = secrets.token_urlsafe(24)
    with _lock:
        _promised[key] = make
        while len(_promised) > MOST:
            _promised.popitem(last=False)
    return f"./later/{key}"


def route() -> Route:
    """Where promises are kept."""
    return Route("/later/{key}", _answer, methods=["GET"])


def _answer(request: Request) -> Response:
    headers = {"Cache-Control": "private, no-store"}
    with _lock:
        make = _promised.get(request.path_params["key"])
    if make is None:
        return Response("That is no longer held.", status_code=404, media_type="text/plain", headers=headers)
    try:
        body = make()
    except Unavailable as why:
        return Response(why.reason, status_code=503, media_type="text/plain", headers=headers)
    if body is None:
        return Response(status_code=204, headers=headers)
    if len(body) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, compresslevel=1), "gzip"
    return Response(body, media_type="application/octet-stream", headers=headers)
