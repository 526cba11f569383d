"""Panels from a real Prometheus: what a page gets, and what it costs."""

import threading
import time

import numpy as np
import pandas as pd
import pytest

from dashboard import catalogue
from dashboard.catalogue.spec import Panel, Series
from dashboard.catalogue.units import NUMBER
from dashboard.feed import Answer, Feed, Window, frames
from dashboard.feed.ranges import Known
from dashboard.feed.window import Grid
from tests.feed import history

WINDOW = Window("now-1h")
ALL = (*catalogue.PANELS, *(curves.panel() for curves in catalogue.CURVES))


def panel(*queries: str, key: str = "one", legend: str = "") -> Panel:
    return Panel(
        key=key, title="t", why="w", unit=NUMBER, series=tuple(Series(legend, query) for query in queries)
    )


def test_a_panel_is_an_aligned_frame_in_utc(past, feed_at):
    answer = feed_at(past.url).panels(
        [panel('expert_utilization_ratio{layer="0"}', legend="expert {expert_id}")], WINDOW
    )
    frame = answer["one"].frame
    assert list(frame.columns) == [f"expert {i}" for i in range(4)]
    assert str(frame.index.tz) == "UTC"
    seconds = frame.index.as_unit("s").asi8
    assert set(np.diff(seconds)) == {answer["one"].step_seconds}
    assert seconds[0] % answer["one"].step_seconds == 0
    assert len(frame) <= 402
    assert frame.dtypes.unique() == [np.dtype("float64")]
    assert [labels["expert_id"] for labels in answer["one"].labels] == list("0123")


def test_numbers_are_what_prometheus_holds(past, feed_at, clock):
    answer = feed_at(past.url).panels([panel("evolution_diversity_score")], WINDOW)["one"]
    last = answer.frame["evolution_diversity_score"].dropna()
    at = last.index[-1].timestamp()
    scrape = max(t for t in history.scrapes() if t <= at)
    assert last.iloc[-1] == history.diversity(history.alpha(scrape)[0])


def test_every_panel_of_the_catalogue_is_answered_without_an_error(past, feed_at):
    answers = feed_at(past.url).panels(ALL, WINDOW, run="alpha")
    assert {key: str(answer.unavailable) for key, answer in answers.items() if answer.unavailable} == {}
    assert not answers["latency-percentiles"].empty
    assert not answers["fitness"].empty
    assert answers["learning-rate"].empty
    assert not answers["learning-rate"].stale


def test_a_page_is_asked_in_few_queries(past, gate, feed_at):
    """The same text is sent once, and plain gauges with the same matchers travel together."""
    feed: Feed = feed_at(gate.url)
    feed.panels(ALL, WINDOW, run="alpha")
    texts = {series.promql for one in ALL for series in one.series}
    assert len(gate.queries) == len(set(gate.queries)) < len(texts)
    together = [query for query in gate.queries if "__name__" in query]
    assert len(together) >= 1


def test_together_is_the_same_as_one_by_one(past, feed_at):
    gauges = ["evolution_fitness_best", "evolution_diversity_score", "evolution_run_active", "no_such_metric"]
    panels = [panel(f'{name}{{run_id=~"$run"}}', key=f"k{i}", legend="x") for i, name in enumerate(gauges)]
    batch = feed_at(past.url).panels(panels, WINDOW, run="alpha")
    for one in panels:
        alone = feed_at(past.url).panels([one], WINDOW, run="alpha")[one.key]
        pd.testing.assert_frame_equal(alone.frame, batch[one.key].frame)


def test_within_a_step_nothing_is_asked_twice_and_the_answer_is_the_same_object(past, gate, feed_at, clock):
    feed: Feed = feed_at(gate.url)
    first = feed.panels(ALL, WINDOW)
    asked = len(gate.queries)
    clock.now += feed.panels(ALL, WINDOW)["fitness"].step_seconds - 1  # END is a multiple of the step
    again = feed.panels(ALL, WINDOW)
    assert len(gate.queries) == asked
    assert all(first[key] is again[key] for key in first), "identity tells a page that nothing changed"
    assert feed.counters.hits > 0


