"""Grafana Loki as a source of log lines: the same questions and the same answers as `collectors.logs` has for files.

    page = Loki("http://loki:3100", '{job="moe-router"}').tail(level="error", limit=200)

Written after Grafana's documentation ("Loki HTTP API", "Log queries") and tested on answers in its shapes, not against a
Loki. What is looked for is pushed into LogQL as far as that can only leave lines out that would not pass; whether a
line passes is then decided here, exactly as for a file. Lines are the observer's JSON, however they came to Loki.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from collectors.logs.line import EVENT_KEYS, LOGGER_KEYS, LogLine, Malformed, level_patterns, parse, rank
from collectors.logs.tail import LONGEST_RAW, LogPage
from collectors.logs.wanted import PLAIN, Wanted
from collectors.prometheus.connection import HttpError, Session, without_credentials
from collectors.unavailable import Unavailable

MOST_ENTRIES = 5000  # Loki's own default of max_entries_limit_per_query; a query for more is refused
MOST_QUERIES = 8  # for one page: what Loki cannot narrow down may leave few lines of each
SPAN_SECONDS = 24 * 3600.0  # searched by one query
REACH_SECONDS = 30 * 24 * 3600.0  # nothing older is asked for; Loki itself refuses more than that by default

_SECOND_NS = 1_000_000_000
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")  # what RE2 gives a meaning to

Entry = tuple[int, str, Mapping[str, str]]  # nanoseconds since 1970, line, labels of its stream


class Loki:
    """One Loki. Safe to share between threads.

    Args:
        url: with the path prefix, if there is one.
        selector: the streams, as in LogQL: `{job="moe-router"}`.
        headers: sent with every request, e.g. X-Scope-OrgID or Authorization.
        timeout_seconds: of every query, from the first packet to the last byte.
        clock: unix time.
    """

    def __init__(
        self, url: str, selector: str, *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._base = url.rstrip("/")
        self.url = without_credentials(self._base)
        self.selector = selector
        self.timeout_seconds = timeout_seconds
        self._headers = dict(headers or {})
        self._clock = clock
        self._session = Session(self._base, name=self.url, auth=None, ca_file=None, client_cert=None, pool=4)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def tail(
        self,
        *,
        limit: int = 200,
        level: str | None = None,
        event: str | None = None,
        logger: str | None = None,
        text: str | None = None,
        run_id: str | None = None,
        generation: int | None = None,
        trace_id: str | None = None,
        only_malformed: bool = False,
        resume: Mapping[Path, int] | None = None,
    ) -> LogPage:
        """The newest `limit` lines that pass, a few more where several are of one moment; the arguments are those of `collectors.logs.tail`.

        In a line's `path` stands the name of its stream, in `offset` its time in Loki (ns). A page of one look covers
        at most eight days; `LogPage.resume` goes on from there, back to thirty days ago.

        Raises:
            Unavailable: kinds of a connection (refused, dns, tls, timeout, truncated, redirect, http-<code>), not-json,
                not-loki. A query that Loki refuses is http-400, with its own words.
            ValueError: `level` is no level.
        """
        wanted = Wanted(level, event, logger, text, run_id, generation, trace_id)
        query = self.selector if only_malformed else logql(self.selector, wanted)
        now_ns = int(self._clock() * _SECOND_NS)
        oldest_ns = now_ns - int(REACH_SECONDS * _SECOND_NS)
        end_ns = (resume or {}).get(self._place, now_ns + _SECOND_NS)  # exclusive; clocks differ a little
        lines: list[LogLine] = []
        malformed = scanned = 0
        for _ in range(MOST_QUERIES):
            if end_ns <= oldest_ns or len(lines) >= limit:
                break
            start_ns = max(oldest_ns, end_ns - int(SPAN_SECONDS * _SECOND_NS))
            entries, read = self._query_range(query, start_ns, end_ns, min(limit + 1, MOST_ENTRIES))
            scanned += read
            entries, end_ns = _whole_moments(entries, start_ns, min(limit + 1, MOST_ENTRIES))
            newer_ns = end_ns
            for when_ns, raw, labels in entries:
                if len(lines) >= limit and when_ns < newer_ns:
                    end_ns = newer_ns  # lines of one moment stay together: Loki can be asked by time alone
                    break
                newer_ns = when_ns
                line, well_formed = _line(when_ns, raw, labels)
                malformed += not well_formed
                if not well_formed if only_malformed else well_formed and wanted.accepts(line):
                    lines.append(line)
        left = end_ns > oldest_ns
        return LogPage(
            lines=tuple(lines),
            malformed=malformed,
            scanned_bytes=scanned,
            exhausted=not left,
            resume={self._place: end_ns} if left else {self._place: 0},
        )

    @property
    def _place(self) -> Path:
        return Path(self.url)

    def _query_range(self, query: str, start_ns: int, end_ns: int, limit: int) -> tuple[list[Entry], int]:
        """Entries from `start_ns` up to `end_ns` (exclusive), newest first, and how many bytes Loki read for them."""
        asked: dict[str, str | int] = {
            "query": query,
            "start": start_ns,
            "end": end_ns,
            "limit": limit,
            "direction": "backward",
        }
        try:
            response = self._session.get(
                f"{self._base}/loki/api/v1/query_range",
                params=asked,
                headers=self._headers,
                timeout=self.timeout_seconds,
            )
        except HttpError as why:
            words = why.body.decode(errors="replace").strip()
            if not words or words.startswith("<"):
                raise
            raise Unavailable(
                f"{self.url} answered {why.code}: {words[:500]}", advice=why.advice, kind=why.kind
            ) from why
        try:
            document = orjson.loads(response.content)
        except orjson.JSONDecodeError as why:
            raise self._not_loki("an answer that is not JSON", "not-json") from why
        try:
            data = document["data"]
            entries = list(_entries(data["result"]))
            read = int(((data.get("stats") or {}).get("summary") or {}).get("totalBytesProcessed") or 0)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as why:
            raise self._not_loki("JSON of another shape", "not-loki") from why
        return sorted(entries, key=lambda entry: -entry[0]), read

    def _not_loki(self, what: str, kind: str) -> Unavailable:
        return Unavailable(
            f"{self.url} gave {what}.",
            advice="Is this the URL of Loki, with its path prefix, and without a login page in front?",
            kind=kind,
        )


def logql(selector: str, wanted: Wanted) -> str:
    """The selector with line filters. They let every line through that passes, and some that do not.

    Only what JSON can write in one way alone is pushed down: plain ASCII without quotes, backslashes and slashes. The
    rarest comes first.
    """
    filters = [
        _field(("trace_id",), wanted.trace_id),
        _field(("run_id",), wanted.run_id),
        _field(EVENT_KEYS, wanted.event),
        _field(LOGGER_KEYS, wanted.logger, below=True),
        None if wanted.generation is None else rf'"generation"\s*:\s*{wanted.generation}(?:\D|$)',
        f"(?i){_literally(wanted.text)}" if wanted.text and PLAIN.fullmatch(wanted.text) else None,
        _levels(wanted.level),
    ]
    return " ".join([selector, *(f"|~ {quoted(pattern)}" for pattern in filters if pattern)])


def quoted(text: str) -> str:
    """A LogQL string, which is one of Go: JSON's escapes are a part of its own."""
    return orjson.dumps(text.encode(errors="replace").decode()).decode()


