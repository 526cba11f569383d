"""Failures by error type against the axis."""

import numpy as np
import pandas as pd

from dashboard.figures import failures
from dashboard.figures.evolution import Options
from dashboard.figures.marks import Mark

FRAME = pd.DataFrame({
    "time": 100.0 + np.arange(5), "generation": np.arange(1.0, 6), "elapsed_seconds": np.arange(5.0), "segment": [0] * 5,
})  # fmt: skip


def test_each_error_type_is_a_bar_where_it_happened_and_the_whole_run_is_in_view():
    counted = pd.DataFrame({"Type<b>": [0, 1, 0, 0, 0], "ValueError": [0, 2, 0, 3, 0]})
    figure = failures.draw(FRAME, counted, [(102.0, "RuntimeError")], Options())
    bars = {trace.name: (trace.x.tolist(), trace.y.tolist()) for trace in figure.data if trace.type == "bar"}
    assert bars == {"ValueError": ([2, 4], [2, 3]), "Type&lt;b&gt;": ([2], [1])}
    crosses = next(trace for trace in figure.data if trace.name == "failed step")
    assert (crosses.x.tolist(), crosses.text) == ([3.0], ("RuntimeError",))
    assert list(figure.data[0].x) == [1, 5]


def test_many_error_types_are_not_many_colours():
    counted = pd.DataFrame({f"E{i}": [0, i + 1, 0, 0, 0] for i in range(20)})
    names = [trace.name for trace in failures.draw(FRAME, counted, [], Options()).data if trace.type == "bar"]
    assert len(names) == 9
    assert names[-1] == "other error types"


def test_what_happened_meanwhile_is_marked_and_what_began_before_is_marked_from_the_first_point():
    noted = [Mark(50.0, 102.0, "GPUMemoryHigh", "warning"), Mark(10.0, 20.0, "long over", "warning")]
    figure = failures.draw(FRAME, pd.DataFrame(index=FRAME.index), [], Options(), noted=noted)
    assert [(note.x, note.hovertext) for note in figure.layout.annotations] == [
        (1.0, "GPUMemoryHigh, begun before")
    ]
