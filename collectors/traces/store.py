"""What both stores share: how they are asked, and how an answer that is none becomes `Unavailable`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from collectors.prometheus.connection import HttpError, Session, without_credentials
from collectors.traces.span import Malformed, Scalar
from collectors.unavailable import Unavailable


@dataclass(frozen=True, slots=True)
class Search:
    """Which traces are looked for. Times are unix seconds."""

    service: str
    start: float
    end: float
    name: str | None = None  # of a span in it
    attributes: Mapping[str, Scalar] = field(default_factory=dict)  # of one span, all of them
    min_duration_seconds: float | None = None
    errors: bool = False  # only traces with a span that failed
    limit: int = 20


class Http:
    """GET of JSON documents under one base URL. Safe to share between threads.

    Args:
        url: with the path prefix, if there is one.
        headers: sent with every request, e.g. X-Scope-OrgID or Authorization.
        timeout_seconds: from the first packet to the last byte of any one call.
    """

    product = ""

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 10.0
    ) -> None:
        self._base = url.rstrip("/")
        self.url = without_credentials(self._base)
        self.timeout_seconds = timeout_seconds
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._session = Session(self._base, name=self.url, auth=None, ca_file=None, client_cert=None, pool=4)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _get(self, path: str, **query: str | float | None) -> Any:
        """The document at a path.

        Raises:
            HttpError: any status but 200, with its body.
            Unavailable: no answer, or one that is no JSON object.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        response = self._session.get(
            self._base + path, params=asked, headers=self._headers, timeout=self.timeout_seconds
        )
        try:
            document = orjson.loads(response.content)
        except orjson.JSONDecodeError as why:
            raise self._not_ours("an answer that is not JSON", "not-json") from why
        if not isinstance(document, dict):
            raise self._not_ours("JSON of another shape", f"not-{self.product.lower()}")
        return document

    def _not_ours(self, what: str, kind: str) -> Unavailable:
        return Unavailable(
            f"{self.url} gave {what}.",
            advice=f"Is this the URL of {self.product}'s query API, with its path prefix, and without a login page in front?",
            kind=kind,
        )

    def _malformed(self, why: Malformed | KeyError | TypeError | ValueError | AttributeError) -> Unavailable:
        return self._not_ours(
            f"JSON of another shape ({type(why).__name__}: {why})", f"not-{self.product.lower()}"
        )

    def _refused(self, why: HttpError, words: str) -> Unavailable:
        """The same failure with the store's own words."""
        if not words:
            return why
        return Unavailable(f"{self.url} answered {why.code}: {words[:500]}", advice=why.advice, kind=why.kind)


def plain_words(body: bytes) -> str:
    """An error body that people can read; empty for a page of HTML."""
    words = body.decode(errors="replace").strip()
    return "" if words.startswith("<") else words


def go_duration(seconds: float) -> str:
    """A duration as Go reads it."""
    return f"{max(1, round(seconds * 1e6))}us"
