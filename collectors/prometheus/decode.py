"""Bytes of a query answer → numbers, exact to the last bit, where they lie in the body.

The text of an answer is already a column of numbers with constant gaps: the quotes give the start and end of every
value, those become the offsets of an Arrow string column whose data is the body itself, and Arrow parses it with
correct rounding. No Python object per sample, nothing copied; about 100 ns a sample, cheaper than parsing the JSON.
Bodies that are not written the compact way (a proxy reformatted them) take a slow, equally exact path.
Knows no HTTP. A body that cannot be read whole is `Malformed`: a cut answer never becomes fewer numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from collectors.prometheus.answers import Floats, Labels, Matrix, RawSeries, Sample, Vector

_BLOCK_BYTES = 1 << 20  # decoded at once: the working set stays in the cache, peak memory stays small
_QUOTE, _PLUS = 34, 43
_SERIES, _VALUES = (
    b'{"metric":',
    b'"values":[[',
)  # cannot stand inside a JSON string: its quotes would be escaped


class Malformed(Exception):
    """The body is not a whole answer of this API. `kind` is "truncated", "not-json", "not-prometheus" or "native-histogram"."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Refused(Exception):
    """The answer is whole and says that the query failed: Prometheus's own errorType and text."""

    def __init__(self, error_type: str, error: str) -> None:
        super().__init__(error)
        self.error_type = error_type


class _Uncommon(Exception):
    """Not the compact form; the slow path will tell what it is."""


def matrix(body: bytes, start: float, end: float, step: float) -> Matrix:
    """Decode a query_range answer onto the grid start, start + step, …, end (unix seconds).

    Raises:
        Malformed: cut, not JSON, another shape, samples off the grid, or native histograms.
        Refused: status "error", whatever data came with it.
    """
    points = round((end - start) / step) + 1
    times = start + step * np.arange(points, dtype=np.float64)
    try:
        layout = _layout(body)
        values = _fill(body, layout.cuts, times, step)
        labels, envelope = layout.labels, layout.envelope
    except _Uncommon:
        envelope, labels, columns = _slowly(body)
        values = np.full((len(labels), points), np.nan)
        for row, (when, what) in enumerate(columns):
            values[row, _columns(when, times, step)] = what
    warnings, infos = _envelope(envelope, "matrix")
    labels, values, merged = _without_twins(labels, values)
    return Matrix(tuple(labels), times, values, warnings + merged, infos)


def raw(body: bytes) -> tuple[list[RawSeries], tuple[str, ...]]:
    """Decode the answer to an instant query of a range selector: every sample at its own time, and the warnings.

    Raises:
        Malformed, Refused: as `matrix`.
    """
    try:
        layout = _layout(body)
        columns: list[tuple[Floats, Floats]] = []
        for block in _blocks(body, layout.cuts):
            edges = np.cumsum(block.counts)[:-1]
            columns += zip(np.split(block.times(), edges), np.split(block.values(), edges), strict=True)
        labels, envelope = layout.labels, layout.envelope
    except _Uncommon:
        envelope, labels, columns = _slowly(body)
    warnings, _ = _envelope(envelope, "matrix")
    series = []
    for names, (times, values) in zip(labels, columns, strict=True):
        if (np.diff(times) > 0).all():
            series.append(RawSeries(names, times, values))
        else:  # no Prometheus does this; a broken proxy may
            ordered, first = np.unique(times, return_index=True)
            series.append(RawSeries(names, ordered, values[first]))
    return series, warnings


def vector(body: bytes) -> Vector:
    """Decode an instant answer; a scalar is one sample without labels.

    Raises:
        Malformed, Refused: as `matrix`; a string result is Malformed too.
    """
    answer = _json(body)
    warnings, infos = _envelope(answer)
    data = answer["data"]
    result = data.get("result")
    try:
        if data.get("resultType") == "scalar":
            return Vector((Sample({}, float(result[0]), float(result[1])),), warnings, infos)
        if data.get("resultType") != "vector":
            raise Malformed(
                f"the query is a {data.get('resultType')}, not a vector of numbers", "not-prometheus"
            )
        samples = []
        for item in result:
            if "histogram" in item:
                raise Malformed(_native(item.get("metric", {})), "native-histogram")
            samples.append(Sample(_labels(item["metric"]), float(item["value"][0]), float(item["value"][1])))
    except (TypeError, KeyError, IndexError, ValueError) as why:
        raise Malformed(f"a sample is not written as Prometheus writes it ({why})", "not-prometheus") from why
    return Vector(tuple(samples), warnings, infos)


def data(body: bytes, shape: type) -> Any:
    """`data` of any other endpoint's answer, checked to be a list or an object.

    Raises:
        Malformed, Refused: as `matrix`.
    """
    answer = _json(body)
    _envelope(answer)
    content = answer["data"]
    if content is None and shape is list:  # Go writes an empty list as null here and there
        return []
    if not isinstance(content, shape):
        raise Malformed(f"data is a {type(content).__name__}, not a {shape.__name__}", "not-prometheus")
    return content


