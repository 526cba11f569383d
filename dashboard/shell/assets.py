"""The files a browser fetches once and keeps: our drawing code and plotly's library. Served beside the pages.

Also the empty page behind each address: told where the server is, Streamlit's browser side need not find out by asking
under every part of the address, which costs two failed requests at each deep link.
"""

import gzip
import hashlib
import re
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
    "picture.js": _BROWSER / "picture.js",
    "plotly.min.js": Path(plotly.__file__).with_name("package_data") / "plotly.min.js",
}
# Streamlit fetches the code of an element when the first one comes, and what that imports after it.
_SHOWN = ("BidiComponent", "Selectbox", "ButtonGroup", "Html", "DownloadButton", "Popover")
_WITHOUT_FIGURES = {"runbooks", "logs", "health-checks", "audit"}  # pages
_IMPORTS = re.compile(r"""(?:from|import)\s*["']\./([\w.-]+\.js)["']""")


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
def empty_page(*, figures: bool = True) -> str:
    """Streamlit's page, told where the server is; with `figures`, what draws them is run while the page starts."""
    html = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    here = "const here = new URL('.', location.href).href; window.__streamlit = {BACKEND_BASE_URL: here, MAIN_PAGE_BASE_URL: here};"
    # fetched while the page is still starting, not one after the other when the first figure and the first control come
    early = [
        f'<link rel="modulepreload" href="./assets/{name}?v={_version()}">'
        for name in ("figure.js", "heatmap.js")
    ]
    early += [
        f'<link rel="modulepreload" crossorigin href="./static/js/{name}">'
        for name in _imported(Path(streamlit.__file__).parent / "static" / "static" / "js")
        if name not in html
    ]
    library = f"./assets/plotly.min.js?v={_version()}"
    early.append(
        f'<script async src="{library}"></script>' if figures else f'<link rel="prefetch" href="{library}">'
    )
    return html.replace("<head>", f"<head><script>{here}</script>{''.join(early)}", 1)


def _imported(folder: Path) -> list[str]:
    """The files of Streamlit's browser side behind what nearly every page shows, with all that they import."""
    waiting = [path.name for kind in _SHOWN for path in sorted(folder.glob(f"{kind}.*.js"))]
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop(0)
        path = folder / name
        if name not in found and path.is_file():
            found[name] = None
            waiting += _IMPORTS.findall(path.read_text(encoding="utf-8"))
    return list(found)


def _page(request: Request) -> Response:
    text = empty_page(figures=request.url.path.rpartition("/")[2] not in _WITHOUT_FIGURES)
    return Response(text, media_type="text/html", headers={"Cache-Control": "no-cache"})


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
