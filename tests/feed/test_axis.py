"""The generation axis: raw samples joined by scrape, restarts, holes filled from the log, point by point."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from collectors.prometheus import RawSeries
from collectors.runs import RunsDirectory
from dashboard.feed import Window, axis
from dashboard.verdict import progress
from tests.feed import history

ALL = Window("now-4h")
GEN, BEST, LOSS = axis.GENERATION, "evolution_fitness_best", "training_loss"


def raw(name: str, times: list[float], values: list[float], instance: str = "a") -> RawSeries:
    return RawSeries(
        {"__name__": name, "instance": instance}, np.array(times, float), np.array(values, float)
    )


def frame_of(series: list[RawSeries], starts: list[RawSeries] = (), started_at: float | None = None):
    return axis.joined(axis.scraped(series, starts), None, started_at)


def test_metrics_are_joined_by_the_time_of_their_scrape_and_nothing_is_invented():
    """A range query with sample-and-hold would return a point at every step."""
    times = [10.2, 15.2, 20.2]
    frame, segments, _ = frame_of([raw(GEN, times, [3, 7, 12]), raw(BEST, times[1:], [0.5, 0.6])])
    assert frame["generation"].tolist() == [3, 7, 12]
    assert frame["time"].tolist() == times
    np.testing.assert_array_equal(frame[BEST], [np.nan, 0.5, 0.6])
    assert frame["hole_before"].tolist() == [False, True, True]
    assert [(s.first_generation, s.last_generation) for s in segments] == [(3, 12)]


def test_several_scrapes_of_one_generation_are_one_point_at_the_first_of_them():
    frame, _, _ = frame_of(
        [raw(GEN, [1, 2, 3, 4], [5, 5, 5, 6]), raw(BEST, [1, 2, 3, 4], [0.1, 0.2, 0.2, 0.3])]
    )
    assert frame[["time", "generation", BEST]].to_numpy().tolist() == [[1, 5, 0.2], [4, 6, 0.3]]
    assert frame["hole_before"].tolist() == [False, False]


def test_a_falling_generation_is_a_restart():
    _, segments, _ = frame_of([raw(GEN, [1, 2, 3, 4], [8, 9, 2, 3])])
    assert [(s.index, s.start_time, s.reason) for s in segments] == [
        (0, 1.0, "first seen"),
        (1, 3.0, "generation fell from 9 to 2"),
    ]


def test_a_new_process_is_a_restart_although_the_generation_goes_on():
    """A run resumed from its checkpoint does not start at 1."""
    starts = [raw("process_start_time_seconds", [10, 20, 30], [5, 5, 25])]
    frame, segments, _ = frame_of([raw(GEN, [10, 20, 30], [1, 2, 3])], starts)
    assert frame["segment"].tolist() == [0, 0, 1]
    assert segments[1].reason == "the process was restarted"


def test_a_run_that_moves_to_another_instance_is_one_run_with_two_segments():
    frame, segments, _ = frame_of([raw(GEN, [1, 2], [1, 2]), raw(GEN, [3, 4], [3, 4], "b")])
    assert frame["generation"].tolist() == [1, 2, 3, 4]
    assert segments[1].reason == "the run moved to b"


def test_replicas_of_one_run_do_not_double_its_points():
    frame, segments, _ = frame_of([raw(GEN, [1, 2, 3], [1, 2, 3]), raw(GEN, [1.5, 2.5], [1, 2], "b")])
    assert frame["generation"].tolist() == [1, 2, 3]
    assert len(segments) == 1


def test_a_run_without_a_generation_has_a_row_a_scrape():
    frame, _, _ = frame_of([raw(BEST, [1, 2], [0.5, 0.5])])
    assert frame["time"].tolist() == [1, 2]
    assert frame["generation"].isna().all()
    assert "no generation" in axis.coverage(frame, 0, log=False, scrape_seconds=5)


def test_a_value_that_is_not_a_number_is_a_gap():
    frame, _, _ = frame_of([raw(GEN, [1, 2, 3], [1, 2, 3]), raw(BEST, [1, 2, 3], [0.1, np.nan, 0.3])])
    np.testing.assert_array_equal(frame[BEST], [0.1, np.nan, 0.3])
    assert not frame["hole_before"].any(), "the generation is known, its value is not a number"


def test_nothing_seen_is_an_empty_frame_with_its_columns():
    frame, segments, _ = frame_of([])
    assert list(frame.columns) == [
        "time",
        "generation",
        "elapsed_seconds",
        "segment",
        "source",
        "hole_before",
    ]
    assert (len(frame), segments) == (0, ())


def test_prometheus_alone_says_how_much_it_saw(past, feed_at):
    evolution = feed_at(past.url).evolution("alpha", ALL)
    seen = len({history.alpha(t) for t in history.scrapes() if t <= history.FINISHED + 900})
    assert len(evolution.frame) == seen
    assert evolution.segments[0].first_generation == 3
    assert evolution.segments[1].reason.startswith("generation fell")
    assert f"saw {seen} of " in evolution.coverage
    assert "generation 500 ms" in evolution.coverage
    assert evolution.frame["hole_before"].mean() > 0.9
    row = evolution.frame.iloc[100]
    assert row[BEST] == history.best(int(row["generation"]))
    assert set(evolution.frame["source"]) == {"prometheus"}


def test_the_log_fills_every_hole_and_every_point_says_where_it_came_from(past, feed_at, alpha_folder):
    evolution = feed_at(past.url, RunsDirectory(alpha_folder)).evolution("alpha", ALL)
    frame = evolution.frame
    first, second = int(3600 / 0.5), int((history.FINISHED - history.RESTART) / 0.5)
    # the scrape after the last logged line saw one generation more
    assert abs(len(frame) - first - second) <= 1
    assert not frame["hole_before"].any()
    np.testing.assert_array_equal(frame.loc[: first - 1, "generation"], np.arange(1, first + 1))
    seen = frame["source"].eq("prometheus").sum()
    assert 1500 < seen < 2000
    assert set(frame["source"]) == {"prometheus", "log"}
    assert [s.first_generation for s in evolution.segments] == [1, 1]
    expected = [history.best(int(generation)) for generation in frame["generation"]]
    np.testing.assert_array_equal(frame[BEST], expected)
    assert evolution.disagreements == 0
    assert evolution.coverage.endswith("the log filled the rest.")
    assert evolution.frame["elapsed_seconds"].iloc[0] == 0


def test_the_log_alone_is_exact_from_generation_one(feed_at, alpha_folder):
    evolution = feed_at(None, RunsDirectory(alpha_folder)).evolution("alpha", ALL)
    assert len(evolution.frame) == int((history.FINISHED - history.START) / 0.5)
    assert evolution.unavailable == ()
    assert set(evolution.frame["source"]) == {"log"}
    assert evolution.run.state == "finished"
    assert evolution.frame[LOSS].isna().mean() == pytest.approx(0.2)


def test_a_log_that_says_otherwise_is_counted(past, feed_at, tmp_path):
    log = history.write_run(tmp_path) / "generations.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    lines[1000:2000] = [line.replace('"best_fitness": 0.', '"best_fitness": 1.') for line in lines[1000:2000]]
    log.write_text("".join(lines))
    evolution = feed_at(past.url, RunsDirectory(tmp_path)).evolution("alpha", ALL)
    assert evolution.disagreements == 100, "every tenth generation was scraped"
    assert "disagree on 100" in evolution.coverage


def test_only_the_window_is_shown(past, feed_at, alpha_folder):
    window = Window(str((history.START + 600) * 1000), str((history.START + 1200) * 1000))
    frame = feed_at(past.url, RunsDirectory(alpha_folder)).evolution("alpha", window).frame
    assert frame["time"].between(history.START + 600, history.START + 1201).all()
    assert frame["generation"].iloc[0] == 1201


def test_a_refresh_reads_only_the_new_samples_and_equals_a_whole_look(past, gate, feed_at, clock):
    clock.now = history.RESTART - 30
    feed = feed_at(gate.url)
    feed.evolution("alpha", ALL)
    for jump in (6, 20, 40, 700):
        clock.now += jump
        before = len(gate.queries)
        tail = feed.evolution("alpha", ALL)
        whole = feed_at(past.url).evolution("alpha", ALL)
        pd.testing.assert_frame_equal(tail.frame, whole.frame, check_exact=True)
        assert tail.segments == whole.segments
        if jump < 100:
            raws = [path for path in gate.queries[before:] if "ms%5D" in path and "evolution_fitness" in path]
            assert all("14400000ms" not in path for path in raws)


def test_prometheus_going_away_leaves_what_was_read(past, gate, feed_at, clock):
    feed = feed_at(gate.url)
    good = feed.evolution("alpha", ALL)
    gate.shut = True
    clock.now += 6
    stale = feed.evolution("alpha", ALL)
    assert [why.kind for why in stale.unavailable][:1] == ["http-503"]
    assert stale.looked_at == good.looked_at == history.END
    assert abs(len(stale.frame) - len(good.frame)) <= 3, "the window moved on by a scrape"


def test_a_run_without_a_run_id_is_known_by_its_instance(past, feed_at):
    feed = feed_at(past.url)
    evolution = feed.evolution("b:8000", ALL)
    assert evolution.frame["evolution_mutation_rate"].eq(0.1).all()
    assert evolution.run.state == "running"
    assert len(evolution.frame) == 540, "three hours of 20 s"


def test_a_hundred_thousand_generations_are_joined_in_seconds(tmp_path, feed_at, clock):
    folder = history.write_run(tmp_path)
    count = 100_000
    with (folder / "generations.jsonl").open("w") as log:
        for generation in range(1, count + 1):
            log.write(history.line("alpha", generation, history.END - (count - generation) * 0.1))
    feed = feed_at(None, RunsDirectory(tmp_path))
    began = time.monotonic()
    assert len(feed.evolution("alpha", ALL).frame) == count
    first = time.monotonic() - began
    with (folder / "generations.jsonl").open("a") as log:
        log.write(history.line("alpha", count + 1, history.END))
    clock.now += 6
    began = time.monotonic()
    assert feed.evolution("alpha", ALL).frame["generation"].iloc[-1] == count + 1
    assert first < 10
    assert time.monotonic() - began < first, "only the new line is read"


def test_a_window_that_moves_on_leaves_old_samples_behind(past, feed_at, clock):
    clock.now = history.START + 1200
    feed = feed_at(past.url)
    window = Window("now-10m")
    feed.evolution("alpha", window)
    for _ in range(30):
        clock.now += 200
        feed.evolution("alpha", window)
    [kept] = [samples for selector, samples in feed._evolution._kept.items() if "evolution_" in selector]
    oldest = min(one.times[0] for one in kept.series.values())
    assert clock.now - oldest < 1500
    assert feed.evolution("alpha", window).frame["time"].iloc[-1] >= clock.now - 5


def test_raw_samples_of_all_runs_are_bounded(past, feed_at, monkeypatch):
    monkeypatch.setattr("dashboard.feed.evolutions._MOST_BYTES", 100_000)
    feed = feed_at(past.url)
    for run in ("alpha", "b:8000", "alpha"):
        assert len(feed.evolution(run, ALL).frame)
    assert len(feed._evolution._kept) <= 3


def test_what_has_parts_has_a_column_for_each_of_them():
    phase = RawSeries(
        {"__name__": "evolution_phase_duration_seconds", "instance": "a", "phase": "selection"},
        np.array([2.0, 3.0]),
        np.array([0.1, 0.2]),
    )
    failed = RawSeries(
        {"__name__": "evolution_evaluation_failures_total", "instance": "a", "error_type": "ValueError"},
        np.array([3.0]),
        np.array([4.0]),
    )
    frame, _, _ = frame_of([raw(GEN, [1, 2, 3], [1, 2, 3]), phase, failed])
    np.testing.assert_array_equal(frame["evolution_phase_duration_seconds{selection}"], [np.nan, 0.1, 0.2])
    np.testing.assert_array_equal(
        frame["evolution_evaluation_failures_total{ValueError}"], [np.nan, np.nan, 4.0]
    )


def test_parts_in_the_log_fill_what_prometheus_missed(tmp_path):
    (tmp_path / "r").mkdir()
    lines = [
        {
            "generation": n,
            "timestamp": f"2026-11-24T00:00:0{n}Z",
            "evolution_phase_duration_seconds": {"selection": n / 10},
        }
        for n in (1, 2, 3)
    ]
    (tmp_path / "r" / "generations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = axis.logged(RunsDirectory(tmp_path, axis.PARTS).generations("r"))
    second = float(log["time"].iloc[1])
    phase = RawSeries(
        {"__name__": "evolution_phase_duration_seconds", "instance": "a", "phase": "selection"},
        np.array([second]),
        np.array([0.2]),
    )
    frame, _, disagreements = axis.joined(axis.scraped([raw(GEN, [second], [2]), phase]), log, None)
    assert frame["evolution_phase_duration_seconds{selection}"].tolist() == [0.1, 0.2, 0.3]
    assert frame["source"].tolist() == ["log", "prometheus", "log"]
    assert disagreements == 0


def test_a_frame_in_which_nothing_changed_is_the_same_object(alpha_folder, feed_at, clock):
    """Figures are kept by the frame they were drawn from: an equal copy would be drawn anew at every refresh."""
    feed = feed_at(None, RunsDirectory(alpha_folder))
    before = feed.evolution("alpha", ALL).frame
    clock.now += 6
    assert feed.evolution("alpha", ALL).frame is before
    with (alpha_folder / "alpha" / "generations.jsonl").open("a") as log:
        log.write(history.line("alpha", 9999, history.FINISHED + 1))
    clock.now += 6
    assert len(feed.evolution("alpha", ALL).frame) == len(before) + 1


def test_evaluations_are_counted_from_prometheus_too_through_a_restart_of_the_process():
    total = "evolution_evaluations_total"
    frame, _, _ = frame_of(
        [
            raw(GEN, [1, 2, 3, 4], [1, 2, 1, 2]),
            raw(total, [1, 2, 3, 4], [24, 48, 24, 48]),
            raw(BEST, [1, 2, 3, 4], [0.1, 0.2, 0.1, 0.6]),
        ]
    )
    assert progress.evaluations(frame).tolist() == [24, 48, 72, 96]
    assert progress.reached(frame, 0.5).evaluations == 96
