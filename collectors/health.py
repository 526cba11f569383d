"""What another service's own health address says, in any of the shapes that services answer there.

    read("http://router:8080/health")  ->  Wellbeing(state="fail", said="database: gone", status=503, shape="json")

Understood: this guide's JSON (healthy), Spring Boot's (UP, DOWN), the IETF draft's health+json (pass, warn, fail), JSON
booleans and lists of checks, Kubernetes' `?verbose` text ([+]ping ok), one word (OK, Healthy), and else the HTTP status
alone. A web page is not well-being: servers of single-page applications answer 200 with HTML to anything. Redirects
are not followed, and nothing is read beyond a limit. Knows no setting; what is said comes from outside.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import requests

from collectors.prometheus.connection import without_credentials
from collectors.unavailable import Unavailable

State = Literal["pass", "warn", "fail"]
MOST_BYTES = 64 << 10
MOST_SAID = 500  # characters

_WORDS: Mapping[str, State] = {
    **dict.fromkeys(("ok", "okay", "up", "pass", "passed", "passing", "healthy", "alive", "live", "ready", "running",
                     "success", "serving", "green", "true", "pong"), "pass"),
    **dict.fromkeys(("warn", "warning", "degraded", "unknown", "yellow"), "warn"),
    **dict.fromkeys(("fail", "failed", "failing", "failure", "down", "unhealthy", "error", "critical", "out_of_service",
                     "not_serving", "not ready", "red", "false", "dead"), "fail"),
}  # fmt: skip
_VERDICTS = ("status", "healthy", "health", "ok", "passed", "success", "state", "up", "ready", "alive")
_PARTS = ("checks", "components", "details", "results", "entries", "dependencies", "services")
_NAMED = ("name", "checker", "check", "component", "componentId")
_SAID = ("message", "output", "error", "description", "reason")
_VERBOSE = re.compile(r"^\[([+-])\]\s?(.*)$", re.MULTILINE)
_WORST: Mapping[State, int] = {"pass": 0, "warn": 1, "fail": 2}
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Wellbeing:
    """One answer. `said` names what is not well, in the service's own words."""

    state: State
    said: str
    status: int  # of HTTP
    shape: Literal["json", "verbose", "word", "status", "page", "redirect"]


def read(url: str, *, timeout_seconds: float = 2.0, most_bytes: int = MOST_BYTES) -> Wellbeing:
    """Ask once.

    Raises:
        Unavailable: refused, dns, tls, timeout, or too-long; an HTTP error is an answer, not a failure to ask.
    """
    shown = without_credentials(url)
    ends = time.monotonic() + timeout_seconds
    try:
        with requests.get(
            url,
            timeout=timeout_seconds,
            allow_redirects=False,
            stream=True,
            headers={
                "Accept": "application/health+json, application/json;q=0.9, text/plain;q=0.8, */*;q=0.1"
            },
        ) as answer:
            body = bytearray()
            for piece in answer.iter_content(1):  # more would wait for all of it, however slowly it comes
                body += piece
                if len(body) > most_bytes:
                    raise Unavailable(
                        f"{shown} answers more than {most_bytes} bytes.", advice="Is this a health address?", kind="too-long"
                    )  # fmt: skip
                if time.monotonic() > ends:
                    raise requests.Timeout("the answer does not end")  # noqa: TRY301  one sentence for both
            return judge(answer.status_code, answer.headers.get("Content-Type", ""), bytes(body))
    except requests.Timeout as why:
        raise Unavailable(f"{shown} did not answer within {timeout_seconds:g} s.", kind="timeout") from why
    except requests.exceptions.SSLError as why:
        raise Unavailable(f"{shown}: the TLS connection failed.", kind="tls") from why
    except requests.RequestException as why:
        name_unknown = "resolve" in str(why).lower()
        raise Unavailable(
            f"{shown} {'has a name nobody knows' if name_unknown else 'cannot be reached'}.",
            kind="dns" if name_unknown else "refused",
        ) from why


