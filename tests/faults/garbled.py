"""Documents as a broken program, a cut connection or an enemy would send them: strategies for hypothesis.

`garbled` takes a document that is right and replaces, removes or doubles a few of its nodes, so that a reader is led
deep into it before it meets what it did not expect.
"""

import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# enough to notice a new mistake on every run; FAULTS_EXAMPLES=5000 looks for old ones
thorough = settings(
    max_examples=int(os.environ.get("FAULTS_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[*HealthCheck],
)

HOSTILE = (
    "", "\x00", "\x1b[31m", "\u202e", "\U0001f98a", "NaN", "-0", "1e999", "9" * 400, "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00+23:59", "<script>alert(1)</script>", "javascript:alert(1)",
    "{{ $labels.x }}", '"} or vector(1) #', "../../etc/passwd", "a" * 5000, "=", "AAAA====", "٣", "%00", "\n", "(" * 50,
)  # fmt: skip
NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 1e308, -1e308, 5e-324, 0.1, 10**400)

hostile_texts = st.sampled_from(HOSTILE) | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | hostile_texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_texts, inner, max_size=3),
    max_leaves=6,
)

Step = tuple[Any, ...]


def _nodes(document: Any, path: Step = ()) -> list[Step]:
    found = [path]
    if isinstance(document, dict):
        for key, value in document.items():
            found += _nodes(value, (*path, key))
    elif isinstance(document, list):
        for at, value in enumerate(document):
            found += _nodes(value, (*path, at))
    return found


@st.composite
def garbled(draw: st.DrawFn, document: Any, most: int = 3) -> Any:
    """The document with one to `most` of its nodes replaced by anything, taken out or written twice."""
    damaged = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from(_nodes(damaged)))
        if not path:
            if draw(st.integers(0, 20)) == 0:
                damaged = draw(anything)
            continue
        holder = damaged
        for step in path[:-1]:
            holder = holder[step]
        how = draw(st.sampled_from(("replace", "replace", "remove", "double")))
        if how == "replace":
            holder[path[-1]] = draw(anything)
        elif how == "remove":
            del holder[path[-1]]
        elif isinstance(holder, list):
            holder.append(holder[path[-1]])
        else:
            holder[draw(hostile_texts)] = holder[path[-1]]
    return damaged


@st.composite
def torn(draw: st.DrawFn, body: bytes) -> bytes:
    """The bytes cut off, with a piece missing, with some overwritten, or nothing but noise."""
    how = draw(st.sampled_from(("cut", "hole", "noise", "overwritten", "nested")))
    first = draw(st.integers(0, len(body)))
    if how == "cut":
        return body[:first]
    if how == "hole":
        return body[:first] + body[draw(st.integers(first, len(body))) :]
    if how == "overwritten":
        return body[:first] + draw(st.binary(max_size=8)) + body[first + 4 :]
    if how == "nested":  # deeper than a reader's stack
        return draw(st.sampled_from((b"[", b'{"a":'))) * 2_000
    return draw(st.binary(max_size=200))


def said(document: Any) -> bytes:
    """As JSON, NaN and numbers without end included, which JSON does not have."""
    return json.dumps(document).encode()


def damaged(document: Any) -> st.SearchStrategy[bytes]:
    """Bytes of a document that is wrong in its shape or torn on the way."""
    return garbled(document).map(said) | torn(said(document))
