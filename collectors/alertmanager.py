"""Alertmanager's v2 API: alerts, silences, status. One instance; who merges replicas is somebody else's business.

Knows no rule and no setting. Whatever goes wrong on the way is `Unavailable`; what a caller may not ask is ValueError.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from collectors.prometheus.connection import HttpError, Session, bearer, without_credentials
from collectors.unavailable import Unavailable

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label, as a silence or a filter has it. A label that is absent reads as empty."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def __str__(self) -> str:
        operator = ("!=", "=", "!~", "=~")[2 * self.is_regex + self.is_equal]
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{operator}"{value}"'

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a label set fulfils the condition; a regular expression is anchored at both ends.

        Raises:
            ValueError: the regular expression is none, see `re2`.
        """
        value = labels.get(self.name, "")
        hit = re2(self.value, value) if self.is_regex else value == self.value
        return hit is self.is_equal


@lru_cache(16_384)  # filters meet the same few values again and again
def re2(pattern: str, text: str) -> bool:
    """Whether an RE2 expression matches all of a text, as in Alertmanager; its time grows with the text alone.

    Python's own `re` would need years for (a+)+$ on forty letters, and hold every page meanwhile.

    Raises:
        ValueError: it is no regular expression of RE2, in RE2's words.
    """
    try:
        return bool(pc.match_substring_regex(pa.scalar(text), pattern=f"^(?:{pattern})$").as_py())
    except pa.ArrowInvalid as why:
        reason = str(why).removeprefix("Invalid regular expression: ").partition(": ^(?:")[0]
        raise ValueError(reason) from why


@dataclass(frozen=True, slots=True)
class Notified:
    """An alert as Alertmanager holds it. Times are unix seconds; `starts_at` is when it began to fire, not to pend."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: float
    ends_at: float
    updated_at: float
    fingerprint: str
    state: str  # active, suppressed, unprocessed
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    receivers: tuple[str, ...]
    generator_url: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence. `started` is its start letter for letter, which an extension must repeat to keep the id."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    state: str  # pending, active, expired
    started: str

    def mutes(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels falls under it."""
        return all(matcher.matches(labels) for matcher in self.matchers)