def test_many_browsers_cost_what_one_costs(past, gate, feed_at):
    feed: Feed = feed_at(gate.url)
    gate.delay_seconds = {"query_range": 0.05}  # long enough for all of them to meet
    answers: list[dict[str, Answer]] = []
    threads = [threading.Thread(target=lambda: answers.append(feed.panels(ALL, WINDOW))) for _ in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    alone = feed_at(gate.url)
    before = len(gate.queries)
    alone.panels(ALL, WINDOW)
    assert len(answers) == 25
    assert before == len(gate.queries) - before


def test_a_refresh_fetches_the_tail_and_equals_a_whole_fetch_bit_by_bit(past, gate, feed_at, clock):
    queries = panel(
        "evolution_fitness_average",
        'expert_utilization_ratio{run_id=~"$run"}',
        "histogram_quantile(0.9, sum by (le) (rate(inference_latency_seconds_bucket[$rate])))",
        "topk(2, expert_utilization_ratio)",
        "training_loss",
        "training_loss @ end()",
    )
    clock.now = history.LOSS_STOPS - 120  # a series ends, later a run starts to be silent
    feed: Feed = feed_at(gate.url)
    feed.panels([queries], WINDOW)
    for jump in (10, 10, 30, 7, 300, 10, 2400, 60, -20):
        clock.now += jump
        before = len(gate.queries)
        tail = feed.panels([queries], WINDOW)["one"]
        new = gate.queries[before:]
        whole = feed_at(past.url).panels([queries], WINDOW)["one"]
        ordered = tail.frame.reindex(columns=whole.frame.columns)
        if jump > 0:
            pd.testing.assert_frame_equal(ordered, whole.frame, check_exact=True)
        extra = set(tail.frame.columns) - set(whole.frame.columns)
        assert not extra
        if 10 <= jump <= 300:
            spans = [_span(path) for path in new if "end%28%29" not in path]
            assert all(span <= 60 + jump + 10 for span in spans), "only the tail and its overlap"


def _span(path: str) -> float:
    import urllib.parse

    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
    return float(asked["end"][0]) - float(asked["start"][0])


def test_a_window_in_the_past_is_asked_once_for_ever(past, gate, feed_at, clock):
    feed: Feed = feed_at(gate.url)
    window = Window(str((history.END - 7200) * 1000), str((history.END - 3600) * 1000))
    first = feed.panels([panel("evolution_fitness_best")], window)["one"]
    asked = len(gate.queries)
    clock.now += 86_400
    assert feed.panels([panel("evolution_fitness_best")], window)["one"] is first
    assert len(gate.queries) == asked


def test_a_failed_refresh_leaves_the_last_good_frame_with_its_age(past, gate, feed_at, clock):
    feed: Feed = feed_at(gate.url)
    good = feed.panels([panel("evolution_fitness_average")], WINDOW)["one"]
    gate.shut = True
    clock.now += 60
    stale = feed.panels([panel("evolution_fitness_average")], WINDOW)["one"]
    assert stale.stale
    assert stale.unavailable is not None
    assert stale.unavailable.kind == "http-503"
    assert stale.looked_at == good.looked_at == history.END
    pd.testing.assert_frame_equal(good.frame, stale.frame)
    asked = len(gate.queries)
    feed.panels([panel("evolution_fitness_average"), panel("up", key="two")], WINDOW)
    assert len(gate.queries) == asked, (
        "a source known to be down is not asked again within the refresh interval"
    )
    gate.shut = False
    clock.now += 6
    well = feed.panels([panel("evolution_fitness_average")], WINDOW)["one"]
    assert well.unavailable is None
    assert well.looked_at == clock.now


@pytest.mark.parametrize(
    "spoil", [lambda body: body[: len(body) // 2], lambda body: b"<html>", lambda body: b"[]"]
)
def test_a_bad_answer_poisons_nothing(past, gate, feed_at, clock, spoil):
    feed: Feed = feed_at(gate.url)
    one = [panel("evolution_fitness_average")]
    feed.panels(one, WINDOW)
    gate.spoil = spoil
    clock.now += 60
    assert feed.panels(one, WINDOW)["one"].stale
    gate.spoil = None
    clock.now += 60
    whole = feed_at(past.url).panels(one, WINDOW)["one"]
    pd.testing.assert_frame_equal(feed.panels(one, WINDOW)["one"].frame, whole.frame, check_exact=True)


def test_one_bad_query_does_not_take_the_others_with_it(past, feed_at):
    answers = feed_at(past.url).panels([panel("sum(", key="bad"), panel("evolution_fitness_average")], WINDOW)
    assert answers["bad"].unavailable.kind == "bad_data"
    assert not answers["one"].empty
    assert answers["one"].unavailable is None


def test_a_slow_query_does_not_hold_the_page_beyond_the_timeout(past, gate, feed_at):
    feed: Feed = feed_at(gate.url, timeout_seconds=0.6)
    feed.scrape_seconds()
    gate.delay_seconds = {"training_loss": 5}
    slow = [panel(f"training_loss * {i}", key=f"slow{i}") for i in range(12)]
    began = time.monotonic()
    answers = feed.panels([*slow, panel("evolution_fitness_average")], WINDOW)
    assert time.monotonic() - began < 0.6 + 0.25
    assert {answers[one.key].unavailable.kind for one in slow} == {"timeout"}


def test_memory_is_bounded(past, feed_at):
    feed: Feed = feed_at(past.url, memory_bytes=200_000)
    for i in range(60):
        feed.panels([panel(f"expert_utilization_ratio * {i}")], WINDOW)
    ranges = feed._ranges
    kept = sum(slot.known.size_bytes for slot in ranges._slots.values() if slot.known)
    assert kept <= 200_000
    assert len(ranges._slots) < 60
    for batch in range(3):  # nothing is known of them, and that is kept too
        feed.panels([panel(*(f"no_such_metric_{batch}_{i}" for i in range(100)))], WINDOW)
    assert sum(slot.known.size_bytes for slot in ranges._slots.values() if slot.known) == ranges._kept_bytes
    assert len(ranges._slots) <= 200


def test_a_clock_an_hour_off_is_said_and_the_windows_end_at_the_time_of_prometheus(
    past, gate, feed_at, clock
):
    gate.ahead_seconds = 3600
    clock.now = history.END - 3600
    feed: Feed = feed_at(gate.url)
    answer = feed.panels([panel("evolution_fitness_average")], WINDOW)["one"]
    answer = feed.panels([panel("evolution_fitness_average")], WINDOW)["one"]
    assert abs(answer.frame.index[-1].timestamp() - history.END) < 60
    assert any("clock" in warning for warning in answer.asked[0].warnings)


def test_without_a_prometheus_every_panel_says_why(feed_at):
    answer = feed_at(None).panels([panel("up")], WINDOW)["one"]
    assert answer.empty
    assert answer.unavailable.kind == "not-configured"


def test_an_instant_is_shared_for_a_refresh_interval_and_kept_when_it_fails(past, gate, feed_at, clock):
    feed: Feed = feed_at(gate.url)
    assert feed.instant("count(evolution_fitness_average)").samples[0].value == 1
    feed.instant("count(evolution_fitness_average)")
    assert len(gate.queries) == 1
    gate.shut = True
    clock.now += 6
    reading = feed.instant("count(evolution_fitness_average)")
    assert (reading.samples[0].value, reading.unavailable.kind) == (1, "http-503")
    assert reading.looked_at == history.END


def test_legends_that_are_alike_are_told_apart(past, feed_at):
    frame = (
        feed_at(past.url)
        .panels([panel("expert_utilization_ratio", legend="expert {expert_id}")], WINDOW)["one"]
        .frame
    )
    assert frame.columns.is_unique
    assert "expert 0 (layer=1)" in frame.columns


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["expert 10", "expert 2", "expert 1"], ["expert 1", "expert 2", "expert 10"]),
        (["10", "a", "9"], ["9", "10", "a"]),
        (["gpu 10 host a", "gpu 9 host b"], ["gpu 9 host b", "gpu 10 host a"]),
        (["x²", "x" + "9" * 5000, "x1"], ["x1", "x" + "9" * 5000, "x²"]),
    ],
)
def test_series_stand_in_the_order_a_person_counts(names, ordered):
    """Label values come from outside: neither ² nor five thousand digits are a number to Python."""
    series = tuple({"name": name} for name in names)
    known = Known(Grid(0, 60, 60), series, np.zeros((len(names), 2)))
    frame = frames.answer([("{name}", "q", known)]).frame
    assert list(frame.columns) == ordered


def test_the_feed_counts_itself_under_the_catalogues_names(past, feed_at):
    feed: Feed = feed_at(past.url)
    feed.panels([panel("sum("), panel("up", key="two")], WINDOW)
    assert feed.counters.errors == 1
    assert feed.counters.queries >= 2
    assert feed.counters.seconds > 0
    assert feed.counters.registry.get_sample_value("dashboard_queries_total", {"outcome": "bad_data"}) == 1