def _field(keys: tuple[str, ...], value: str | None, *, below: bool = False) -> str | None:
    if not value or not PLAIN.fullmatch(value):
        return None
    names = "|".join(map(_literally, keys))
    rest = r'(?:\.[^"]*)?' if below else ""
    return rf'"(?:{names})"\s*:\s*"?{_literally(value)}{rest}(?:\W|$)'


def _literally(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _levels(level: str | None) -> str | None:
    minimum = rank(level)
    if not minimum:
        return None
    return "|".join(pattern.pattern.decode() for _, pattern in level_patterns(minimum))


def _entries(result: list[Mapping[str, Any]]) -> Iterator[Entry]:
    for stream in result:
        labels = {str(name): str(value) for name, value in stream["stream"].items()}
        for entry in stream["values"]:
            if not isinstance(entry[1], str):
                raise TypeError("a line is text")
            yield int(entry[0]), entry[1], labels


def _whole_moments(entries: list[Entry], start_ns: int, asked: int) -> tuple[list[Entry], int]:
    """Entries of whole nanoseconds, and where the next query ends.

    A full answer may have been cut between two entries of one moment: those are left to the next query, which is asked
    up to and including that moment. Where all are of one moment, what lies beyond the limit is out of reach.
    """
    if len(entries) < asked:
        return entries, start_ns
    last = entries[-1][0]
    kept = [entry for entry in entries if entry[0] > last]
    return (kept, last + 1) if kept else (entries, last)


def _line(when_ns: int, raw: str, labels: Mapping[str, str]) -> tuple[LogLine, bool]:
    """A line, and whether it is a JSON object."""
    path = Path(
        labels.get("filename") or "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
    )
    when = datetime.fromtimestamp(when_ns / 1e9, UTC)
    try:
        line = parse(raw.encode(errors="replace"), path, when_ns)
    except Malformed:
        return LogLine(when, None, "", None, {}, raw[:LONGEST_RAW], path, when_ns), False
    return (line if line.time is not None else replace(line, time=when)), True
