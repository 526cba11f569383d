"""One list from what Prometheus says (pending and firing) and what Alertmanagers say (silenced, inhibited). Pure.

Alertmanager's labels are Prometheus's plus external labels, so an alert of Prometheus is looked for as a subset, and
the one with the fewest further labels is it. What is left over in Alertmanager comes from somewhere else and is shown.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from collectors.alertmanager import Notified
from dashboard.alerts.entry import Entry, State
from dashboard.store import Acknowledgement

_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


@dataclass(frozen=True, slots=True)
class Ruled:
    """An alert as Prometheus holds it. Times in unix seconds, `lasting_seconds` is the rule's `for`."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: str  # pending, firing
    active_at: float | None
    value: float | None
    query: str
    lasting_seconds: float


def fingerprint(labels: Mapping[str, str]) -> str:
    """The identity of a label set, as Prometheus and Alertmanager compute it: FNV-1a, 64 bits, over sorted labels."""
    return _hashed(tuple(sorted(labels.items())))


@lru_cache(
    maxsize=65_536
)  # every look meets the same alerts again, and ten thousand of them take half a second
def _hashed(labels: tuple[tuple[str, str], ...]) -> str:
    value = _FNV_OFFSET
    for label in labels:
        for part in label:
            for byte in part.encode("utf-8", "surrogatepass") + b"\xff":
                value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def ruled(groups: Iterable[Mapping[str, Any]]) -> list[Ruled]:
    """The alerts in an answer of /api/v1/rules."""
    return [
        Ruled(
            labels=dict(alert.get("labels") or {}),
            annotations=dict(alert.get("annotations") or {}),
            state=str(alert.get("state") or "unknown").lower(),
            active_at=_time(alert.get("activeAt")),
            value=_number(alert.get("value")),
            query=str(rule.get("query") or ""),
            lasting_seconds=float(rule.get("duration") or 0),
        )
        for group in groups
        for rule in group.get("rules") or ()
        for alert in rule.get("alerts") or ()
    ]


def together(replicas: Iterable[Sequence[Notified]]) -> list[Notified]:
    """The alerts of several replicas, each once; one that any replica mutes is muted."""
    union: dict[str, Notified] = {}
    for replica in replicas:
        for alert in replica:
            known = union.get(alert.fingerprint)
            if known is None:
                union[alert.fingerprint] = alert
                continue
            union[alert.fingerprint] = replace(
                known if known.updated_at >= alert.updated_at else alert,
                silenced_by=tuple(sorted({*known.silenced_by, *alert.silenced_by})),
                inhibited_by=tuple(sorted({*known.inhibited_by, *alert.inhibited_by})),
                receivers=tuple(sorted({*known.receivers, *alert.receivers})),
                state="suppressed" if "suppressed" in (known.state, alert.state) else known.state,
            )
    return list(union.values())


def merge(
    from_prometheus: Iterable[Ruled],
    from_alertmanager: Sequence[Notified] | None,
    acknowledgements: Iterable[Acknowledgement],
    *,
    stale: bool = False,
) -> list[Entry]:
    """The one list.

    Args:
        from_prometheus: what Prometheus holds, or held at the last good look.
        from_alertmanager: None where no Alertmanager could be asked: then nobody knows what is silenced.
        acknowledgements: the ones that have not ended.
        stale: Prometheus cannot be asked now, so its alerts are the last ones known.
    """
    index = _Index(from_alertmanager or ())
    taken = {one.fingerprint: one for one in acknowledgements}
    entries = []
    for alert in from_prometheus:
        match = index.find(alert)
        entries.append(_entry(alert, match, taken, known=from_alertmanager is not None, stale=stale))
    entries.extend(_foreign(alert, taken) for alert in index.left())
    return entries


