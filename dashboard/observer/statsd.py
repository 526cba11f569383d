"""To a Datadog agent, as DogStatsD datagrams: gauges as they are, counters and histograms' counts as increments.

UDP: nobody listening is no error, and nothing waits. Lines are packed into datagrams that fit an Ethernet frame.
Format: https://docs.datadoghq.com/developers/dogstatsd/datagram_shell
"""

import math
import re
import socket
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.samples import Sample

from dashboard.observer.instruments import Instruments

EVERY_SECONDS = 10.0  # an agent's own flush interval
LARGEST_DATAGRAM_BYTES = 1432  # what fits a 1500-byte Ethernet frame after IP and UDP headers
PREFIX = "moe."

_UNSAFE_IN_TAGS = re.compile(r"[|,\n\r#]")


class DogStatsD:
    """Sends what a scrape would find.

    Args:
        address: "host:port" of the agent.
        tags: on every line, beside the series' own labels.

    Raises:
        ValueError: an address without a port.
    """

    def __init__(self, address: str, instruments: Instruments, tags: Mapping[str, str] | None = None) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"{address!r} is not host:port")
        self._address = (host.strip("[]"), int(port))
        self._instruments = instruments
        self._tags = dict(tags or {})
        self._sent: dict[tuple[str, str], float] = {}  # counters: what the agent was told so far

    def send(self) -> None:
        """Send everything once.

        Raises:
            OSError: the host is not known, or the network is not there.
        """
        family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as out:
            for datagram in packed(self._lines()):
                out.sendto(datagram, address)

    def _lines(self) -> Iterator[bytes]:
        for family in self._instruments.collect():
            for sample in family.samples:
                if family.type == "gauge":
                    yield from self._line(sample, sample.value, "g")
                elif not sample.name.endswith("_bucket"):
                    yield from self._increment(sample)

    def _increment(self, sample: Sample) -> Iterator[bytes]:
        key = (sample.name, self._tagged(sample))
        gained = sample.value - self._sent.get(key, 0.0)
        if gained < 0:  # the counter began again
            gained = sample.value
        self._sent[key] = sample.value
        if gained:
            yield from self._line(sample, gained, "c")

    def _line(self, sample: Sample, value: float, kind: str) -> Iterator[bytes]:
        if math.isfinite(value):
            tags = self._tagged(sample)
            yield f"{PREFIX}{sample.name.replace('_', '.', 1)}:{value:.12g}|{kind}{'|#' if tags else ''}{tags}".encode()

    def _tagged(self, sample: Sample) -> str:
        pairs = {**self._tags, **sample.labels}
        return ",".join(f"{name}:{_UNSAFE_IN_TAGS.sub('_', value)}" for name, value in pairs.items())


def packed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined into datagrams of at most 1432 bytes; a single longer line goes alone."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        if waiting and size + len(line) + 1 > LARGEST_DATAGRAM_BYTES:
            yield b"\n".join(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line) + 1
    if waiting:
        yield b"\n".join(waiting)
