"""Just enough of Prometheus's remote write to send native histograms, which no text format and no Python client can.

Encodes prometheus/prompb/types.proto and remote.proto by hand, in a snappy block of literals alone.
"""

import struct
import urllib.request
from collections.abc import Mapping, Sequence


def histogram(time: float, counts: Sequence[int], total: float, schema: int = 0) -> bytes:
    """A native histogram: counts of the buckets (2^-k…], upper bounds 1, 2, 4, … at schema 0."""
    deltas = [count - before for count, before in zip(counts, [0, *counts[:-1]], strict=True)]
    span = _number(1, _zigzag(0)) + _number(2, len(counts))
    return (
        _number(1, sum(counts)) + _double(3, total) + _number(4, _zigzag(schema)) + _double(5, 1e-128)
        + _number(6, 0) + _bytes(11, span) + _bytes(12, b"".join(_varint(_zigzag(delta)) for delta in deltas))
        + _number(15, round(time * 1000))
    )  # fmt: skip


def write(url: str, series: Sequence[tuple[Mapping[str, str], Sequence[bytes]]]) -> None:
    """Send histograms by labels to a Prometheus that accepts remote write."""
    message = b""
    for labels, histograms in series:
        names = b"".join(
            _bytes(1, _bytes(1, k.encode()) + _bytes(2, v.encode())) for k, v in sorted(labels.items())
        )
        message += _bytes(1, names + b"".join(_bytes(4, one) for one in histograms))
    request = urllib.request.Request(
        url + "/api/v1/write",
        data=_snappy(message),
        headers={
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        },
    )
    with urllib.request.urlopen(request, timeout=10):
        pass


def _snappy(data: bytes) -> bytes:
    chunks = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    return _varint(len(data)) + b"".join(
        b"\xf4" + struct.pack("<H", len(chunk) - 1) + chunk for chunk in chunks
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _zigzag(number: int) -> int:
    return number * 2 if number >= 0 else -number * 2 - 1


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
