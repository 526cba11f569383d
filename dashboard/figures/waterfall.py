"""A trace as a waterfall: a bar for each span from its start to its end, children below their parent.

Pure: no clock, no network, no Streamlit. `rows` is the order of the figure and of the table beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from collectors.traces import Span, Trace
from dashboard.catalogue.units import SECONDS
from dashboard.figures import look

MOST_ROWS = 200  # more bars than this are no longer told apart
FAILED = "#b3261e"
_ATTRIBUTES_SHOWN, _LONGEST_TEXT = 8, 80
_INDENT = "\u2003"  # plotly drops ordinary spaces at the start of a label


@dataclass(frozen=True, slots=True)
class Row:
    """A span in its place."""

    span: Span
    depth: int  # 0: a root
    orphan: bool  # its parent is not among the spans the store has


def rows(trace: Trace) -> list[Row]:
    """Spans in the order of the waterfall: roots by their start, each followed by what it called.

    A span whose parent is missing stands as a root; spans that are each other's parents, as no sound trace has them,
    stand as roots too, so that nothing is left out.
    """
    known = {span.span_id for span in trace.spans}
    children: dict[str | None, list[Span]] = {}
    for span in trace.spans:
        inside = span.parent_id in known and span.parent_id != span.span_id
        children.setdefault(span.parent_id if inside else None, []).append(span)
    found: list[Row] = []
    seen: set[int] = set()

    def walk(first: Span) -> None:
        waiting = [(first, 0)]
        while waiting:
            span, depth = waiting.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            found.append(Row(span, depth, orphan=span.parent_id is not None and span.parent_id not in known))
            waiting += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]

    for root in (*children.get(None, []), *trace.spans):  # the second time round: what no root leads to
        walk(root)
    return found


def draw(trace: Trace, ordered: Sequence[Row]) -> go.Figure:
    """Draw a trace that has spans; `ordered` is what `rows` gave for it."""
    shown = ordered[:MOST_ROWS]
    services = sorted({row.span.service for row in ordered})
    traces = [
        _bars(
            [(i, row) for i, row in enumerate(shown) if row.span.service == service], trace, colour, service
        )
        for service, colour in zip(services, _colours(len(services)), strict=True)
    ]
    figure = look.figure(traces, revision=trace.trace_id, height=min(2400, 80 + 24 * max(4, len(shown))))
    figure.update_layout(
        barmode="overlay", bargap=0.25, hovermode="closest", showlegend=len(services) > 1, margin={"t": 30}
    )
    span_s = trace.duration_ns / 1e9
    figure.update_xaxes(
        **look.axis_of(SECONDS),
        range=[-0.01 * span_s, 1.01 * span_s or 1e-6],
        showgrid=True,
        showspikes=False,
    )
    figure.update_yaxes(
        autorange="reversed", showgrid=False, tickvals=list(range(len(shown))), ticktext=[_label(row) for row in shown],
        tickfont={"size": 11},
    )  # fmt: skip
    if len(shown) < len(ordered):
        figure.add_annotation(
            text=f"the first {len(shown)} of {len(ordered)} spans", xref="paper", yref="paper", x=1, y=0, showarrow=False,
            font={"size": 11, "color": look.FAINT},
        )  # fmt: skip
    return figure


def _bars(placed: Sequence[tuple[int, Row]], trace: Trace, colour: str, service: str) -> go.Bar:
    longest = max(trace.duration_ns, 1)
    spans = [row.span for _, row in placed]
    return go.Bar(
        orientation="h", y=[i for i, _ in placed], base=[(span.start_ns - trace.start_ns) / 1e9 for span in spans],
        # a span of no length still has to be seen
        x=[max(span.duration_ns, longest / 1000) / 1e9 for span in spans],
        name=look.escape(service or "unnamed service"),
        marker={"color": [FAILED if span.status == "error" else colour for span in spans]},
        text=[("✕ " if span.status == "error" else "") + SECONDS.format(span.duration_ns / 1e9) for span in spans],
        textposition="auto", textfont={"size": 10}, cliponaxis=False,
        hovertext=[_hover(span, trace) for span in spans], hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _colours(count: int) -> list[str]:
    return [look.COLOURS[i % len(look.COLOURS)] for i in range(count)]


def _label(row: Row) -> str:
    name = look.escape(_short(row.span.name or "unnamed", 40))
    return f"{_INDENT * min(row.depth, 12)}{'⋯ ' if row.orphan else ''}{name}"


def _hover(span: Span, trace: Trace) -> str:
    """The span in words; everything in it comes from outside."""
    offset = SECONDS.format((span.start_ns - trace.start_ns) / 1e9)
    said = [f"<b>{look.escape(_short(span.name))}</b> {look.escape(_short(span.service))}"]
    said.append(f"{SECONDS.format(span.duration_ns / 1e9)}, from {offset}")
    if span.status == "error":
        said.append(f"failed: {look.escape(_short(span.status_message or 'no reason given'))}")
    for name, value in list(span.attributes.items())[:_ATTRIBUTES_SHOWN]:
        said.append(look.escape(f"{_short(name, 40)} = {_short(str(value))}"))
    return "<br>".join(said)


def _short(text: str, most: int = _LONGEST_TEXT) -> str:
    return text if len(text) <= most else text[:most] + "…"