# the compact form ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Layout:
    labels: list[Labels]
    cuts: NDArray[np.int64]  # (S, 2): where each series' samples begin and end in the body
    envelope: Any  # the answer without its series


def _layout(body: bytes) -> _Layout:
    opened = body.find(b'"result":[') + 10
    if opened < 10:
        raise _Uncommon
    heads: list[bytes] = []
    cuts: list[tuple[int, int]] = []
    closed = at = opened
    more = body.startswith(_SERIES, opened)
    while more:
        values = body.find(_VALUES, at)
        following = body.find(_SERIES, values)
        if values < 0:
            raise _Uncommon
        heads.append(body[at + len(_SERIES) : values - 1])
        more = following > 0
        end = following - 4 if more else body.find(b"]]}]", values)
        if end < 0 or body[end : end + 3] != b"]]}":
            raise _Uncommon
        cuts.append((values + len(_VALUES), end))
        at, closed = following, end + 3
    try:
        labels = orjson.loads(b"[" + b",".join(heads) + b"]")
        envelope = orjson.loads(body[:opened] + body[closed:])
    except orjson.JSONDecodeError:
        raise _Uncommon from None
    if len(labels) != len(heads) or not all(isinstance(item, dict) for item in labels):
        raise _Uncommon
    return _Layout(labels, np.array(cuts, np.int64).reshape(-1, 2), envelope)


@dataclass(slots=True)
class _Block:
    """Some whole series, still text."""

    first: int  # row of the first series
    last: int
    text: NDArray[np.uint8]
    counts: NDArray[np.int64]  # samples of each series
    quotes: NDArray[np.int64]
    opening: NDArray[np.int64]  # index into `quotes` of each value's opening quote
    starts: NDArray[np.int64]  # where each series begins in `text`

    def values(self) -> Floats:
        low = self.quotes[self.opening] + 1
        low += self.text[np.minimum(low, len(self.text) - 1)] == _PLUS  # Arrow reads Inf, not +Inf
        return _floats(self.text, low, self.quotes[self.opening + 1])

    def times(self) -> Floats:
        low = self.quotes[np.maximum(self.opening - 1, 0)] + 4  # `"],[` stands before a timestamp
        low[np.cumsum(self.counts) - self.counts] = self.starts
        return _floats(self.text, low, self.quotes[self.opening] - 1)

    def place(self, grid: NDArray[np.uint64]) -> int | None:
        """The column at which every series begins, where all of them run on from there without a gap; else None.

        Told by comparing the last eight digits of the timestamps as words, which costs a tenth of parsing them.
        """
        count = int(self.counts[0])
        if count > len(grid) or not (self.counts == count).all():
            return None
        words = np.ndarray(len(self.text) - 7, "<u8", self.text, strides=(1,))
        rows = words[self.quotes[self.opening] - 9].reshape(-1, count)
        first = int(np.argmax(grid == rows[0, 0]))  # 0 where it is not among them, and then the rows differ
        expected = grid[first : first + count]
        return first if len(expected) == count and bool((rows == expected).all()) else None


def _blocks(body: bytes, cuts: NDArray[np.int64]) -> Iterator[_Block]:
    raw_bytes = np.frombuffer(body, np.uint8)
    edges = np.unique(
        np.append(np.searchsorted(cuts[:, 0], np.arange(0, len(body), _BLOCK_BYTES)), len(cuts))
    )
    for first, last in pairwise(edges):
        inside = cuts[first:last] - cuts[first, 0]
        text = raw_bytes[cuts[first, 0] : cuts[last - 1, 1]]
        quotes = np.flatnonzero(text == _QUOTE)
        bounds = np.searchsorted(quotes, inside)
        many = bounds[:, 1] - bounds[:, 0]
        if (many & 1).any() or (many == 0).any():
            raise _Uncommon
        counts = many // 2
        before = np.cumsum(counts) - counts
        opening = np.repeat(bounds[:, 0] - 2 * before, counts) + 2 * np.arange(counts.sum())
        yield _Block(int(first), int(last), text, counts, quotes, opening, inside[:, 0])


def _fill(body: bytes, cuts: NDArray[np.int64], times: Floats, step: float) -> Floats:
    values = np.full((len(cuts), len(times)), np.nan)
    grid = _grid(times)
    for block in _blocks(body, cuts):
        place = None if grid is None else block.place(grid)
        if place is not None:
            run = block.values().reshape(block.last - block.first, -1)
            values[block.first : block.last, place : place + run.shape[1]] = run
        else:
            rows = np.repeat(np.arange(block.first, block.last), block.counts)
            values[rows, _columns(block.times(), times, step)] = block.values()
    return values


