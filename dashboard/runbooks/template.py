"""Filling an alert's own values into a runbook page. No engine: four names, and a rule for each place they stand in.

    {{ $labels.NAME }}   a label of the alert; empty where the alert does not carry it
    {{ $value }}         the alert's value        {{ $from }}  {{ $to }}   its beginning and now, in unix seconds

Label values come from outside. In PromQL they may stand only inside a double-quoted string, escaped, so that no value
can become PromQL; elsewhere only numbers may stand. `{{ $labels.NAME | re }}` also escapes RE2, for =~.
"""

import math
import re
import shlex
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dashboard.alerts.markdown import escape

_HOLE = re.compile(
    r"\{\{\s*\$(labels\.(?P<label>[a-zA-Z_]\w*)|(?P<number>value|from|to))\s*(?P<re>\|\s*re\s*)?\}\}"
)
_ANY_HOLE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<mark>```+|~~~+)[^\n]*\n.*?^[ \t]*(?P=mark)[ \t]*$", re.DOTALL | re.MULTILINE
)
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_DESTINATION = re.compile(r"\]\([^()\n]*\)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CODED = re.compile(
    r"[\x00-\x1f\x7f$]"
)  # a dollar too: $run and its like are filled in later, and only where we wrote them
_RE2 = re.compile(r"([\\.+*?()|\[\]{}^$])")


class TemplateError(ValueError):
    """A placeholder stands where no value from outside may stand, or is none of ours."""


@dataclass(frozen=True, slots=True)
class Context:
    """What one alert fills in. Times are unix seconds; None is unknown."""

    labels: Mapping[str, str] = field(default_factory=dict)
    value: float | None = None
    start: float | None = None
    end: float | None = None

    def number(self, name: str) -> str:
        """The number a hole asks for, in a form PromQL and a person read; NaN where it is unknown."""
        number = {"value": self.value, "from": self.start, "to": self.end}[name]
        if number is None or math.isnan(number):
            return "NaN"
        if math.isinf(number):
            return "+Inf" if number > 0 else "-Inf"
        return f"{number:.10g}" if name == "value" else f"{number:.0f}"


def promql(template: str, context: Context) -> str:
    """The query with this alert's values in it.

    Raises:
        TemplateError: a label stands outside a double-quoted string, or a placeholder is none of ours.
    """
    filled: list[str] = []
    quote = ""  # the string or comment we are in: ", ', `, # or none
    at = 0
    while at < len(template):
        if template.startswith("{{", at):
            hole = _HOLE.match(template, at)
            if hole is None:
                raise TemplateError(f"{template[at : at + 30]!r} is no placeholder of a runbook.")
            filled.append(_in_promql(hole, quote, context))
            at = hole.end()
            continue
        letter = template[at]
        if quote in {'"', "'"} and letter == "\\":
            if template.startswith("{{", at + 1):
                raise TemplateError("A placeholder may not follow a backslash.")
            filled.append(template[at : at + 2])
            at += 2
            continue
        if quote == "#":
            quote = "" if letter == "\n" else quote
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'`#":
            quote = letter
        filled.append(letter)
        at += 1
    return "".join(filled)


def markdown(template: str, context: Context) -> str:
    """Markdown text with this alert's values in it: escaped in prose, percent-encoded in a link's destination,
    quoted for the shell in a code block, as they are in inline code.

    Raises:
        TemplateError: a placeholder is none of ours.
    """
    pieces = ((_FENCE, _shell), (_CODE, _inline_code), (_DESTINATION, _url))
    return _by_place(template, context, pieces)


def words(template: str, context: Context) -> str:
    """What a question is asked with, with this alert's values as they are: nothing reads them as anything but words.

    Raises:
        TemplateError: a placeholder is none of ours.
    """
    return _fill(template, context, str)


def holes(template: str) -> frozenset[str]:
    """The label names a text asks for.

    Raises:
        TemplateError: a placeholder is none of ours.
    """
    found = set()
    for braces in _ANY_HOLE.finditer(template):
        hole = _HOLE.fullmatch(braces.group())
        if hole is None:
            raise TemplateError(f"{braces.group()!r} is no placeholder of a runbook.")
        if hole["label"]:
            found.add(hole["label"])
    return frozenset(found)


Way = Callable[[str], str]


def _by_place(
    text: str, context: Context, places: tuple[tuple[re.Pattern[str], Way], ...], otherwise: Way | None = None
) -> str:
    """Fill each place in its own way: the text between matches of the first pattern is searched with the rest."""
    if not places:
        return _fill(text, context, otherwise or escape)
    (pattern, way), *rest = places
    filled, last = [], 0
    for place in pattern.finditer(text):
        filled.append(_by_place(text[last : place.start()], context, tuple(rest), otherwise))
        filled.append(_fill(place.group(), context, way))
        last = place.end()
    filled.append(_by_place(text[last:], context, tuple(rest), otherwise))
    return "".join(filled)


def _fill(text: str, context: Context, way: Way) -> str:
    def one(braces: re.Match[str]) -> str:
        hole = _HOLE.fullmatch(braces.group())
        if hole is None:
            raise TemplateError(f"{braces.group()!r} is no placeholder of a runbook.")
        if hole["number"]:
            return context.number(hole["number"])
        return way(context.labels.get(hole["label"], ""))

    return _ANY_HOLE.sub(one, text)


def _in_promql(hole: re.Match[str], quote: str, context: Context) -> str:
    if hole["number"]:
        if quote == "#":
            raise TemplateError("A placeholder may not stand in a comment.")
        return context.number(hole["number"])
    if quote != '"':
        where = {"": "outside a string", "#": "in a comment"}.get(quote, f"inside {quote}…{quote}")
        raise TemplateError(f'The label {hole["label"]!r} stands {where}; it may stand only inside "…".')
    value = context.labels.get(hole["label"], "")
    if hole["re"]:
        value = _RE2.sub(r"\\\1", value)
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return _CODED.sub(lambda letter: f"\\x{ord(letter.group()):02x}", value)


def _url(value: str) -> str:
    return urllib.parse.quote(value, safe="")


def _shell(value: str) -> str:
    return shlex.quote(_CONTROL.sub(" ", value))


def _inline_code(value: str) -> str:
    return _CONTROL.sub(" ", value).replace("`", "'")
