"""The one list of alerts: asks Prometheus and the Alertmanagers, once for all viewers, and remembers the last good answer.

What cannot be asked is said; it never becomes "no alerts".
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from collectors.alertmanager import Alertmanager, Notified, Silence
from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.alerts import merge, pipeline
from dashboard.alerts.entry import AlertList, Entry, Finding, attention
from dashboard.alerts.rules import from_prometheus
from dashboard.store import Acknowledgement, Store

ARRIVAL_SECONDS = (
    120.0  # Prometheus finds its Alertmanagers after it began to fire, and sends again after a minute
)
# An alert is remembered for so long whose source vanished. Prometheus leaves out those whose target answers, which is
# all of them on most days: only what this look may have to say is sent.
_GONE = '{alertname!="",job!="",instance!=""%s}[15m]) unless on (job, instance) (up == 1)'
FIRED_AND_UNWATCHED = "last_over_time(ALERTS" + _GONE % ',alertstate="firing"'
BEGAN_AND_UNWATCHED = "last_over_time(ALERTS_FOR_STATE" + _GONE % ""
ENDED_SECONDS = 60.0  # missing for so long is over; a Prometheus that restarts needs less to see it again

GLANCE = 3  # refresh intervals that a list may be old and still do for a banner

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class _FromPrometheus:
    """One good look at Prometheus."""

    at: float
    groups: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    alerts: list[merge.Ruled]
    gone: list[Entry]


@dataclass(frozen=True, slots=True)
class _Look:
    """What the sources said, before anybody's acknowledgement."""

    at: float
    prometheus: _FromPrometheus | None
    why: Unavailable | None
    notified: list[Notified] | None
    silences: tuple[Silence, ...] | None
    statuses: list[dict[str, Any] | Unavailable]


