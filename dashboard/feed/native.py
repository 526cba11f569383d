"""Native histograms under queries written for classic ones. Pure text.

A native histogram has no `_bucket`, `_sum` and `_count` series: its one series carries all three. Where a metric is
there as a native histogram alone, the catalogue's forms are rewritten to the functions of Prometheus's documentation
("histogram_quantile", "histogram_fraction", "histogram_count", "histogram_sum").
"""

import re

_SELECTOR = r"(?P<matchers>\{(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*\})?"
_LE = re.compile(r'\s*le\s*=~?\s*"([0-9.eE+-]+)(?:\|[^"]*)?"\s*,?')


def rewritten(promql: str, name: str) -> str:
    """The query with every classic form of `name` in its native form; unchanged where there is none."""
    if not re.search(rf"(?<![\w:]){name}_(bucket|sum|count)\b", promql):
        return promql
    rated = (
        rf"(?P<call>rate|increase)\(\s*{name}_(?P<part>bucket|sum|count){_SELECTOR}(?P<range>\[[^\]]+\])\s*\)"
    )
    text = re.sub(rated, lambda found: _native(name, found), promql)
    # histograms are summed whole: `le` is no label of theirs
    return re.sub(r"\bby\s*\(([^)]*)\)", _without_le, text)


def _native(name: str, found: "re.Match[str]") -> str:
    matchers = found["matchers"] or ""
    bound = _LE.search(matchers)
    rated = f"{found['call']}({name}{_LE.sub('', matchers)}{found['range']})"
    if found["part"] != "bucket":
        return f"histogram_{found['part']}({rated})"
    if bound is None:
        return rated
    return f"(histogram_fraction(0, {bound[1]}, {rated}) * histogram_count({rated}))"


def _without_le(found: "re.Match[str]") -> str:
    labels = [label.strip() for label in found[1].split(",") if label.strip() not in ("le", "")]
    return f"by ({', '.join(labels)})"
