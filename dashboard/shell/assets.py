"""The files a browser fetches once and keeps: our drawing code and plotly's library. Served beside the pages."""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path

import plotly
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_BROWSER = Path(__file__).with_name("browser")
_FILES = {
    "figure.js": _BROWSER / "figure.js",
    "heatmap.js": _BROWSER / "heatmap.js",
    "plotly.min.js": Path(plotly.__file__).with_name("package_data") / "plotly.min.js",
}


def routes() -> list[Route]:
    """Where the files are served; each is named with its version, so a browser may keep it for ever."""
    return [Route("/assets/{name}", _answer, methods=["GET"])]


@lru_cache
def loader(name: str) -> str:
    """The few lines sent with each component: they fetch browser/`name` once, in the version of this server."""
    text = (_BROWSER / "loader.js").read_text(encoding="utf-8")
    return text.replace("NAME", name).replace("VERSION", _version())


@lru_cache
def _version() -> str:
    digest = hashlib.sha256(plotly.__version__.encode())
    for path in sorted(_BROWSER.glob("*.js")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@lru_cache
def _packed(name: str) -> bytes:
    return gzip.compress(_FILES[name].read_bytes(), mtime=0)


def _answer(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        return Response("There is no such file.", status_code=404, media_type="text/plain")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(_packed(name), media_type="text/javascript", headers=headers)
    return Response(_FILES[name].read_bytes(), media_type="text/javascript", headers=headers)