def judge(status: int, content_type: str, body: bytes) -> Wellbeing:
    """What an answer means. Well needs both: a status below 300 and a body that does not say otherwise."""
    text = body.decode(errors="replace").strip()
    if 300 <= status < 400:
        return Wellbeing("fail", f"It answered a redirect (HTTP {status}).", status, "redirect")
    by_status: State = "pass" if 200 <= status < 300 else "fail"
    if "html" in content_type.lower() or text[:200].lower().startswith(("<!doctype", "<html")):
        return Wellbeing("fail", f"It answered a web page (HTTP {status}).", status, "page")
    try:
        document = json.loads(text) if text else None
    except (ValueError, RecursionError):
        document = None
    found: tuple[State, str] | None = None
    shape: Literal["json", "verbose", "word", "status"] = "json"
    if document is not None:
        found = _of_json(document)
    elif checks := _VERBOSE.findall(text):
        shape, failed = "verbose", [rest for sign, rest in checks if sign == "-"]
        found = ("fail", "; ".join(failed)) if failed else ("pass", "")
    elif (word := _WORDS.get(text.lower().rstrip(".!"))) is not None:
        shape, found = "word", (word, "" if word == "pass" else text)
    if found is None:
        words = "" if by_status == "pass" else f"HTTP {status}"
        return Wellbeing(by_status, words, status, "status")
    state = max(found[0], by_status, key=_WORST.__getitem__)
    said = found[1] or ("" if by_status == "pass" else f"HTTP {status}")
    return Wellbeing(state, said[:MOST_SAID], status, shape)


def _of_json(document: Any) -> tuple[State, str] | None:
    """The verdict of a document: its own word where it has one, else the worst of its parts; None where it says nothing."""
    own = _own(document)
    parts = [(name, state, words) for name, state, words in _parts(document) if state != "pass"]
    worst = max((state for _, state, _ in parts), key=_WORST.__getitem__, default=None)
    said = "; ".join(f"{name}: {words}" if words else name for name, _, words in parts if name)
    if own is None:
        if worst is not None:
            return worst, said
        return ("pass", "") if any(True for _ in _parts(document)) else None
    return own, said or ("" if own == "pass" else _words(document))


def _own(value: Any) -> State | None:
    if isinstance(value, bool):
        return "pass" if value else "fail"
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    if isinstance(value, Mapping):
        for key in _VERDICTS:
            said = value.get(key)
            if isinstance(said, bool | str) and (state := _own(said)) is not None:
                return state
    return None


def _parts(value: Any, depth: int = 0) -> Iterator[tuple[str, State, str]]:
    """Each check below a document, with its name, verdict and words."""
    if depth >= _DEEPEST:
        return
    if isinstance(value, Mapping):
        named = [value[key] for key in _PARTS if isinstance(value.get(key), Mapping | list)]
        if named:
            for group in named:
                yield from _members(group, depth)
        elif depth == 0:  # {"database": true, "queue": "ok"}
            yield from _members({key: one for key, one in value.items() if key not in _VERDICTS}, depth)
    elif isinstance(value, list):
        yield from _members(value, depth)


def _members(group: Any, depth: int) -> Iterator[tuple[str, State, str]]:
    pairs = group.items() if isinstance(group, Mapping) else [(str(at), one) for at, one in enumerate(group)]
    for key, one in pairs:
        name = (
            next((str(one[label]) for label in _NAMED if one.get(label)), str(key))
            if isinstance(one, Mapping)
            else str(key)
        )
        if isinstance(one, list):  # the IETF draft: a name has several measurements
            yield from ((f"{key}", state, words) for _, state, words in _members(one, depth + 1))
        elif (state := _own(one)) is not None:
            yield name, state, _words(one)
        else:
            yield from _parts(one, depth + 1)


def _words(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    return next((value[key] for key in _SAID if isinstance(value.get(key), str)), "")
