"""The paper: headings, sentences, tables and plotly figures in one HTML file, light and dark, printable, without network.

Everything given is text and is escaped here, so no caller can forget it. Should a text ever get through, the file's own
Content-Security-Policy still runs nothing but the two scripts written here, known by their hashes, and connects nowhere.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from dashboard.marks import visible

Tone = Literal["", "good", "warn", "bad", "soft"]

_LONGEST = 20_000  # letters of one text: a label of a megabyte must not make a file nobody can open

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5c6670; --line: #d9dde2; --paper: #ffffff; --mark: #0b68cb;
  --bad: #b3261e; --good: #18794e; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf0; --soft: #aab3bc; --line: #3a424b; --paper: #12161b;
  --mark: #70b8ff; --bad: #ff9592; --good: #3dd68c; --warn: #ffca16; } }
@media print { :root { color-scheme: light; --ink: #1c2733; --soft: #5c6670; --line: #d9dde2; --paper: #ffffff;
  --mark: #0b68cb; --bad: #b3261e; --good: #18794e; --warn: #8a5a00; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; } h3 { font-size: 1rem; margin: 1.4rem 0 .2rem; }
p { margin: .4rem 0; } .soft, figcaption { color: var(--soft); } .good { color: var(--good); } .warn { color: var(--warn); }
.bad { color: var(--bad); } .banner { border-left: 4px solid var(--mark); padding: .4rem 1rem; margin: 1rem 0; font-size: 1.05rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top; }
th { white-space: nowrap; } td { white-space: pre-wrap; } pre { white-space: pre-wrap; background: rgba(128,128,128,.1); padding: .6rem; margin: .4rem 0; }
figure { margin: .8rem 0; break-inside: avoid; } details { margin: .6rem 0; } summary { cursor: pointer; }
@media print { body { margin: 0; max-width: none; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; } .modebar { display: none; } }
"""

# Draws every figure in the colours of the page, and anew when they change: dark mode, printing.
_DRAW = """
(() => {
  const places = [...document.querySelectorAll("figure.plot")].map((figure) => (
    { div: figure.querySelector("div"), sent: JSON.parse(figure.querySelector("script").textContent) }));
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    for (const { div, sent } of places) {
      const layout = structuredClone(sent.layout);
      layout.autosize = true;
      layout.font = { family: "system-ui, sans-serif", size: 12, color: of("--ink"), ...layout.font };
      layout.paper_bgcolor = of("--paper");
      layout.plot_bgcolor ??= of("--paper");
      layout.hoverlabel = { bgcolor: of("--paper"), bordercolor: of("--line"), font: { color: of("--ink") } };
      for (const [name, part] of Object.entries(layout)) {
        if (/^[xy]axis\\d*$/.test(name)) Object.assign(part, { gridcolor: of("--line"), linecolor: of("--line"), tickcolor: of("--line") });
      }
      Plotly.react(div, sent.data, layout, { displaylogo: false, responsive: true });
    }
    document.documentElement.dataset.drawn = String(places.length);
  };
  draw();
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", draw);
})();
"""


def shown(text: object) -> str:
    """Outside text as HTML: escaped, control and direction marks as visible escapes, cut where it is endless."""
    words = str(text)
    if len(words) > _LONGEST:
        words = f"{words[:_LONGEST]}… ({len(words):,} letters)"
    return html.escape(visible(words))


