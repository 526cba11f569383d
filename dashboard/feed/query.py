"""PromQL as text: its holes filled, its plain selectors recognised, its metric names found. Sends nothing."""

import re
from collections.abc import Iterable
from functools import lru_cache

_PLAIN = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^{}]*\})?\s*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[a-zA-Z_:][a-zA-Z0-9_:]*')
_PART = re.compile(r"_(bucket|sum|count)$")
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def fill(promql: str, run: str | None = None, instance: str | None = None, rate_seconds: float = 300) -> str:
    """Fill `$run` and `$instance` (inside a double-quoted regular expression; None means any) and `$rate` (a range).

    What comes from outside is escaped twice, once for RE2 and once for the string it stands in.
    """
    filled = {"$run": _literal(run), "$instance": _literal(instance), "$rate": duration(rate_seconds)}
    return re.sub(r"\$(run|instance|rate)\b", lambda hole: filled[hole[0]], promql)


def quoted(text: str) -> str:
    """A PromQL string with this text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def duration(seconds: float) -> str:
    """A PromQL duration: whole seconds where it can be, else milliseconds."""
    if seconds >= 1 and float(seconds).is_integer():
        return f"{int(seconds)}s"
    return f"{max(1, round(seconds * 1000))}ms"


def plain(promql: str) -> tuple[str, str] | None:
    """(metric name, matchers without braces) of a query that is one series selector and nothing else."""
    found = _PLAIN.fullmatch(promql)
    if not found or "__name__" in (found[2] or ""):
        return None
    return found[1], (found[2] or "{}")[1:-1].strip().strip(",")


def together(names: Iterable[str], matchers: str) -> str:
    """One selector for several names with the same matchers; it selects exactly what the single ones select together."""
    either = "|".join(sorted(names))
    return f'{{__name__=~"{either}"{"," + matchers if matchers else ""}}}'


def names(promql: str, known: Iterable[str]) -> set[str]:
    """Which of the known names stand in the query as a metric, `_bucket`, `_sum` and `_count` included."""
    stems = _stems(promql)
    return {name for name in known if name in stems}


@lru_cache(1024)  # the catalogue's queries come again at every refresh
def _stems(promql: str) -> frozenset[str]:
    words = {word for word in _TOKEN.findall(promql) if word[0] not in "\"'"}
    return frozenset(words | {_PART.sub("", word) for word in words})


def _literal(text: str | None) -> str:
    if text is None:
        return ".*"
    return quoted(_SPECIAL.sub(r"\\\1", text))[1:-1]
