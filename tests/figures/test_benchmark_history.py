"""A cell's history as a figure: verdicts are signs with words, a change of the environment is a line with its sentence."""

from datetime import UTC, datetime, timedelta

from dashboard.benchmark.history import Point, environment_changes
from dashboard.figures.benchmark_history import SIGNS, draw


def point(day: int, p50: float | None, verdict: str = "same", changed: tuple[str, ...] = ()) -> Point:
    return Point(
        run_id=f"run-{day}", ended_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=day), p50=p50,
        low=None if p50 is None else p50 * 0.99, high=None if p50 is None else p50 * 1.01, status="ok", verdict=verdict,
        why="<b>because</b>", revision="abc", host="", changed=changed,
    )  # fmt: skip


POINTS = [
    point(0, 0.010, ""), point(1, 0.0101), point(2, None, "regressed"),
    point(3, 0.012, "regressed", ("torch was <i>1</i> and is 2",)),
]  # fmt: skip


def test_each_verdict_is_a_sign_of_its_own_and_a_failed_run_has_no_point():
    figure = draw(POINTS)
    named = {trace.name: trace for trace in figure.data if trace.name}
    assert set(named) == {"not judged", "same", "regressed"}
    assert len(named["regressed"].x) == 1
    assert named["regressed"].marker.symbol == "triangle-up"
    assert len({symbol + colour for symbol, colour in SIGNS.values()}) == len(SIGNS)
    assert abs(named["same"].error_y.array[0] - 0.000101) < 1e-9


def test_a_change_of_the_environment_is_a_line_that_says_what_changed():
    figure = draw(POINTS)
    [shape] = figure.layout.shapes
    assert shape.line.dash == "dash"
    [note] = figure.layout.annotations
    assert "torch was" in note.hovertext
    assert environment_changes(POINTS) == [POINTS[3]]


def test_words_from_outside_are_escaped():
    written = draw(POINTS).to_json()
    assert "<b>because" not in written
    assert "\\u003cb\\u003ebecause" not in written
    assert "<i>1" not in written


def test_a_history_of_failures_alone_draws_nothing_and_breaks_nothing():
    assert [trace for trace in draw([point(0, None)]).data if trace.name] == []