class Document:
    """A document that grows from top to bottom. Every argument is plain text."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = [f"<h1>{shown(title)}</h1>"]
        self._figures = 0

    def section(self, title: str, about: str = "", *, level: int = 2) -> None:
        """Begin a section; `about` says how to read it."""
        self._parts.append(f"<h{level}>{shown(title)}</h{level}>")
        if about:
            self.say(about, "soft")

    def say(self, text: str, tone: Tone = "") -> None:
        """A paragraph."""
        self._parts.append(f'<p class="{tone}">{shown(text)}</p>' if tone else f"<p>{shown(text)}</p>")

    def banner(self, word: str, text: str, tone: Tone = "") -> None:
        """The one thing to read."""
        self._parts.append(
            f'<div class="banner"><strong class="{tone}">{shown(word)}</strong> {shown(text)}</div>'
        )

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows of cells; None is a dash."""
        head = "".join(f'<th scope="col">{shown(text)}</th>' for text in headings)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{'–' if cell is None else shown(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        self._parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
        )

    def link(self, text: str, url: str) -> None:
        """A link to an http(s) address; anything else stays text. Nothing is fetched before somebody follows it."""
        is_link = url.startswith(("http://", "https://"))
        inner = (
            f'<a href="{shown(url)}" rel="noreferrer">{shown(text)}</a>'
            if is_link
            else f"{shown(text)}: {shown(url)}"
        )
        self._parts.append(f"<p>{inner}</p>")

    def verbatim(self, title: str, texts: Sequence[str]) -> None:
        """Texts as they are, folded away under a title."""
        blocks = "".join(f"<pre>{shown(text)}</pre>" for text in texts)
        self._parts.append(f"<details><summary>{shown(title)}</summary>{blocks}</details>")

    def figure(self, figure: go.Figure, alt: str) -> None:
        """A figure as `dashboard.figures` draws it; `alt` is it in words."""
        self._figures += 1
        height = figure.layout.height or 300
        self._parts.append(
            f'<figure class="plot"><div role="img" aria-label="{shown(alt)}" style="height:{height:.0f}px"></div>'
            f'<script type="application/json">{_json(figure)}</script><figcaption>{shown(alt)}</figcaption></figure>'
        )

    def html(self) -> str:
        """The whole file. plotly.js is in it once, and only where there is a figure."""
        scripts = (_plotly(), _DRAW) if self._figures else ()
        allowed = " ".join(f"'sha256-{_hash(script)}'" for script in scripts) or "'none'"
        policy = (
            f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
            "base-uri 'none'; form-action 'none'"
        )
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f"<title>{shown(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            + "\n".join(self._parts)
            + "".join(f"\n<script>{script}</script>" for script in scripts)
            + "\n</body>\n</html>\n"
        )


@cache
def _plotly() -> str:
    """plotly.js, the library itself. It holds no end tag of a script; a version that does could not be inlined."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs().replace(
        "\r\n", "\n"
    )  # a browser hashes what it parsed, and it parses \r\n as \n
    if "</script" in source.lower() or "<!--" in source:
        raise ValueError("This version of plotly.js cannot stand inside an HTML file.")
    return source


@cache
def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(figure: go.Figure) -> str:
    """A figure's data and layout as JSON that can stand inside a script element."""
    text: str = _wall_clock(figure).to_json()
    content = json.loads(text)
    content["layout"].pop("template", None)
    kept = {"data": content["data"], "layout": content["layout"]}
    written = json.dumps(kept, separators=(",", ":"), ensure_ascii=True)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _wall_clock(figure: go.Figure) -> go.Figure:
    """Milliseconds on a date axis as dates without a zone: plotly would shift numbers by the reader's zone."""
    if figure.layout.xaxis.type != "date":
        return figure
    copied = go.Figure(figure)
    for trace in copied.data:
        if trace.x is not None:
            trace.x = _dates(np.asarray(trace.x, dtype=np.float64))
    if copied.layout.xaxis.range is not None:
        copied.layout.xaxis.range = _dates(np.asarray(copied.layout.xaxis.range, dtype=np.float64))
    for shape in copied.layout.shapes:
        if shape.xref == "x":
            shape.x0, shape.x1 = _dates(np.array([shape.x0, shape.x1], dtype=np.float64))
    for note in copied.layout.annotations:
        if note.xref == "x":
            [note.x] = _dates(np.array([note.x], dtype=np.float64))
    return copied


def _dates(milliseconds: Any) -> list[str | None]:
    known = np.isfinite(milliseconds)
    moments = np.where(known, milliseconds, 0).round().astype("int64").astype("datetime64[ms]")
    texts = np.datetime_as_string(moments)
    return [str(text) if there else None for text, there in zip(texts, known, strict=True)]
