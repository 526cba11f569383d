"""How a page names something of ours: a known name, then name="words" for what goes with it.

    last-line-seconds text="out of memory" run="{{ $labels.run_id }}"

Words are handed on as they are and never become anything else: no query, no path, no code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import promql_parser

from collectors.logs import LEVELS
from dashboard.benchmark.spec import PROFILES
from dashboard.runbooks import template

Kind = Literal["word", "duration", "level", "profile"]
_CHOICES: Mapping[Kind, tuple[str, ...]] = {"level": LEVELS, "profile": tuple(PROFILES)}

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_GIVEN = re.compile(r'\s+([a-z]+)="([^"\\\n]*)"')


class CallError(ValueError):
    """The page names nothing of ours, or gives it words it does not take; the message says which."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What may go with a name; left out it is `default`. Only free words may hold placeholders."""

    about: str
    default: str = ""
    kind: Kind = "word"


def parse(text: str, known: Mapping[str, Mapping[str, Parameter]]) -> tuple[str, dict[str, str]]:
    """The name and what goes with it, placeholders not yet filled.

    Args:
        text: what stands in the page.
        known: name -> parameter -> what it takes.

    Raises:
        CallError: no such name or parameter, or words that the parameter does not take.
    """
    text = text.strip()
    found = _NAME.match(text)
    name = found.group() if found else ""
    if name not in known:
        raise CallError(f"{text[:60]!r} is none of ours; there are {', '.join(sorted(known))}.")
    rest, given = text[len(name) :], dict[str, str]()
    while rest:
        word = _GIVEN.match(rest)
        if word is None:
            raise CallError(f'{rest.strip()[:40]!r} is not name="words" (no backslash, no line break).')
        if word[1] not in known[name]:
            raise CallError(f"{name} takes {', '.join(known[name]) or 'nothing'}, and not {word[1]}.")
        if word[1] in given:
            raise CallError(f"{word[1]} stands twice.")
        _prove(known[name][word[1]], word[2])
        given[word[1]] = word[2]
        rest = rest[word.end() :]
    return name, given


def filled(
    given: Mapping[str, str], parameters: Mapping[str, Parameter], context: template.Context
) -> dict[str, str]:
    """Every parameter, with this alert's values in it."""
    return {
        name: template.words(given.get(name, parameter.default), context)
        for name, parameter in parameters.items()
    }


def _prove(parameter: Parameter, words: str) -> None:
    if parameter.kind in _CHOICES and words not in _CHOICES[parameter.kind]:
        raise CallError(f"{words!r} is none of {', '.join(_CHOICES[parameter.kind])}.")
    try:
        if parameter.kind == "word":
            template.holes(words)
        elif parameter.kind == "duration":
            promql_parser.parse_duration(words)
    except template.TemplateError as why:
        raise CallError(str(why)) from why
    except ValueError as why:
        raise CallError(f"{words!r} is no duration like 30m.") from why
