"""The waterfall of a trace: order, places, and traces no sound tracer would send."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.traces import Span, Trace
from dashboard.figures import waterfall

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
START = 1_795_470_000_000_000_000
MS = 1_000_000


def span(name: str, parent: str | None = None, at_ms: float = 0, ms: float = 10, **other: object) -> Span:
    said = {"service": "moe-router", "attributes": {}, "status": "unset", **other}
    return Span(
        ID, name, parent, name=name, start_ns=START + int(at_ms * MS), duration_ns=int(ms * MS), **said
    )


def names(trace: Trace) -> list[tuple[str, int]]:
    return [(row.span.name, row.depth) for row in waterfall.rows(trace)]


def test_children_stand_below_their_parent_by_their_start():
    spans = [
        span("reproduction", "step", 60, 30), span("step", None, 0, 100), span("selection", "step", 50, 5),
        span("mutate", "reproduction", 65, 5), span("fitness_evaluation", "step", 1, 49),
    ]  # fmt: skip
    assert names(Trace.of(ID, spans)) == [
        ("step", 0), ("fitness_evaluation", 1), ("selection", 1), ("reproduction", 1), ("mutate", 2),
    ]  # fmt: skip


def test_a_span_whose_parent_is_missing_is_a_root_and_says_so():
    [row] = waterfall.rows(Trace.of(ID, [span("lonely", "gone")]))
    assert (row.depth, row.orphan) == (0, True)


def test_bars_begin_where_the_spans_began():
    trace = Trace.of(ID, [span("step", None, 0, 100), span("selection", "step", 50, 5)])
    figure = waterfall.draw(trace, waterfall.rows(trace))
    [bars] = figure.data
    assert list(bars.base) == [0.0, 0.05]
    assert list(bars.x) == pytest.approx([0.1, 0.005])
    assert list(bars.y) == [0, 1]
    assert [label.strip("\u2003") for label in figure.layout.yaxis.ticktext] == ["step", "selection"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_each_service_has_its_colour_and_a_failure_stands_out_in_colour_and_sign():
    trace = Trace.of(
        ID, [span("a", None, 0, 9), span("b", "a", 1, 2, service="gate"), span("c", "a", 4, 2, status="error", status_message="no")]
    )  # fmt: skip
    figure = waterfall.draw(trace, waterfall.rows(trace))
    gate, router = figure.data
    assert (gate.name, router.name) == ("gate", "moe-router")
    assert gate.marker.color[0] != router.marker.color[0]
    assert router.marker.color[1] == waterfall.FAILED
    assert router.text[1].startswith("✕")
    assert "failed: no" in router.hovertext[1]


def test_names_and_attributes_from_outside_are_text():
    hostile = "<img src=x onerror=alert(1)>"
    trace = Trace.of(
        ID,
        [
            span(
                hostile,
                service=hostile,
                attributes={hostile: hostile * 9},
                status="error",
                status_message=hostile,
            )
        ],
    )
    figure = waterfall.draw(trace, waterfall.rows(trace))
    written = [*figure.layout.yaxis.ticktext, figure.data[0].name, *figure.data[0].hovertext]
    assert all(set(re.findall(r"<[^>]*>", text)) <= {"<b>", "</b>", "<br>"} for text in written)


def test_more_spans_than_can_be_told_apart_are_cut_and_the_figure_says_so():
    trace = Trace.of(ID, [span("root", None, 0, 1000), *(span(f"s{i}", "root", i, 1) for i in range(300))])
    figure = waterfall.draw(trace, waterfall.rows(trace))
    assert sum(len(bars.y) for bars in figure.data) == waterfall.MOST_ROWS
    assert "the first 200 of 301 spans" in [note.text for note in figure.layout.annotations]


def test_a_trace_of_no_length_can_be_drawn():
    trace = Trace.of(ID, [span("instant", None, 0, 0)])
    assert waterfall.draw(trace, waterfall.rows(trace)).data[0].x[0] > 0


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 12)), st.integers(-(10**6), 10**6), st.integers(0, 10**6)),
        min_size=1, max_size=25,
    )
)  # fmt: skip
def test_every_span_stands_in_the_waterfall_once_whatever_its_parents(said):
    """Cycles, parents that are missing, a span that is its own parent, clocks that disagree."""
    trace = Trace.of(
        ID, [span(str(i), None if parent is None else str(parent), at, ms) for i, parent, at, ms in said]
    )
    ordered = waterfall.rows(trace)
    assert sorted(map(id, trace.spans)) == sorted(id(row.span) for row in ordered)
    waterfall.draw(trace, ordered)