class AlertBoard:
    """Shared by every session; one look serves all within `refresh_seconds`.

    Args:
        prometheus: None where none is configured.
        alertmanagers: every replica; none is fine and then silences are unknown.
        store: None where acknowledgements are not kept.
    """

    def __init__(
        self,
        prometheus: Prometheus | None,
        alertmanagers: Sequence[Alertmanager] = (),
        store: Store | None = None,
        *,
        refresh_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._prometheus, self._alertmanagers, self._store = prometheus, tuple(alertmanagers), store
        self._refresh_seconds, self._clock = refresh_seconds, clock
        self._lock = threading.Lock()
        self._last: _Look | None = None
        self._good: _FromPrometheus | None = None
        self._missed: dict[str, float] = {}  # acknowledged, but not found since
        self._made: tuple[tuple[int, int], AlertList] | None = None
        self._looked = float("-inf")  # when the last look ended
        self._behind: Future[AlertList] | None = None
        self._pool = ThreadPoolExecutor(
            max_workers=4 + 3 * len(self._alertmanagers), thread_name_prefix="alerts"
        )

    def close(self) -> None:
        """End the threads that ask."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> AlertList:
        """The list now. Never raises for a source: what is wrong is in `findings` and `unavailable`."""
        with self._lock:
            now = self._clock()
            if self._last is None or now - self._last.at >= self._refresh_seconds or now < self._last.at:
                self._last = self._ask(now)
                self._end_acknowledgements(self._last)
                self._looked = self._clock()
            look = self._last
            acknowledgements, trouble, version = self._said()
            key = (id(look), version)
            if self._made is None or self._made[0] != key:
                self._made = (key, self._compose(look, acknowledgements, trouble))
            return self._made[1]

    def glance(self) -> AlertList:
        """The list of a moment ago without waiting for a new one, which is begun behind it: no page is held up by it.

        Waits where no list is known, or none that is less than `GLANCE` refresh intervals old.
        """
        made, age = self._made, self._clock() - self._looked
        if made is None or not 0 <= age < GLANCE * self._refresh_seconds:
            return self.look()
        if age >= self._refresh_seconds and (self._behind is None or self._behind.done()):
            self._behind = self._pool.submit(self.look)
        return made[1]

    # asking

    def _ask(self, now: float) -> _Look:
        """Ask everybody at once; the slowest decides how long it takes."""
        prometheus = self._pool.submit(self._ask_prometheus, now)
        replicas = [
            (
                self._pool.submit(_try, replica.alerts),
                self._pool.submit(_try, replica.silences),
                self._pool.submit(_try, replica.status),
            )
            for replica in self._alertmanagers
        ]
        good, why = prometheus.result()
        alerts = _answered(asked.result() for asked, _, _ in replicas)
        silences = _answered(asked.result() for _, asked, _ in replicas)
        if good is not None:
            self._good = good
        return _Look(
            at=now,
            prometheus=good,
            why=why,
            notified=merge.together(alerts) if alerts else None,
            silences=_each_once(silences) if silences else None,
            statuses=[asked.result() for _, _, asked in replicas],
        )

    def _ask_prometheus(self, now: float) -> tuple[_FromPrometheus | None, Unavailable | None]:
        if self._prometheus is None:
            return None, None
        try:
            groups = self._prometheus.rules()
            targets = _try(self._prometheus.targets)
            alerts = merge.ruled(groups)
            known = [] if isinstance(targets, Unavailable) else targets
            gone = [] if isinstance(targets, Unavailable) else self._gone(alerts, known)
            return _FromPrometheus(now, groups, known, alerts, gone), None
        except Unavailable as why:
            return None, why

    def _gone(self, alerts: Sequence[merge.Ruled], targets: Sequence[Mapping[str, Any]]) -> list[Entry]:
        """Alerts that fired lately and ended because their source went: that is not the same as resolved."""
        if self._prometheus is None:
            return []
        fired = self._prometheus.instant(FIRED_AND_UNWATCHED).samples
        if not fired:
            return []
        began = {
            merge.fingerprint(_own(sample.labels)): sample.value
            for sample in self._prometheus.instant(BEGAN_AND_UNWATCHED).samples
        }
        now_active = {merge.fingerprint(alert.labels) for alert in alerts}
        up = {
            (labels.get("job"), labels.get("instance"))
            for target in targets
            if target.get("health") != "down" and (labels := target.get("labels") or {})
        }
        gone: dict[str, Entry] = {}
        for sample in fired:
            labels = _own(sample.labels)
            identity = merge.fingerprint(labels)
            where = (labels.get("job"), labels.get("instance"))
            if identity in now_active or where in up:
                continue
            gone[identity] = Entry(
                name=labels.get("alertname", ""),
                state="source gone",
                labels=labels,
                annotations={},
                fingerprint=identity,
                since=began.get(identity),
                said={"prometheus": "gone"},
                note=f"{where[0]}/{where[1]} is no longer scraped: this alert has not resolved, its source is gone.",
            )
        return list(gone.values())

    # composing

    def _said(self) -> tuple[tuple[Acknowledgement, ...], Unavailable | None, int]:
        if self._store is None:
            return (), None, 0
        try:
            return self._store.acknowledgements(), None, self._store.version()
        except Unavailable as why:
            return (), why, -1

    def _compose(
        self, look: _Look, acknowledgements: tuple[Acknowledgement, ...], trouble: Unavailable | None
    ) -> AlertList:
        good = look.prometheus or self._good
        stale = look.prometheus is None and self._prometheus is not None
        entries = merge.merge(good.alerts if good else (), look.notified, acknowledgements, stale=stale)
        shown = {entry.fingerprint for entry in entries}
        taken = {one.fingerprint: one for one in acknowledgements}
        entries.extend(
            replace(entry, acknowledgement=taken.get(entry.fingerprint))
            for entry in (good.gone if good else ())
            if entry.fingerprint not in shown
        )
        lost = [status for status in look.statuses if isinstance(status, Unavailable)]
        return AlertList(
            entries=tuple(sorted(entries, key=attention)),
            findings=tuple(self._findings(look)),
            looked_at=look.at,
            prometheus_at=good.at if good else None,
            silences=look.silences,
            unavailable=tuple(why for why in (look.why, *lost, trouble) if why is not None),
            rules=from_prometheus(good.groups) if good else (),
        )

    def _findings(self, look: _Look) -> list[Finding]:
        old = None if self._good is None else look.at - self._good.at
        configured = self._prometheus is not None
        found = pipeline.of_prometheus(look.why, configured=configured, seconds_old=old)
        rules_fire = False
        if look.prometheus is not None:
            skew = (self._prometheus.skew_seconds if self._prometheus else None) or 0.0
            found += pipeline.of_rules(look.prometheus.groups, look.at + skew)
            found += pipeline.of_targets(look.prometheus.targets, look.at + skew)
            rules_fire = any(
                alert.labels.get("alertname") == pipeline.WATCHDOG
                and alert.state == "firing"
                and look.at - (alert.active_at or look.at) > ARRIVAL_SECONDS
                for alert in look.prometheus.alerts
            )
        notified = None if look.notified is None else [alert.labels for alert in look.notified]
        found += [
            pipeline.of_unread(replica.url, replica.left_out)
            for replica in self._alertmanagers
            if replica.left_out
        ]
        return found + pipeline.of_alertmanagers(look.statuses, notified, rules_fire=rules_fire)

    def _end_acknowledgements(self, look: _Look) -> None:
        """An acknowledgement ends with its alert: when sound looks no longer find it anywhere."""
        if self._store is None or look.prometheus is None:
            return
        if self._alertmanagers and look.notified is None:
            return
        there = {merge.fingerprint(alert.labels) for alert in look.prometheus.alerts}
        there |= {entry.fingerprint for entry in look.prometheus.gone}
        there |= {merge.fingerprint(alert.labels) for alert in look.notified or ()}
        try:
            held = {one.fingerprint for one in self._store.acknowledgements()}
            self._missed = {one: self._missed.get(one, look.at) for one in held if one not in there}
            over = [one for one, since in self._missed.items() if look.at - since >= ENDED_SECONDS]
            self._store.alerts_ended(over)
        except Unavailable:
            return  # said by `_said` on the same look


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of an alert without those of the series that tells of it."""
    return {name: value for name, value in labels.items() if name not in {"__name__", "alertstate"}}


def _try(ask: Callable[[], _Found]) -> _Found | Unavailable:
    try:
        return ask()
    except Unavailable as why:
        return why


def _answered(answers: Iterable[_Found | Unavailable]) -> list[_Found]:
    return [answer for answer in answers if not isinstance(answer, Unavailable)]


def _each_once(replicas: Sequence[Sequence[Silence]]) -> tuple[Silence, ...]:
    return tuple({silence.id: silence for replica in replicas for silence in replica}.values())
