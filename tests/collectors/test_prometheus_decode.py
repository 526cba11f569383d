"""The decoder gives back every bit that Prometheus wrote, whatever the values and however hostile the labels."""

import json
import math
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.prometheus import decode

START, STEP = 1_795_410_000, 15
HOSTILE = [
    '"values":[["',
    '{"metric":{"a":"b"}}',
    "]]},{",
    "a\nb",
    "\\",
    '"',
    "é∞",
    '[[1,"2"]]',
    "",
    '"result":[',
]


def written(value: float) -> str:
    """As Go writes a sample: shortest digits, +Inf, NaN, -0."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "-0" if value == 0 and math.copysign(1, value) < 0 else repr(value).removesuffix(".0")


def body(rows: list[dict[int, float]], labels: list[str], **more: object) -> bytes:
    """A compact answer: rows of {column: value}."""
    result = [
        {
            "metric": {"i": str(at), "hostile": labels[at % len(labels)]},
            "values": [[START + STEP * column, written(value)] for column, value in sorted(row.items())],
        }
        for at, row in enumerate(rows)
    ]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()


def bits(values: np.ndarray) -> np.ndarray:
    """Bit patterns, with every NaN the same."""
    return np.where(np.isnan(values), np.nan, values).view(np.uint64)


def check(rows: list[dict[int, float]], columns: int, labels: list[str]) -> None:
    expected = np.full((len(rows), columns), np.nan)
    for at, row in enumerate(rows):
        for column, value in row.items():
            expected[at, column] = value
    answer = decode.matrix(body(rows, labels, warnings=["w"]), START, START + STEP * (columns - 1), STEP)
    assert (bits(answer.values) == bits(expected)).all()
    assert [series["hostile"] for series in answer.labels] == [
        labels[at % len(labels)] for at in range(len(rows))
    ]
    assert answer.warnings == ("w",)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 7).flatmap(
        lambda columns: st.tuples(
            st.just(columns),
            st.lists(st.dictionaries(st.integers(0, columns - 1), st.floats(), min_size=1), max_size=6),
        )
    ),
    st.lists(st.text() | st.sampled_from(HOSTILE), min_size=1, max_size=4),
)
def test_any_doubles_with_any_holes_under_any_labels(shape, labels):
    columns, rows = shape
    labels = [label.encode("utf-8", "replace").decode() for label in labels]
    check(rows, columns, labels)


def test_random_bit_patterns_come_back_bit_by_bit():
    """Set FUZZ_VALUES=1000000 for the long form."""
    count = int(os.environ.get("FUZZ_VALUES", "60000"))
    columns = 200
    patterns = np.frombuffer(np.random.default_rng(7).bytes(8 * count), np.float64)
    special = [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        0.0,
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
    ]
    values = np.concatenate([special, patterns[np.isfinite(patterns)]])
    rows = [dict(enumerate(values[at : at + columns].tolist())) for at in range(0, len(values), columns)]
    check(rows, columns, HOSTILE)
    holes = np.random.default_rng(8)
    check(
        [{c: v for c, v in row.items() if holes.random() < 0.8 or c == 0} for row in rows[:100]],
        columns,
        HOSTILE,
    )


def test_what_prometheus_writes_never_takes_the_slow_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(decode, "_slowly")
    values = [math.inf, -math.inf, math.nan, -0.0, 1 / 3, 1e300, 12.0]
    full = [dict(enumerate(values)) for _ in range(5)]
    late = [{c: v for c, v in row.items() if c > at} for at, row in enumerate(full)]
    holes = [{c: v for c, v in row.items() if (c + at) % 3} for at, row in enumerate(full)]
    for rows in (full, late, holes, full + holes):
        for labels in (["a"], HOSTILE):
            check(rows, len(values), labels)


def test_an_empty_answer_is_empty_and_not_an_error():
    answer = decode.matrix(body([], ["a"]), START, START + STEP, STEP)
    assert answer.values.shape == (0, 2)
    assert answer.labels == ()


def test_steps_below_a_second_land_where_they_belong():
    text = b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1795410000,"1"],[1795410000.5,"2"],[1795410001,"3"]]}]}}'
    np.testing.assert_array_equal(decode.matrix(text, START, START + 1, 0.5).values, [[1, 2, 3]])


def test_raw_samples_keep_their_own_times():
    pairs = [[1795410003.217, "1"], [1795410008.217, "NaN"], [1795410013.218, "-0"]]
    result = [{"metric": {"a": "b"}, "values": pairs}, {"metric": {"a": "c"}, "values": pairs[:1]}]
    text = json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": result}}, separators=(",", ":")
    )
    series, _ = decode.raw(text.encode())
    assert [one.labels for one in series] == [{"a": "b"}, {"a": "c"}]
    assert series[0].times.tolist() == [time for time, _ in pairs]
    assert struct.pack("d", series[0].values[2]) == struct.pack("d", -0.0)
    assert len(series[1].times) == 1


def test_a_histogram_is_named_and_never_decoded_as_numbers():
    result = [
        {
            "metric": {"__name__": "x"},
            "values": [[START, "1"]],
            "histograms": [[START, {"count": "1", "sum": "2"}]],
        }
    ]
    text = json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": result}}, separators=(",", ":")
    )
    with pytest.raises(decode.Malformed) as caught:
        decode.matrix(text.encode(), START, START + STEP, STEP)
    assert caught.value.kind == "native-histogram"


def test_a_scalar_is_one_sample_and_a_string_is_none():
    text = b'{"status":"success","data":{"resultType":"scalar","result":[1795410000,"1.5"]}}'
    assert decode.vector(text).samples[0].value == 1.5
    with pytest.raises(decode.Malformed):
        decode.vector(text.replace(b"scalar", b"string").replace(b"1.5", b"one"))
