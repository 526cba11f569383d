"""From a Markdown page to its parts: text to show, steps to tick off, checks to run.

A page is plain Markdown that reads well on a forge: YAML front matter, the five headings, `- [ ]` items as steps, and
in them fenced blocks with a table of verdicts right after: ```promql id=NAME range=30m unit=bytes holds a query, ```nvml
id=NAME, ```log id=NAME and ```benchmark id=NAME hold a question of `dashboard.runbooks.questions`, by name. ```action
id=NAME names something to offer. A page that is not quite so is still read; what is wrong with it is in
`Runbook.problems`. Raw HTML is never taken as HTML.
"""

import datetime as dt
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from dashboard.alerts import promql
from dashboard.catalogue.units import (
    BYTES,
    CELSIUS,
    COUNT,
    HERTZ,
    NUMBER,
    PERCENT,
    RATIO,
    SECONDS,
    WATTS,
    Unit,
)
from dashboard.runbooks import actions, calls, questions, template
from dashboard.runbooks.actions import Action
from dashboard.runbooks.calls import CallError
from dashboard.runbooks.questions import SOURCES, Call
from dashboard.runbooks.verdict import Row

HEADINGS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention")
DRAWN = "1h"  # how far back a query is drawn unless the page says otherwise

# What a page may call the unit of a query's answer; the questions have theirs by declaration.
UNITS: Mapping[str, Unit] = {
    unit.name.replace("degrees Celsius", "celsius"): unit
    for unit in (NUMBER, COUNT, RATIO, PERCENT, SECONDS, BYTES, WATTS, CELSIUS, HERTZ)
}

_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_TASK = re.compile(r"\[[ xX]\]\s+")
_ID = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Text:
    """Markdown to show, placeholders not yet filled."""

    markdown: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do and to tick off. `id` is made of its words, so ticks survive edits elsewhere on the page."""

    id: str
    markdown: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question to Prometheus."""

    promql: str  # with placeholders
    range_seconds: (
        float | None
    )  # how far back to draw it; None (range=none): asking often would cost too much


@dataclass(frozen=True, slots=True)
class Check:
    """Something to ask for this alert's labels and how to read its answer."""

    id: str
    asks: Query | Call
    unit: Unit  # of the answer, and so of the numbers in the table
    rows: tuple[Row, ...]
    line: int


Piece = Text | Step | Check | Action


@dataclass(frozen=True, slots=True)
class Section:
    """One heading and what stands under it, in order."""

    title: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Runbook:
    """One page. `site` is true where it comes from a folder of the operator's and not from the package."""

    name: str
    title: str
    severity: str
    component: str
    owner: str
    reviewed: dt.date | None
    sections: tuple[Section, ...]
    problems: tuple[str, ...]
    path: Path
    site: bool

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Every piece of the page, in order."""
        return tuple(piece for section in self.sections for piece in section.pieces)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check of the page, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Check))

    @property
    def actions(self) -> tuple[Action, ...]:
        """Every action the page offers, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Action))

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step of the page, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Step))

    def section(self, title: str) -> Section | None:
        """The section under a heading, or None."""
        return next((section for section in self.sections if section.title == title), None)


def read(name: str, text: str, *, path: Path, site: bool = False) -> Runbook:
    """The parts of one page. Never raises for what the page says: see `Runbook.problems`."""
    problems: list[str] = []
    front, body = _front_matter(text, problems)
    reader = _Page(body, first_line=text.count("\n") - body.count("\n"), problems=problems)
    sections = tuple(reader.sections())
    problems.extend(_missing(sections))
    said = front.get("alert", name)
    if said != name:
        problems.append(f"front matter: alert is {said!r}, the file is called {name!r}")
    reviewed = front.get("reviewed")
    return Runbook(
        name=name,
        title=str(front.get("title") or name),
        severity=str(front.get("severity") or ""),
        component=str(front.get("component") or ""),
        owner=str(front.get("owner") or ""),
        reviewed=reviewed
        if isinstance(reviewed, dt.date) and not isinstance(reviewed, dt.datetime)
        else None,
        sections=sections,
        problems=tuple(problems),
        path=path,
        site=site,
    )


