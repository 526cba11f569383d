"""Filters in Alertmanager's own words: `{alertname="ExpertDead", run_id=~"r[12]", severity!="none"}`.

Braces may be left out, values may stand without quotes where they are plain, and a comma or a space parts two matchers.
Knows no alert: only labels.
"""

import re
from collections.abc import Iterable, Mapping

from collectors.alertmanager import Matcher, re2

_TOKEN = re.compile(
    r"""\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_]*|"(?:[^"\\]|\\.)*")
        \s*(?P<operator>=~|!~|!=|=)
        \s*(?P<value>"(?:[^"\\\n]|\\.)*"|[^\s,"{}=!~]*)
        \s*(?P<end>,|(?=\s)|$)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
LONGEST = 2000


class MatcherError(ValueError):
    """The text is no filter; the message says where and what was expected."""


def parse(text: str) -> tuple[Matcher, ...]:
    """The matchers of a filter; none for an empty one.

    Raises:
        MatcherError: it does not parse, or a regular expression in it does not compile.
    """
    if len(text) > LONGEST:
        raise MatcherError(f"The filter has {len(text)} letters; at most {LONGEST} are read.")
    inner = text.strip()
    if inner.startswith("{") != inner.endswith("}"):
        raise MatcherError("A brace is open: write {…} around all of it, or leave both out.")
    inner = inner.removeprefix("{").removesuffix("}").strip()
    found: list[Matcher] = []
    at = 0
    while at < len(inner):
        token = _TOKEN.match(inner, at)
        if token is None:
            raise MatcherError(
                f'Expected name="value" (or !=, =~, !~) at {inner[at : at + 30]!r}, letter {at + 1}.'
            )
        found.append(_matcher(token["name"], token["operator"], token["value"]))
        at = token.end()
        while at < len(inner) and inner[at].isspace():
            at += 1
    return tuple(found)


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher holds; true for none."""
    return all(matcher.matches(labels) for matcher in matchers)


def written(matchers: Iterable[Matcher]) -> str:
    """The filter that parses to these matchers."""
    return "{" + ", ".join(map(str, matchers)) + "}"


def _matcher(name: str, operator: str, value: str) -> Matcher:
    matcher = Matcher(
        _unquoted(name), _unquoted(value), is_regex="~" in operator, is_equal="!" not in operator
    )
    if matcher.is_regex:
        try:
            re2(matcher.value, "")
        except ValueError as why:
            raise MatcherError(
                f"{matcher.value[:100]!r} is no regular expression of RE2, which has no look-around and no back references ({why})."
            ) from why
    return matcher


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], text[1:-1])
