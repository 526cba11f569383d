"""When generations ran, and what they spent their time on."""

import numpy as np
import pandas as pd
import pytest

from dashboard.catalogue import evolution as metrics
from dashboard.figures import timeline
from dashboard.figures.evolution import Options
from dashboard.figures.marks import Mark

DURATION, PHASE = str(metrics.GENERATION_DURATION), metrics.PHASE_DURATION.part


def points(times: list[float], **columns) -> pd.DataFrame:
    count = len(times)
    table = {
        "time": np.array(times) + 1_800_000_000.0,
        "generation": np.arange(1.0, count + 1),
        "elapsed_seconds": np.array(times),
        "segment": np.zeros(count, int),
    }
    return pd.DataFrame(table | columns)


def test_a_generation_lies_between_its_start_and_its_end():
    frame = points([2, 5, 20, 22], **{DURATION: [np.nan, 3.0, 4.0, 2.0]})
    shown = timeline.spans(frame, 40)
    assert shown.generations.tolist() == [2, 3, 4]
    assert (shown.starts - 1.8e9).tolist() == [2, 16, 20]  # a pause of eleven seconds before generation 3
    assert len(timeline.spans(frame, 2)) == 2


def test_without_a_told_duration_the_generation_before_tells_the_start_but_not_over_a_gap():
    frame = points([2, 5, 20]).assign(generation=[1.0, 2.0, 9.0])
    shown = timeline.spans(frame, 40)
    assert (shown.generations.tolist(), (shown.ends - shown.starts).tolist()) == ([2], [3])
    restarted = points([2, 5]).assign(segment=[0, 1])
    assert len(timeline.spans(restarted, 40)) == 0


def test_the_runs_own_stamp_of_the_end_is_better_than_the_scrape_that_saw_it():
    frame = points(
        [2, 7], **{DURATION: [np.nan, 3.0], str(metrics.LAST_GENERATION): [np.nan, 1_800_000_005.5]}
    )
    assert (timeline.spans(frame, 40).ends - 1.8e9).tolist() == [5.5]


def test_phases_follow_each_other_and_what_is_left_belongs_to_none():
    frame = points(
        [0, 10],
        **{DURATION: [np.nan, 10.0], PHASE("evaluate <b>"): [np.nan, 6.0], PHASE("select"): [np.nan, 1.0]},
    )
    figure = timeline.draw(timeline.spans(frame, 40), frame, Options("elapsed"))
    reach = {
        trace.name: (np.nanmin(trace.x), np.nanmax(trace.x))
        for trace in figure.data
        if trace.fill == "toself"
    }
    assert reach == {"evaluate &lt;b&gt;": (0, 6), "select": (6, 7), "no phase": (7, 10)}
    assert "evaluate &lt;b&gt; 6 s" in figure.data[-1].text[0]


def test_clock_time_is_the_viewers_and_what_happened_is_marked():
    frame = points([0, 10], **{DURATION: [np.nan, 10.0]})
    noted = [
        Mark(1_800_000_004.0, 1_800_000_006.0, "ExpertDead", "critical"),
        Mark(1.0, 2.0, "long over", "warning"),
    ]
    figure = timeline.draw(timeline.spans(frame, 40), frame, Options("generation", "Asia/Tokyo"), noted=noted)
    assert figure.layout.xaxis.type == "date"
    bar = next(trace for trace in figure.data if trace.fill == "toself")
    assert np.nanmin(bar.x) == (1_800_000_000 + 9 * 3600) * 1000
    assert [note.hovertext for note in figure.layout.annotations] == ["ExpertDead"]


def test_the_table_has_times_in_utc_and_a_column_for_each_phase():
    frame = points([0, 10], **{DURATION: [np.nan, 10.0], PHASE("select"): [np.nan, 1.0]})
    table = timeline.table(timeline.spans(frame, 40))
    assert list(table) == ["generation", "start_utc", "end_utc", "duration_seconds", PHASE("select")]
    assert table["duration_seconds"].tolist() == pytest.approx([10.0])
