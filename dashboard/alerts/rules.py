"""Alerting rules as data, from a rule file or from Prometheus's answer. Judges nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


class RuleFileError(ValueError):
    """A rule file cannot be read as rules; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `kind` is "alert" or "record"."""

    name: str
    group: str
    query: str
    kind: str = "alert"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    error: str = ""  # what Prometheus says of its last evaluation


def from_file(path: Path) -> tuple[Rule, ...]:
    """The rules of a Prometheus rule file.

    Raises:
        RuleFileError: it cannot be read, or is no rule file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        raise RuleFileError(f"{path} cannot be read ({why}).") from why
    return from_text(text, str(path))


def from_text(text: str, source: str = "the rules") -> tuple[Rule, ...]:
    """The rules of a rule file's text.

    Raises:
        RuleFileError: it is no rule file.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as why:
        raise RuleFileError(f"{source}: not YAML ({' '.join(str(why).split())}).") from why
    except RecursionError as why:
        raise RuleFileError(f"{source}: nested too deeply to be rules.") from why
    groups = document.get("groups") if isinstance(document, dict) else None
    if not isinstance(groups, list):
        raise RuleFileError(f"{source}: no list called groups.")
    found: list[Rule] = []
    for group in groups:
        if not isinstance(group, dict) or not isinstance(group.get("rules"), list):
            raise RuleFileError(f"{source}: a group without a list called rules.")
        found.extend(_rule(rule, str(group.get("name", "")), source) for rule in group["rules"])
    return tuple(found)


def from_prometheus(groups: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules in an answer of /api/v1/rules."""
    return tuple(
        Rule(
            name=str(rule.get("name", "")),
            group=str(group.get("name", "")),
            query=str(rule.get("query", "")),
            kind="record" if rule.get("type") == "recording" else "alert",
            labels=_texts(rule.get("labels")),
            annotations=_texts(rule.get("annotations")),
            error=str(rule.get("lastError") or ""),
        )
        for group in groups
        for rule in group.get("rules") or ()
    )


def recordings(rules: Sequence[Rule]) -> frozenset[str]:
    """The names that the recording rules among these make."""
    return frozenset(rule.name for rule in rules if rule.kind == "record")


def _rule(rule: object, group: str, source: str) -> Rule:
    if not isinstance(rule, dict) or "expr" not in rule or not ("alert" in rule or "record" in rule):
        raise RuleFileError(f"{source}: a rule of group {group!r} has no alert or record, or no expr.")
    return Rule(
        name=str(rule.get("alert") or rule.get("record")),
        group=group,
        query=str(rule["expr"]),
        kind="alert" if "alert" in rule else "record",
        labels=_texts(rule.get("labels")),
        annotations=_texts(rule.get("annotations")),
    )


def _texts(mapping: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping.items()} if isinstance(mapping, dict) else {}