def _front_matter(text: str, problems: list[str]) -> tuple[Mapping[str, Any], str]:
    found = _FRONT.match(text)
    if found is None:
        problems.append("no front matter (--- … ---) at the top")
        return {}, text
    try:
        front = yaml.safe_load(found[1])
    except yaml.YAMLError as why:
        problems.append(f"front matter: not YAML ({str(why).splitlines()[0]})")
        return {}, text[found.end() :]
    if not isinstance(front, dict):
        problems.append("front matter: key: value expected")
        return {}, text[found.end() :]
    return front, text[found.end() :]


def _missing(sections: tuple[Section, ...]) -> Iterator[str]:
    titles = [section.title for section in sections]
    for heading in HEADINGS:
        if heading not in titles:
            yield f"heading {heading!r} is missing"
    for section in sections:
        if section.title in HEADINGS and not section.pieces:
            yield f"heading {section.title!r} is empty"


class _Page:
    """The walk through one page's blocks; collects what is wrong on the way."""

    def __init__(self, body: str, *, first_line: int, problems: list[str]) -> None:
        self._lines = body.splitlines()
        self._first_line = first_line + 1
        self._problems = problems
        self._ids: set[str] = set()
        self._root = SyntaxTreeNode(MarkdownIt("js-default").parse(body))

    def sections(self) -> Iterator[Section]:
        """The sections under second-level headings; what stands before the first is left out."""
        title, blocks = "", list[SyntaxTreeNode]()
        for block in self._root.children:
            if block.type == "heading" and block.tag == "h2":
                if title:
                    yield Section(title, tuple(self._merged(self._pieces(blocks))))
                title, blocks = block.children[0].content.strip(), []
            else:
                blocks.append(block)
        if title:
            yield Section(title, tuple(self._merged(self._pieces(blocks))))

    def _pieces(self, blocks: list[SyntaxTreeNode]) -> Iterator[Piece]:
        skip = None
        for i, block in enumerate(blocks):
            if block is skip:
                continue
            info = block.info.split() if block.type == "fence" else []
            if info[:1] in (["promql"], *([source] for source in SOURCES)):
                table = blocks[i + 1] if i + 1 < len(blocks) and blocks[i + 1].type == "table" else None
                check = self._check(block, table)
                if check is not None:
                    yield check
                skip = table
            elif info[:1] == ["action"]:
                action = self._action(block)
                if action is not None:
                    yield action
            elif block.type in {"bullet_list", "ordered_list"} and any(map(_is_task, block.children)):
                for item in block.children:
                    yield from self._item(item)
            else:
                yield Text(self._source(block, block))

    def _item(self, item: SyntaxTreeNode) -> Iterator[Piece]:
        if not _is_task(item):
            yield Text(self._source(item, item))
            return
        first, *rest = item.children
        words = _TASK.sub("", first.children[0].content, count=1)
        yield Step(self._unique(_slug(words)), words)
        yield from self._pieces(rest)

    def _check(self, fence: SyntaxTreeNode, table: SyntaxTreeNode | None) -> Check | None:
        """The check, or None where nobody could ask it."""
        line, source = self._line(fence), fence.info.split()[0]
        options = self._options(fence, {"id", "range", "unit"} if source == "promql" else {"id"})
        identity = self._named(options, fence)
        asks: Query | Call
        if source == "promql":
            self._prove(fence.content, line)
            asks = Query(fence.content.strip(), self._seconds(options.get("range"), line))
            unit = UNITS.get(options.get("unit", "number"))
            if unit is None:
                self._problems.append(f"line {line}: unit={options['unit']} is none of {', '.join(UNITS)}")
        else:
            try:
                asks = questions.parse(source, fence.content)  # type: ignore[arg-type]  # one of SOURCES
            except CallError as why:
                self._problems.append(f"line {line}: {why}")
                return None
            unit = asks.question.unit
        rows = tuple(self._rows(table)) if table else ()
        if not rows:
            self._problems.append(f"line {line}: check {identity!r} has no verdicts (a table right after it)")
        return Check(self._unique(identity), asks, unit or NUMBER, rows, line)

    def _action(self, fence: SyntaxTreeNode) -> Action | None:
        line = self._line(fence)
        identity = self._named(self._options(fence, {"id"}), fence)
        try:
            name, given = calls.parse(fence.content, actions.KNOWN)
        except CallError as why:
            self._problems.append(f"line {line}: {why}")
            return None
        return Action(self._unique(identity), name, given, line)

    def _options(self, fence: SyntaxTreeNode, known: set[str]) -> dict[str, str]:
        options = dict(word.partition("=")[::2] for word in fence.info.split()[1:])
        unknown = options.keys() - known
        if unknown:
            self._problems.append(
                f"line {self._line(fence)}: unknown option {', '.join(sorted(unknown))} of a block of {fence.info.split()[0]}"
            )
        return options

    def _named(self, options: Mapping[str, str], fence: SyntaxTreeNode) -> str:
        """The block's id; what is wrong with it is noted."""
        identity, line, kind = options.get("id", ""), self._line(fence), fence.info.split()[0]
        if not _ID.fullmatch(identity):
            self._problems.append(f"line {line}: a block of {kind} needs id=… of a-z, 0-9 and -")
            return kind
        if identity in self._ids:
            self._problems.append(f"line {line}: the id {identity!r} stands twice")
        return identity

    def _prove(self, query: str, line: int) -> None:
        """A query must parse with ordinary labels in it, and refuse to be anything else with hostile ones."""
        try:
            labels = dict.fromkeys(template.holes(query), "x")
            promql.parse(
                template.promql(query, template.Context(labels=labels, value=1.0, start=0.0, end=1.0))
            )
        except (template.TemplateError, promql.PromQLError) as why:
            self._problems.append(f"line {line}: {why}")

    def _rows(self, table: SyntaxTreeNode) -> Iterator[Row]:
        body = next((part for part in table.children if part.type == "tbody"), None)
        for row in body.children if body else ():
            cells = [cell.children[0].content.strip() if cell.children else "" for cell in row.children]
            when, level, means = (*cells, "", "", "")[:3]
            if level not in {"ok", "warn", "bad"}:
                self._problems.append(
                    f"line {self._line(row)}: the verdict is {level!r}, not ok, warn or bad"
                )
                continue
            try:
                yield Row(when.strip("` "), level, means)  # type: ignore[arg-type]  # checked two lines above
            except ValueError as why:
                self._problems.append(f"line {self._line(row)}: {why}")

    def _seconds(self, duration: str | None, line: int) -> float | None:
        if duration == "none":
            return None
        try:
            return float(promql_parser.parse_duration(duration or DRAWN).total_seconds())
        except ValueError:
            self._problems.append(f"line {line}: range={duration} is no duration")
            return None

    def _unique(self, identity: str) -> str:
        chosen, number = identity, 2
        while chosen in self._ids:
            chosen, number = f"{identity}-{number}", number + 1
        self._ids.add(chosen)
        return chosen

    def _source(self, first: SyntaxTreeNode, last: SyntaxTreeNode) -> str:
        start, end = (first.map or (0, 0))[0], (last.map or (0, 0))[1]
        return textwrap.dedent("\n".join(self._lines[start:end])).strip()

    def _line(self, block: SyntaxTreeNode) -> int:
        return self._first_line + (block.map or (0, 0))[0]

    @staticmethod
    def _merged(pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Neighbouring texts as one."""
        waiting: Text | None = None
        for piece in pieces:
            if isinstance(piece, Text):
                waiting = Text(f"{waiting.markdown}\n\n{piece.markdown}") if waiting else piece
                continue
            if waiting:
                yield waiting
                waiting = None
            yield piece
        if waiting:
            yield waiting


def _is_task(item: SyntaxTreeNode) -> bool:
    first = item.children[0] if item.children else None
    return (
        first is not None
        and first.type == "paragraph"
        and bool(_TASK.match(first.children[0].content))
    )  # fmt: skip


def _slug(words: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return plain[:60].rstrip("-") or "step"
