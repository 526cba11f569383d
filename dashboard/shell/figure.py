"""A plotly figure on screen, drawn once for all sessions and sent only when it changed.

Streamlit's own plotly element is taken down and put up again whenever its data changes, which forgets what the viewer
zoomed in on; this one keeps its place in the page (browser/figure.js).
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import plotly.io
import streamlit as st

from dashboard.shell import assets
from dashboard.shell.kept import kept

_mount = st.components.v2.component(
    "moe-router-dashboard.figure", js=assets.loader("figure.js"), isolate_styles=False
)

DIGEST = 16  # letters


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure as it goes over the wire."""

    body: bytes  # JSON {"data": …, "layout": …}; numbers as typed arrays in base64
    digest: str
    height: int  # pixels

    @classmethod
    def of(cls, figure: go.Figure) -> "Drawn":
        """Write the figure down, once."""
        document = json.loads(plotly.io.to_json(figure, validate=False))
        _share_x(document["data"])
        body = json.dumps(document, separators=(",", ":")).encode()
        return cls(body, hashlib.sha256(body).hexdigest()[:DIGEST], int(figure.layout.height or 300))


def _share_x(traces: list[dict[str, Any]]) -> None:
    """Curves on one axis have the same x values: they are sent with the first, the others say which that is."""
    first: dict[str, int] = {}
    for i, trace in enumerate(traces):
        if isinstance(trace.get("x"), dict) and "bdata" in trace["x"]:
            other = first.setdefault(trace["x"]["bdata"], i)
            if other != i:
                trace["x"] = {"same": other}


def drawn(key: tuple[object, ...], source: object, draw: Callable[[], go.Figure]) -> Drawn:
    """The drawing of `source` under this key: drawn by the first session that asks, shared with all others.

    Args:
        key: everything the drawing depends on beside its source: axis, zone, options.
        source: the frame it shows.
        draw: called only if this was not drawn yet.
    """
    return kept(("figure", *key), (source,), lambda: Drawn.of(draw()))


def show(
    figure: Drawn | go.Figure, *, key: str, alt: str, name: str = "", zoom: tuple[int, int] | None = None,
    on_zoom: Callable[[tuple[int, int] | None], None] | None = None,
) -> None:  # fmt: skip
    """Put a figure in its place on the page.

    Args:
        figure: what to show.
        key: its place; the same key keeps zoom and hidden lines.
        alt: what a screen reader says instead of it.
        name: the file name of downloaded images.
        zoom: the stretch of time (unix milliseconds) that is in view at first; the whole without it.
        on_zoom: told each stretch that the viewer zooms in on, None for the whole.
    """
    shown = figure if isinstance(figure, Drawn) else Drawn.of(figure)
    head = json.dumps({"alt": alt, "name": name or key} | ({"zoom": zoom} if on_zoom is not None else {}))
    body = head[:-1].encode() + b', "figure": ' + shown.body + b"}"
    # The digest comes first, so that the browser need not read a figure it has drawn already.
    data = shown.digest.encode() + body
    if on_zoom is None:
        _mount(key=key, data=data, height=shown.height)
        return
    _mount(key=key, data=data, height=shown.height, on_zoom_change=lambda: on_zoom(_stretch(key)))


def _stretch(key: str) -> tuple[int, int] | None:
    """What the browser told, which may be anything."""
    told = st.session_state[key].get("zoom")
    if not isinstance(told, list) or len(told) != 2 or not all(isinstance(end, int | float) for end in told):
        return None
    return int(told[0]), int(told[1])
