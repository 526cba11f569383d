"""The files a browser fetches once and keeps: our drawing code and plotly's library. Served beside the pages.

Also the empty page behind each address: told where the server is, Streamlit's browser side need not find out by asking
under every part of the address, which costs two failed requests at each deep link.
"""

import gzip
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import plotly
import streamlit
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_BROWSER = Path(__file__).with_name("browser")
_FILES = {
    "figure.js": _BROWSER / "figure.js",
    "heatmap.js": _BROWSER / "heatmap.js",
    "plotly.min.js": Path(plotly.__file__).with_name("package_data") / "plotly.min.js",
}


def routes(pages: Iterable[str] = ()) -> list[Route]:
    """Where the files are served, named with their version so that a browser may keep them, and the pages' addresses."""
    addresses = [Route(f"/{page}", _page, methods=["GET"]) for page in pages if page]
    return [Route("/assets/{name}", _answer, methods=["GET"]), *addresses]


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
def empty_page() -> str:
    """Streamlit's page, told where the server is."""
    html = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    here = "const here = new URL('.', location.href).href; window.__streamlit = {BACKEND_BASE_URL: here, MAIN_PAGE_BASE_URL: here};"
    early = "".join(  # fetched while the page is still starting, not one after the other when the first figure comes
        f'<link rel="{kind}" href="./assets/{name}?v={_version()}">'
        for kind, name in (("modulepreload", "figure.js"), ("prefetch", "plotly.min.js"))
    )
    return html.replace("<head>", f"<head><script>{here}</script>{early}", 1)


def _page(_: Request) -> Response:
    return Response(empty_page(), media_type="text/html", headers={"Cache-Control": "no-cache"})


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
