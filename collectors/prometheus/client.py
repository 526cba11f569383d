"""Prometheus's HTTP API: prometheus-api-client connects, our own decoder reads. Also Thanos, Mimir, VictoriaMetrics.

Knows no metric, no panel and no setting. Whatever goes wrong is `Unavailable`, with Prometheus's own words where it
had some.
"""

import email.utils
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import requests
from prometheus_api_client import PrometheusConnect

from collectors.prometheus import decode, shapes
from collectors.prometheus.answers import Matrix, RawSeries, Vector
from collectors.prometheus.connection import HttpError, Session, bearer, without_credentials
from collectors.unavailable import Unavailable

_Read = TypeVar("_Read")


class Prometheus:
    """One Prometheus, or anything that answers its API.

    Safe to share between threads. Every method raises `Unavailable`; its `kind` is refused, dns, tls, timeout, url,
    credentials, redirect, truncated, too-large, not-json, not-prometheus, native-histogram, http-<code>, or the
    errorType that Prometheus named (bad_data, execution, …).

    Args:
        url: with the path prefix, if there is one.
        username, password: basic auth.
        bearer_token, bearer_token_file: a token; a file is read anew for every request, because it may rotate.
        headers: sent with every request, e.g. X-Scope-OrgID.
        ca_file, client_cert: PEM files for TLS; client_cert is (certificate, key).
        timeout_seconds: from the first packet to the last byte of any one call.
        gzip: ask for compressed answers; costs Prometheus more time than it saves above about 100 Mbit/s.
        pool: connections kept; as many as threads will ask at once.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        bearer_token: str | None = None,
        bearer_token_file: Path | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: Path | None = None,
        client_cert: tuple[Path, Path] | None = None,
        timeout_seconds: float = 10.0,
        gzip: bool = False,
        pool: int = 8,
    ) -> None:
        url = url.rstrip("/")  # a trailing slash costs a redirect for every query
        self.url = without_credentials(url)
        self.timeout_seconds = timeout_seconds
        self.skew_seconds: float | None = (
            None  # Prometheus's clock minus ours, at the last answer; about 1 s exact
        )
        self._dated = ""  # the Date that told it
        basic = (username, password or "") if username else None
        auth = bearer(bearer_token, bearer_token_file) or basic
        self._session = Session(
            url, name=self.url, auth=auth, ca_file=ca_file, client_cert=client_cert, pool=pool
        )
        encoding = {} if gzip else {"Accept-Encoding": "identity"}
        self._connect = PrometheusConnect(
            url,
            session=self._session,
            auth=auth,
            timeout=timeout_seconds,
            headers=encoding | dict(headers or {}),
        )
        self._session.mount_at(url)  # PrometheusConnect has just put an adapter of its own there
        self._session.hooks["response"].append(self._note_clock)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # queries

    def range(self, promql: str, start: float, end: float, step: float) -> Matrix:
        """Evaluate at start, start + step, … up to end (unix seconds; whole seconds for start)."""
        start = float(round(start))
        end = start + max(0, int((end - start) / step + 1e-9)) * step
        first, last = (datetime.fromtimestamp(time_, UTC) for time_ in (start, end + 1e-3))
        return self._read(
            promql,
            lambda: self._connect.custom_query_range(promql, first, last, f"{step:.15g}", self._limit()),
            lambda body: decode.matrix(body, start, end, step),
        )

    def instant(self, promql: str, at: float | None = None) -> Vector:
        """Evaluate once, at a unix time or now."""
        return self._read(promql, lambda: self._connect.custom_query(promql, self._limit(at)), decode.vector)

    def raw(self, selector: str, seconds: float, at: float | None = None) -> list[RawSeries]:
        """Every stored sample of a series selector in the `seconds` before `at`, at its own time; nothing is interpolated."""
        promql = f"{selector}[{max(1, round(seconds * 1000))}ms]"
        return self._read(
            promql,
            lambda: self._connect.custom_query(promql, self._limit(at)),
            lambda body: decode.raw(body)[0],
        )

    def exemplars(self, promql: str, start: float, end: float) -> list[dict[str, Any]]:
        """Exemplars behind the series of an expression."""
        asked = {"query": promql, "start": start, "end": end}
        return self._ask("query_exemplars", asked, list, lambda data: cast("list[dict[str, Any]]", data))

    # what there is

    def series(self, matchers: Sequence[str], start: float, end: float) -> list[dict[str, str]]:
        """Label sets of the series that match and had samples between the two unix times."""
        asked = {"match[]": list(matchers), "start": start, "end": end}
        return self._ask("series", asked, list, shapes.tables)

    def label_values(
        self, label: str, matchers: Sequence[str] = (), start: float | None = None, end: float | None = None
    ) -> list[str]:
        """Values of a label, optionally only over the series that match."""
        return self._ask(f"label/{label}/values", _chosen(matchers, start, end), list, shapes.texts)

    def label_names(
        self, matchers: Sequence[str] = (), start: float | None = None, end: float | None = None
    ) -> list[str]:
        """Names of the labels there are, optionally only over the series that match."""
        return self._ask("labels", _chosen(matchers, start, end), list, shapes.texts)

    def metadata(self) -> dict[str, list[dict[str, Any]]]:
        """Type, help and unit by metric name, as the targets say."""
        return self._ask("metadata", {}, dict, dict)

    # rules, targets, the server

    def rules(self) -> list[dict[str, Any]]:
        """Groups of alerting rules, as sent."""
        return self._ask("rules", {"type": "alert"}, dict, lambda data: shapes.groups(data.get("groups")))

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing alerts, as sent."""
        return self._ask("alerts", {}, dict, lambda data: shapes.alerts(data.get("alerts")))

    def targets(self) -> list[dict[str, Any]]:
        """Active scrape targets, as sent."""
        return self._ask(
            "targets", {"state": "active"}, dict, lambda data: shapes.targets(data.get("activeTargets"))
        )

    def buildinfo(self) -> dict[str, Any]:
        """Version and revision."""
        return self._ask("status/buildinfo", {}, dict, dict)

    def runtimeinfo(self) -> dict[str, Any]:
        """Start time, retention and the state of the configuration."""
        return self._ask("status/runtimeinfo", {}, dict, dict)

    def ready(self) -> None:
        """Return when it says that it can serve; raise Unavailable when it does not."""
        self._get("/-/ready", {})

    # how

    def _limit(self, at: float | None = None) -> dict[str, str]:
        """Parameters of every query: Prometheus stops when we do, instead of evaluating for nobody."""
        limit = {"timeout": f"{max(1, round(self.timeout_seconds * 1000))}ms"}
        return limit if at is None else limit | {"time": f"{at:.3f}"}

    def _get(self, path: str, params: Mapping[str, Any]) -> bytes:
        response = self._session.get(
            self._connect.url + path,
            params=dict(params),
            headers=self._connect.headers,
            auth=self._connect.auth,
            timeout=self.timeout_seconds,
        )
        return cast("bytes", response.content)

    def _ask(
        self, endpoint: str, params: Mapping[str, Any], kind: type, shape: Callable[[Any], _Read]
    ) -> _Read:
        """`data` of an endpoint's answer, which is a list or an object, brought into shape."""
        return self._read(
            endpoint,
            lambda: self._get(f"/api/v1/{endpoint}", params),
            lambda body: shape(decode.data(body, kind)),
        )

    def _read(self, what: str, fetch: Callable[[], bytes], read: Callable[[bytes], _Read]) -> _Read:
        """Fetch bytes and decode them; every failure leaves as Unavailable with the most telling words there are."""
        try:
            return read(fetch())
        except HttpError as why:
            try:
                decode.data(why.body, object)
            except decode.Refused as said:
                raise self._refused(said, what, f"http-{why.code}") from why
            except decode.Malformed:
                raise why from None
            raise
        except decode.Refused as said:
            raise self._refused(said, what, "error") from said
        except decode.Malformed as why:
            advice = {
                "not-prometheus": "Is this the URL of a Prometheus API, with its path prefix, and without a login page in front?",
                "truncated": "A proxy on the way may cut answers; try again.",
                "native-histogram": "Use histogram_quantile, histogram_count or histogram_sum.",
            }.get(why.kind, "")
            raise Unavailable(f"{self.url}: {why}.", advice=advice, kind=why.kind) from why

    def _refused(self, said: decode.Refused, what: str, code: str) -> Unavailable:
        kind = (
            said.error_type if not said.error_type.isdigit() else code
        )  # VictoriaMetrics writes the status there
        return Unavailable(f"{self.url} refuses {_short(what)}: {said}.", advice="", kind=kind)

    def _note_clock(self, response: requests.Response, **_: Any) -> None:
        date = response.headers.get("Date", "")
        sent = email.utils.parsedate_tz(date) if date != self._dated else None
        self._dated = date
        if sent is not None:
            # the header is cut to whole seconds: half a second is its best guess
            self.skew_seconds = email.utils.mktime_tz(sent) + 0.5 - time.time()


def _chosen(matchers: Sequence[str], start: float | None, end: float | None) -> dict[str, Any]:
    chosen: dict[str, Any] = {"match[]": list(matchers)} if matchers else {}
    return chosen | {name: value for name, value in (("start", start), ("end", end)) if value is not None}


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "…"