class Alertmanager:
    """One Alertmanager. Safe to share between threads.

    Args:
        url: with the path prefix, if there is one.
        timeout_seconds: of every call, from the first packet to the last byte.
        username, password, bearer_token, bearer_token_file, headers, ca_file, client_cert: as for `Prometheus`.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float = 5.0,
        *,
        username: str | None = None,
        password: str | None = None,
        bearer_token: str | None = None,
        bearer_token_file: Path | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: Path | None = None,
        client_cert: tuple[Path, Path] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self.url = without_credentials(self._url)
        self.timeout_seconds = timeout_seconds
        self.left_out = 0  # alerts of the last answer that could not be read; the others were
        auth = bearer(bearer_token, bearer_token_file) or ((username, password or "") if username else None)
        self._session = Session(
            self._url, name=self.url, auth=auth, ca_file=ca_file, client_cert=client_cert, pool=4
        )
        self._headers = dict(headers or {})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def alerts(self) -> list[Notified]:
        """Every alert it holds, silenced and inhibited ones included; `left_out` counts those that cannot be read."""
        found, self.left_out = self._read("/api/v2/alerts", _alert)
        return found

    def silences(self) -> list[Silence]:
        """Every silence it remembers, expired ones included; one that cannot be read is left out."""
        return self._read("/api/v2/silences", _silence)[0]

    def status(self) -> dict[str, Any]:
        """Cluster, version and configuration, as sent. Its `uptime` is the time it started."""
        answer = self._json("GET", "/api/v2/status")
        if not isinstance(answer, dict) or "cluster" not in answer:
            raise self._odd("/api/v2/status")
        return answer

    def create_silence(
        self,
        matchers: Sequence[Matcher],
        *,
        starts_at: float,
        ends_at: float,
        created_by: str,
        comment: str,
    ) -> str:
        """Make a silence and return its id.

        Raises:
            ValueError: no matcher, only matchers that match everything, no name, no comment, or it ends before it
                starts. Alertmanager itself would take some of these.
        """
        _check(matchers, starts_at, ends_at, created_by, comment)
        return self._post_silence(
            {
                "startsAt": _text(starts_at),
                "endsAt": _text(ends_at),
                "createdBy": created_by,
                "comment": comment,
            },
            matchers,
        )

    def extend_silence(self, silence: Silence, *, ends_at: float, created_by: str, comment: str) -> str:
        """Let a silence end at another time and return its id, which stays the same.

        Raises:
            ValueError: as for `create_silence`.
        """
        _check(silence.matchers, silence.starts_at, ends_at, created_by, comment)
        return self._post_silence(
            {
                "id": silence.id,
                "startsAt": silence.started,
                "endsAt": _text(ends_at),
                "createdBy": created_by,
                "comment": comment,
            },
            silence.matchers,
        )

    def expire_silence(self, silence_id: str) -> None:
        """End a silence now; it stays listed as expired. One that has ended already is no error.

        Raises:
            ValueError: that is no id.
        """
        if not re.fullmatch(r"[0-9a-fA-F-]{1,64}", silence_id):
            raise ValueError(f"{silence_id[:70]!r} is no id of a silence.")
        self._call("DELETE", f"/api/v2/silence/{silence_id}")

    def _post_silence(self, body: dict[str, Any], matchers: Sequence[Matcher]) -> str:
        body["matchers"] = [
            {"name": one.name, "value": one.value, "isRegex": one.is_regex, "isEqual": one.is_equal}
            for one in matchers
        ]
        answer = self._json("POST", "/api/v2/silences", orjson.dumps(body))
        if not isinstance(answer, dict) or not isinstance(answer.get("silenceID"), str):
            raise self._odd("/api/v2/silences")
        return cast("str", answer["silenceID"])

    def _read(self, path: str, one: Callable[[Any], _Item]) -> tuple[list[_Item], int]:
        """The items of a list, and how many could not be read. One odd item takes no other with it."""
        answer = self._json("GET", path)
        if not isinstance(answer, list):
            raise self._odd(path)
        found = []
        for item in answer:
            try:
                found.append(one(item))
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                continue
        if answer and not found:
            raise self._odd(path)
        return found, len(answer) - len(found)

    def _json(self, method: str, path: str, body: bytes | None = None) -> Any:
        content = self._call(method, path, body)
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as why:
            raise self._odd(path) from why

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        try:
            response = self._session.request(
                method, self._url + path, data=body, headers=headers, timeout=self.timeout_seconds
            )
        except HttpError as why:
            said = _said(why.body)
            if said:
                raise Unavailable(f"{self.url} refuses: {said}.", advice=why.advice, kind=why.kind) from why
            raise
        return cast("bytes", response.content)

    def _odd(self, path: str) -> Unavailable:
        return Unavailable(
            f"{self.url}{path} is not answered as an Alertmanager would.",
            advice="Is this the URL of an Alertmanager, with its path prefix, and without a login page in front?",
            kind="not-alertmanager",
        )


def _check(
    matchers: Sequence[Matcher], starts_at: float, ends_at: float, created_by: str, comment: str
) -> None:
    if not created_by.strip() or not comment.strip():
        raise ValueError("A silence needs the name of who makes it, and a comment.")
    if ends_at <= starts_at:
        raise ValueError("A silence ends after it starts.")
    if not matchers:
        raise ValueError("A silence needs at least one matcher.")
    if all(matcher.matches({}) for matcher in matchers):
        raise ValueError("These matchers would silence alerts without any label: name at least one value.")


def _said(body: bytes) -> str:
    """Alertmanager's own words: a JSON string, or an object with a message."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    text = answer if isinstance(answer, str) else answer.get("message") if isinstance(answer, dict) else None
    return " ".join(str(text).split())[:300].rstrip(".") if text else ""


def _alert(item: Mapping[str, Any]) -> Notified:
    status = item["status"]
    return Notified(
        labels=_texts(item["labels"]),
        annotations=_texts(item.get("annotations") or {}),
        starts_at=_time(item["startsAt"]),
        ends_at=_time(item["endsAt"]),
        updated_at=_time(item["updatedAt"]),
        fingerprint=_word(item["fingerprint"]),
        state=_word(status["state"]),
        silenced_by=tuple(map(_word, status.get("silencedBy") or ())),
        inhibited_by=tuple(map(_word, status.get("inhibitedBy") or ())),
        receivers=tuple(_word(receiver["name"]) for receiver in item.get("receivers") or ()),
        generator_url=_word(item.get("generatorURL") or ""),
    )


def _silence(item: Mapping[str, Any]) -> Silence:
    matchers = tuple(
        Matcher(_word(one["name"]), _word(one["value"]), bool(one["isRegex"]), bool(one.get("isEqual", True)))
        for one in item["matchers"]
    )
    for matcher in matchers:
        matcher.matches({})  # a regular expression that is none makes no silence
    return Silence(
        id=_word(item["id"]),
        matchers=matchers,
        starts_at=_time(item["startsAt"]),
        ends_at=_time(item["endsAt"]),
        created_by=_word(item.get("createdBy") or ""),
        comment=_word(item.get("comment") or ""),
        state=_word(item["status"]["state"]),
        started=_word(item["startsAt"]),
    )


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def _texts(mapping: Mapping[str, object]) -> dict[str, str]:
    return {name: _word(value) for name, value in mapping.items()}


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