class _Index:
    """Alertmanager's alerts by label, so that ten thousand find each other quickly."""

    def __init__(self, alerts: Sequence[Notified]) -> None:
        self._alerts = alerts
        self._by_label: dict[tuple[str, str], list[int]] = {}
        self._used: set[int] = set()
        for i, alert in enumerate(alerts):
            for item in alert.labels.items():
                self._by_label.setdefault(item, []).append(i)

    def find(self, alert: Ruled) -> Notified | None:
        """The alert with all of these labels and the fewest others; between equals the one that began when it should."""
        items = alert.labels.items()
        lists = [self._by_label.get(item, []) for item in items]
        if not lists:
            return None
        candidates = [i for i in min(lists, key=len) if items <= self._alerts[i].labels.items()]
        if not candidates:
            return None
        expected = None if alert.active_at is None else alert.active_at + alert.lasting_seconds

        def distance(i: int) -> tuple[int, float]:
            other = self._alerts[i]
            apart = 0.0 if expected is None else abs(other.starts_at - expected)
            return len(other.labels), apart

        best = min(candidates, key=distance)
        # copies of other replicas of the same Prometheus differ in external labels only: they are the same alert
        self._used.update(candidates)
        return self._alerts[best]

    def left(self) -> Iterable[Notified]:
        """Those that no alert of Prometheus claimed."""
        return (alert for i, alert in enumerate(self._alerts) if i not in self._used)


def _entry(
    alert: Ruled,
    match: Notified | None,
    taken: Mapping[str, Acknowledgement],
    *,
    known: bool,
    stale: bool,
) -> Entry:
    identity = fingerprint(alert.labels)
    said = {"prometheus": alert.state} | ({"alertmanager": match.state} if match else {})
    fired_at = match.starts_at if match else None
    if fired_at is None and alert.state == "firing" and alert.active_at is not None:
        fired_at = alert.active_at + alert.lasting_seconds
    note = ""
    if alert.state == "pending" and match:
        note = "Prometheus says pending, Alertmanager still fires it: Prometheus was probably restarted."
    acknowledgement = _valid(taken.get(identity), alert.active_at, match)
    state: State = "unknown"
    if stale:
        note = "As last known: Prometheus cannot be asked now."
    else:
        state = _state(alert.state, match, acknowledgement)
    return Entry(
        name=alert.labels.get("alertname", ""),
        state=state,
        labels=alert.labels,
        annotations=alert.annotations,
        fingerprint=identity,
        since=alert.active_at,
        fired_at=fired_at,
        value=alert.value,
        query=alert.query,
        said=said,
        silenced=(bool(match.silenced_by) if match else False) if known else None,
        silenced_by=match.silenced_by if match else (),
        inhibited_by=match.inhibited_by if match else (),
        acknowledgement=acknowledgement,
        note=note,
    )


def _foreign(alert: Notified, taken: Mapping[str, Acknowledgement]) -> Entry:
    identity = fingerprint(alert.labels)
    acknowledgement = _valid(taken.get(identity), None, alert)
    return Entry(
        name=alert.labels.get("alertname", ""),
        state=_state("firing", alert, acknowledgement),
        labels=alert.labels,
        annotations=alert.annotations,
        fingerprint=identity,
        fired_at=alert.starts_at,
        said={"alertmanager": alert.state},
        silenced=bool(alert.silenced_by),
        silenced_by=alert.silenced_by,
        inhibited_by=alert.inhibited_by,
        acknowledgement=acknowledgement,
        note="Known to Alertmanager only: from another source, or just resolved.",
    )


def _state(prometheus: str, match: Notified | None, acknowledgement: Acknowledgement | None) -> State:
    if match and match.silenced_by:
        return "silenced"
    if match and (match.inhibited_by or match.state == "suppressed"):
        return "inhibited"
    if prometheus == "pending" and match is None:
        return "pending"
    if prometheus not in {"pending", "firing"}:
        return "unknown"
    return "acknowledged" if acknowledgement else "firing"


def _valid(
    acknowledgement: Acknowledgement | None, active_at: float | None, match: Notified | None
) -> Acknowledgement | None:
    """An acknowledgement holds for the episode it was made in; a restart of Prometheus begins no new one."""
    if acknowledgement is None or active_at is None or acknowledgement.at >= active_at - 1:
        return acknowledgement
    return acknowledgement if match and match.starts_at <= acknowledgement.at else None


def _time(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def _number(text: object) -> float | None:
    """Prometheus writes values as text in %e notation, with NaN and +Inf; None where there is none."""
    try:
        return float(str(text))
    except ValueError:
        return None if text is None else math.nan
