"""PromQL as text: nothing from outside can leave the string it stands in."""

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.feed import fill, query


def test_holes_are_filled():
    text = fill('rate(x{run_id=~"$run",instance=~"$instance"}[$rate])', "a.b", None, 20)
    assert text == 'rate(x{run_id=~"a\\\\.b",instance=~".*"}[20s])'


def test_a_word_that_only_begins_like_a_hole_is_left_alone():
    assert (
        fill('label_replace(x, "a", "$1$runner", "b", "")') == 'label_replace(x, "a", "$1$runner", "b", "")'
    )


@given(st.text(max_size=30))
def test_whatever_a_run_is_called_it_stays_inside_its_string(name):
    parsed = promql_parser.parse(fill('x{run_id=~"$run"}', name))
    assert parsed.name == "x"
    assert len(parsed.matchers.matchers) == 1


@pytest.mark.parametrize("name", ["a|b", 'a"} or up{job="x', "a\\", "a\nb", ".*", "r(1)", "läuft"])
def test_a_run_with_a_hostile_name_is_found_by_prometheus_and_by_its_own_name_alone(name, past, feed_at):
    feed = feed_at(past.url)
    literal = query.quoted(name)
    reading = feed.instant(f'count(label_replace(vector(1), "run_id", {literal}, "", "")) and on() vector(1)')
    assert reading.unavailable is None
    matched = feed.instant('count(evolution_fitness_best{run_id=~"$run"})', run=name)
    assert (matched.samples, matched.unavailable) == ((), None)


def test_plain_selectors_are_recognised_and_put_together():
    assert query.plain('a{run_id=~"r"}') == ("a", 'run_id=~"r"')
    assert query.plain("a") == ("a", "")
    assert query.plain("rate(a[5m])") is None
    assert query.plain("a + b") is None
    assert query.plain('{__name__="a"}') is None
    assert query.together(["b", "a"], 'x="1"') == '{__name__=~"a|b",x="1"}'


def test_metric_names_are_found_but_not_in_strings():
    known = ["inference_latency_seconds", "up", "training_loss"]
    text = 'sum(rate(inference_latency_seconds_bucket{job="up"}[5m])) / training_loss_x'
    assert query.names(text, known) == {"inference_latency_seconds"}


def test_durations_are_whole_where_they_can_be():
    assert [query.duration(seconds) for seconds in (60.0, 0.5, 2.5)] == ["60s", "500ms", "2500ms"]
