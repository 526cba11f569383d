"""Bytes of a query answer → numbers, exact to the last bit, where they lie in the body.

The text of an answer is already a column of numbers with constant gaps: the quotes give the start and end of every
value, those become the offsets of an Arrow string column whose data is the body itself, and Arrow parses it with
correct rounding. No Python object per sample, nothing copied; about 100 ns a sample, cheaper than parsing the JSON.
Bodies that are not written the compact way (a proxy reformatted them) take a slow, equally exact path.
Knows no HTTP. A body that cannot be read whole is `Malformed`: a cut answer never becomes fewer numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from collectors.prometheus.answers import Floats, Labels, Matrix, RawSeries, Sample, Vector

# decoded at once, a 32nd of the body within these bounds: the working set stays in the cache and small beside the body
_BLOCK_BYTES = (1 << 17, 1 << 18)
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
    try:
        data = answer["data"]
        result = data.get("result")
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
    except (TypeError, KeyError, IndexError, ValueError, AttributeError) as why:
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
    cuts: list[int] = []
    closed = at = opened
    more = body.startswith(_SERIES, opened)
    while more:
        values = body.find(_VALUES, at)
        if values < 0:
            raise _Uncommon
        heads.append(body[at + len(_SERIES) : values - 1])
        following = body.find(
            b"{", values
        )  # one byte is found at the speed of memory; no number holds a brace
        more = body.startswith(_SERIES, following) if following > 0 else False
        end = following - 4 if more else body.find(b"]]}]", values)
        if end < 0 or body[end : end + 3] != b"]]}" or values < following < end:
            raise _Uncommon
        cuts += (values + len(_VALUES), end)
        at, closed = following, end + 3
    try:
        labels = orjson.loads(b"[" + b",".join(heads) + b"]")
        envelope = orjson.loads(body[:opened] + body[closed:])
    except orjson.JSONDecodeError:
        raise _Uncommon from None
    if len(labels) != len(heads) or not all(map(_are_texts, labels)):
        raise _Uncommon
    return _Layout(labels, np.array(cuts, np.int64).reshape(-1, 2), envelope)


@dataclass(slots=True)
class _Block:
    """Some whole series, still text."""

    first: int  # row of the first series
    last: int
    text: NDArray[np.uint8]
    counts: NDArray[np.int64]  # samples of each series
    spans: NDArray[
        np.int32
    ]  # (n, 2): where each value begins and ends in `text`, all series one after another
    starts: NDArray[np.int64]  # where each series begins in `text`

    def values(self) -> Floats:
        try:
            return _floats(self.text, self.spans)
        except _Uncommon:  # Arrow reads Inf, not +Inf
            spans = self.spans.copy()
            spans[:, 0] += self.text[np.minimum(spans[:, 0], len(self.text) - 1)] == _PLUS
            return _floats(self.text, spans)

    def times(self) -> Floats:
        spans = np.empty_like(self.spans)
        spans[1:, 0] = self.spans[:-1, 1] + 4  # `"],[` stands before a timestamp, `,"` behind it
        spans[np.cumsum(self.counts) - self.counts, 0] = self.starts
        spans[:, 1] = self.spans[:, 0] - 2
        if spans[0, 0] < 0 or (np.diff(spans.reshape(-1)) < 0).any():
            raise _Uncommon
        return _floats(self.text, spans)

    def place(self, grid: NDArray[np.uint64]) -> int | None:
        """The column at which every series begins, where all of them run on from there without a gap; else None.

        Told by comparing the last eight digits of the timestamps as words, which costs a tenth of parsing them.
        """
        count = int(self.counts[0])
        if count > len(grid) or self.spans[0, 0] < 10 or not (self.counts == count).all():
            return None
        words = np.ndarray(len(self.text) - 7, "<u8", self.text, strides=(1,))
        rows = words[self.spans[:, 0] - 10].reshape(-1, count)
        first = int(np.argmax(grid == rows[0, 0]))  # 0 where it is not among them, and then the rows differ
        expected = grid[first : first + count]
        return first if len(expected) == count and bool((rows == expected).all()) else None


def _blocks(body: bytes, cuts: NDArray[np.int64]) -> Iterator[_Block]:
    raw_bytes = np.frombuffer(body, np.uint8)
    step = min(max(len(body) // 32, _BLOCK_BYTES[0]), _BLOCK_BYTES[1])
    edges = np.unique(np.append(np.searchsorted(cuts[:, 0], np.arange(0, len(body), step)), len(cuts)))
    longest = int((cuts[edges[1:] - 1, 1] - cuts[edges[:-1], 0]).max(initial=0))
    is_quote = np.empty(longest, np.bool_)  # one for all blocks
    for first, last in pairwise(edges.tolist()):
        inside = cuts[first:last] - cuts[first, 0]
        text = raw_bytes[cuts[first, 0] : cuts[last - 1, 1]]
        quotes = np.flatnonzero(np.equal(text, _QUOTE, out=is_quote[: len(text)]))
        bounds = np.searchsorted(quotes, inside)
        many = bounds[:, 1] - bounds[:, 0]
        if (many & 1).any() or (many == 0).any():
            raise _Uncommon
        counts = many // 2
        yield _Block(first, last, text, counts, _spans(quotes, bounds[:, 0], counts), inside[:, 0])


def _spans(
    quotes: NDArray[np.int64], begins: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.int32]:
    """(n, 2) begin and end of every value; series s has counts[s] values, its first opening quote is quotes[begins[s]]."""
    apart = np.diff(begins)
    if (counts == counts[0]).all() and (len(apart) == 0 or (apart == apart[0]).all()):
        # series of one shape: their quotes are a table with some columns too many
        stride = int(apart[0]) if len(apart) else 0
        shape, strides = (len(counts), int(counts[0]), 2), (8 * stride, 16, 8)
        table = np.ndarray(shape, np.int64, quotes, 8 * int(begins[0]), strides)
        spans = table.astype(np.int32).reshape(-1, 2)
    else:
        before = np.cumsum(counts) - counts
        opening = np.repeat(begins - 2 * before, counts) + 2 * np.arange(counts.sum())
        spans = np.stack([quotes[opening], quotes[opening + 1]], axis=1).astype(np.int32)
    spans[:, 0] += 1
    return spans


def _fill(body: bytes, cuts: NDArray[np.int64], times: Floats, step: float) -> Floats:
    values = np.full((len(cuts), len(times)), np.nan)
    grid = _grid(float(times[0]), len(times), step)
    for block in _blocks(body, cuts):
        place = None if grid is None else block.place(grid)
        if place is not None:
            run = block.values().reshape(block.last - block.first, -1)
            values[block.first : block.last, place : place + run.shape[1]] = run
        else:
            rows = np.repeat(np.arange(block.first, block.last), block.counts)
            values[rows, _columns(block.times(), times, step)] = block.values()
    return values


@lru_cache(64)  # the queries of a page share their grid
def _grid(start: float, points: int, step: float) -> NDArray[np.uint64] | None:
    """The last eight digits of each whole-second timestamp as one word, or None where the grid has fractions."""
    if start < 1e8 or start != int(start) or step != int(step):
        return None
    grid = np.array([b"%08d" % ((int(start) + at * int(step)) % 10**8) for at in range(points)], "S8")
    words = grid.view("<u8")
    words.flags.writeable = False
    return words


def _columns(when: Floats, times: Floats, step: float) -> NDArray[np.int64]:
    exact = (when - times[0]) / step
    columns: Floats = np.rint(exact)
    if ((columns < 0) | (columns >= len(times)) | (np.abs(exact - columns) * step > 0.002)).any():
        raise Malformed("samples carry times that were not asked for", "not-prometheus")
    return columns.astype(np.int64)


def _floats(text: NDArray[np.uint8], spans: NDArray[np.int32]) -> Floats:
    """text[spans[i, 0]:spans[i, 1]] → float64: one Arrow string column over `text`: value, gap, value, …, the gaps null.

    Raises:
        _Uncommon: one of them is no number.
    """
    n = len(spans)
    if n == 0:
        return np.empty(0)
    buffers = [pa.py_buffer(b"\x55" * (n // 4 + 1)), pa.py_buffer(spans), pa.py_buffer(text)]
    column = pa.Array.from_buffers(pa.string(), 2 * n - 1, buffers, n - 1)
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
    except (TypeError, KeyError, ValueError, AttributeError) as why:
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


def _are_texts(metric: object) -> bool:
    return isinstance(metric, dict) and all(type(value) is str for value in metric.values())


def _labels(metric: Any) -> Labels:
    return {str(name): str(value) for name, value in metric.items()}


def _native(metric: Labels) -> str:
    name = metric.get("__name__", "the query")
    return f"{name} answers with native histograms, which are no single number: ask for a quantile, a count or a sum of it"


def _without_twins(labels: list[Labels], values: Floats) -> tuple[list[Labels], Floats, tuple[str, ...]]:
    """Merge series that came twice under the same labels: the first stands, the second fills its holes."""
    if len({tuple(names) for names in labels}) == 1 and len(
        {tuple(names.values()) for names in labels}
    ) == len(labels):
        return labels, values, ()
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