def _grid(times: Floats) -> NDArray[np.uint64] | None:
    """The last eight digits of each whole-second timestamp as one word, or None where the grid has fractions."""
    if times[0] < 1e8 or (times != np.floor(times)).any():
        return None
    return np.array([b"%08d" % (int(time) % 10**8) for time in times], "S8").view("<u8")


def _columns(when: Floats, times: Floats, step: float) -> NDArray[np.int64]:
    exact = (when - times[0]) / step
    columns: Floats = np.rint(exact)
    if ((columns < 0) | (columns >= len(times)) | (np.abs(exact - columns) * step > 0.002)).any():
        raise Malformed("samples carry times that were not asked for", "not-prometheus")
    return columns.astype(np.int64)


def _floats(text: NDArray[np.uint8], low: NDArray[np.int64], high: NDArray[np.int64]) -> Floats:
    """text[low[i]:high[i]] → float64: one Arrow string column over `text`: value, gap, value, …, the gaps null."""
    n = len(low)
    if n == 0:
        return np.empty(0)
    offsets = np.empty(2 * n, np.int32)
    offsets[0::2], offsets[1::2] = low, high
    if (np.diff(offsets) < 0).any() or offsets[0] < 0:
        raise _Uncommon
    buffers = [pa.py_buffer(b"\x55" * (n // 4 + 1)), pa.py_buffer(offsets), pa.py_buffer(text)]
    column = pa.Array.from_buffers(pa.string(), 2 * n - 1, buffers)
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowInvalid:
        raise _Uncommon from None
    return np.frombuffer(numbers.buffers()[1], np.float64, 2 * n - 1)[::2]


# any other form --------------------------------------------------------------------------------------------------


def _slowly(body: bytes) -> tuple[Any, list[Labels], list[tuple[Floats, Floats]]]:
    answer = _json(body)
    _envelope(answer, "matrix")
    labels, columns = [], []
    try:
        for item in answer["data"]["result"]:
            if "histograms" in item:
                raise Malformed(_native(item.get("metric", {})), "native-histogram")
            pairs = item["values"]
            labels.append(_labels(item["metric"]))
            columns.append(
                (
                    np.array([float(time) for time, _ in pairs], np.float64),
                    np.array([float(value) for _, value in pairs], np.float64),
                )
            )
    except (TypeError, KeyError, ValueError) as why:
        raise Malformed(f"a series is not written as Prometheus writes it ({why})", "not-prometheus") from why
    return answer, labels, columns


def _json(body: bytes) -> Any:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as why:
        text = body.lstrip()
        if text[:1] == b"<":
            raise Malformed("it answered with a web page, not with JSON", "not-prometheus") from why
        if text[:1] == b"{" and not text.rstrip().endswith(b"}"):
            raise Malformed("its answer was cut off in the middle", "truncated") from why
        kind = "truncated" if text[:1] == b"{" and "end of data" in str(why) else "not-json"
        raise Malformed(f"its answer is not JSON ({why})" if text else "its answer is empty", kind) from why
    if not isinstance(answer, dict) or "status" not in answer:
        raise Malformed("it answered with JSON of another shape", "not-prometheus")
    return answer


def _envelope(answer: Any, result_type: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Warnings and infos; raises Refused or Malformed where the answer is not a success of the right type."""
    if not isinstance(answer, dict):
        raise Malformed("it answered with JSON of another shape", "not-prometheus")
    if answer.get("status") != "success":
        raise Refused(str(answer.get("errorType", "error")), str(answer.get("error", "it gave no reason")))
    if "data" not in answer:
        raise Malformed("its answer has no data", "not-prometheus")
    if result_type:
        found = answer["data"].get("resultType") if isinstance(answer["data"], dict) else None
        if found != result_type:
            raise Malformed(f"it answered with a {found}, not with a {result_type}", "not-prometheus")
    return _texts(answer.get("warnings")), _texts(answer.get("infos"))


def _texts(items: object) -> tuple[str, ...]:
    return tuple(map(str, items)) if isinstance(items, Sequence) and not isinstance(items, str) else ()


def _labels(metric: Any) -> Labels:
    return {str(name): str(value) for name, value in metric.items()}


def _native(metric: Labels) -> str:
    name = metric.get("__name__", "the query")
    return f"{name} answers with native histograms, which are no single number: ask for a quantile, a count or a sum of it"


def _without_twins(labels: list[Labels], values: Floats) -> tuple[list[Labels], Floats, tuple[str, ...]]:
    """Merge series that came twice under the same labels: the first stands, the second fills its holes."""
    rows: dict[frozenset[tuple[str, str]], int] = {}
    keep = []
    for row, names in enumerate(labels):
        first = rows.setdefault(frozenset(names.items()), row)
        if first == row:
            keep.append(row)
        else:
            values[first] = np.where(np.isnan(values[first]), values[row], values[first])
    if len(keep) == len(labels):
        return labels, values, ()
    said = f"{len(labels) - len(keep)} series came twice with the same labels; the first of each stands."
    return [labels[row] for row in keep], values[keep], (said,)
