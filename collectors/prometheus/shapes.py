"""What Prometheus sends about its rules, alerts and targets, checked before anybody relies on it. Knows no meaning.

A proxy, a stand-in or a newer version may answer with JSON of its own: the first field that is of another kind makes the
whole answer one that cannot be believed. Fields that are absent or null stay so, and fields not named here pass.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from collectors.prometheus.decode import Malformed

Object = dict[str, Any]


def _text(value: object) -> bool:
    return isinstance(value, str)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


_ALERT = {"labels": _table, "annotations": _table, "state": _text, "activeAt": _text, "value": _text}
_RULE = {
    "name": _text, "query": _text, "state": _text, "health": _text, "type": _text, "lastError": _text, "duration": _number,
    "labels": _table, "annotations": _table, "lastEvaluation": _text,
}  # fmt: skip
_GROUP = {"name": _text, "file": _text, "interval": _number, "lastEvaluation": _text}
_TARGET = {
    "labels": _table, "discoveredLabels": _table, "health": _text, "lastError": _text, "lastScrape": _text,
    "scrapeInterval": _text, "scrapeUrl": _text,
}  # fmt: skip


def groups(items: object) -> list[Object]:
    """Rule groups with their rules and these with their alerts; raises Malformed."""
    found = _objects(items, "a rule group", _GROUP)
    for group in found:
        for rule in _objects(group.get("rules"), "a rule", _RULE):
            _objects(rule.get("alerts"), "an alert", _ALERT)
    return found


def alerts(items: object) -> list[Object]:
    """Alerts; raises Malformed."""
    return _objects(items, "an alert", _ALERT)


def targets(items: object) -> list[Object]:
    """Scrape targets; raises Malformed."""
    return _objects(items, "a target", _TARGET)


def tables(items: object) -> list[Object]:
    """Label sets; raises Malformed."""
    if not isinstance(items, list) or not all(map(_table, items)):
        raise Malformed("a label set is not written as Prometheus writes it", "not-prometheus")
    return items


def texts(items: object) -> list[str]:
    """Names or values of labels; raises Malformed."""
    if not isinstance(items, list) or not all(map(_text, items)):
        raise Malformed("a label is not written as Prometheus writes it", "not-prometheus")
    return items


def _objects(items: object, what: str, kinds: Mapping[str, Callable[[object], bool]]) -> list[Object]:
    if items is None:
        return []
    if not isinstance(items, list):
        raise Malformed(f"a list of {what.partition(' ')[2]}s is a {type(items).__name__}", "not-prometheus")
    for item in items:
        if not isinstance(item, dict):
            raise Malformed(f"{what} is a {type(item).__name__}", "not-prometheus")
        for field, right in kinds.items():
            value = item.get(field)
            if value is not None and not right(value):
                raise Malformed(f"{field} of {what} is a {type(value).__name__}", "not-prometheus")
    return items
