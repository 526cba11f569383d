"""Is the way that alerts take sound? What is wrong with it, as findings in words. Pure: looks at answers, asks nobody."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from collectors.unavailable import Unavailable
from dashboard.alerts.entry import Finding
from dashboard.feed.scrapes import parse_duration

WATCHDOG = "Watchdog"
LATE_INTERVALS = 3  # scrapes or evaluations that may be missing before it is said,
LATE_SECONDS = 10.0  # and so much on top: a busy minute is no finding


def of_prometheus(
    unavailable: Unavailable | None, *, configured: bool, seconds_old: float | None
) -> list[Finding]:
    """What not being able to ask Prometheus means."""
    if not configured:
        return [
            Finding(
                "no-prometheus",
                "warn",
                "No Prometheus is configured: nobody evaluates rules, so no alert can fire here.",
                "Set MOE_DASHBOARD_PROMETHEUS_URL.",
            )
        ]
    if unavailable is None:
        return []
    age = (
        "No list was ever read."
        if seconds_old is None
        else f"The list is from {seconds_old:.0f} s ago and may be wrong by now."
    )
    return [Finding("prometheus-unavailable", "bad", f"{unavailable.reason} {age}", unavailable.advice)]


def of_rules(groups: Sequence[Mapping[str, Any]], now: float) -> list[Finding]:
    """Rules that are missing, fail or are not evaluated, and a watchdog that does not bark."""
    rules = [rule for group in groups for rule in group.get("rules") or ()]
    if not rules:
        return [
            Finding(
                "no-rules",
                "bad",
                "No alerting rule is loaded: nothing will ever fire, and an empty list means nothing.",
                "Load the rules that `moe-dashboard export rules` writes. In front of VictoriaMetrics, ask vmalert.",
            )
        ]
    found = []
    failing = [rule for rule in rules if rule.get("health") == "err"]
    if failing:
        first = failing[0]
        found.append(
            Finding(
                "rules-failing",
                "bad",
                f"{_several(len(failing), 'rule')} cannot be evaluated: {_names(rule.get('name') for rule in failing)}.",
                f"Prometheus says: {first.get('lastError') or 'nothing'}",
            )
        )
    late = [group for group in groups if group.get("rules") and _late_seconds(group, now) is not None]
    if late:
        worst = max(_late_seconds(group, now) or 0.0 for group in late)
        found.append(
            Finding(
                "rules-late",
                "bad",
                f"Rules of {_names(group.get('name') for group in late)} were last evaluated {worst:.0f} s ago.",
                "Prometheus is overloaded, or its clock differs from this one.",
            )
        )
    watchdog = [rule for rule in rules if rule.get("name") == WATCHDOG]
    if not watchdog:
        found.append(
            Finding(
                "no-watchdog",
                "warn",
                "No rule called Watchdog is loaded, so silence cannot be told from a broken rule evaluation.",
                "Load the rules that `moe-dashboard export rules` writes.",
            )
        )
    elif not any(rule.get("state") == "firing" for rule in watchdog):
        evaluated = any(rule.get("health") == "ok" for rule in watchdog)
        found.append(
            Finding(
                "watchdog-missing",
                "bad" if evaluated else "warn",
                "Watchdog does not fire, which it always should: rules are not evaluated as they should be."
                if evaluated
                else "Watchdog has not been evaluated yet: Prometheus has just started.",
            )
        )
    return found


def of_targets(targets: Sequence[Mapping[str, Any]], now: float) -> list[Finding]:
    """Targets that are down, and targets that were not scraped for long although they were up."""
    found = []
    down = [target for target in targets if target.get("health") == "down"]
    if down:
        found.append(
            Finding(
                "target-down",
                "warn",
                f"{_several(len(down), 'scrape target')} down: {_names(map(_where, down))}. Alerts that stand on it are silent, not resolved.",
                str(down[0].get("lastError") or ""),
            )
        )
    ages = [
        (seconds, target) for target in targets if (seconds := _unscraped_seconds(target, now)) is not None
    ]
    old = [target for _, target in ages if target not in down]
    if old:
        worst = max(seconds for seconds, target in ages if target not in down)
        found.append(
            Finding(
                "scrape-old",
                "warn",
                f"{_several(len(old), 'scrape target')} not scraped for up to {worst:.0f} s: {_names(map(_where, old))}.",
                "Prometheus is overloaded, was paused, or its clock differs from this one.",
            )
        )
    return found


def of_unread(url: str, number: int) -> Finding:
    """Alerts of an Alertmanager that are written in a way nobody expects: the others are shown, these are missing."""
    return Finding(
        "alertmanager-unread",
        "bad",
        f"{_several(number, 'alert')} of {url} could not be read and {'is' if number == 1 else 'are'} missing here.",
        "Look at Alertmanager itself; its version may be newer than this dashboard knows.",
    )


def of_alertmanagers(
    statuses: Sequence[Mapping[str, Any] | Unavailable],
    notified: Iterable[Mapping[str, str]] | None,
    *,
    rules_fire: bool,
) -> list[Finding]:
    """Replicas that do not answer or have not found each other, and a watchdog that does not arrive."""
    if not statuses:
        return [
            Finding(
                "no-alertmanager",
                "info",
                "No Alertmanager is configured: whether an alert is silenced or inhibited is unknown.",
                "Set MOE_DASHBOARD_ALERTMANAGER_URL.",
            )
        ]
    lost = [status for status in statuses if isinstance(status, Unavailable)]
    found = [
        Finding(
            "alertmanager-unavailable",
            "bad" if len(lost) == len(statuses) else "warn",
            one.reason,
            one.advice,
        )
        for one in lost
    ]
    for status in statuses:
        if isinstance(status, Unavailable):
            continue
        cluster = status.get("cluster") or {}
        peers = len(cluster.get("peers") or ())
        if cluster.get("status") not in {"ready", "disabled"}:
            found.append(
                Finding(
                    "alertmanager-cluster", "warn", f"An Alertmanager's cluster is {cluster.get('status')!r}."
                )
            )
        elif cluster.get("status") == "ready" and peers < len(statuses):
            found.append(
                Finding(
                    "alertmanager-cluster",
                    "warn",
                    f"An Alertmanager sees {peers} of {len(statuses)} replicas: silences may not reach the others.",
                )
            )
    if (
        notified is not None
        and rules_fire
        and not any(labels.get("alertname") == WATCHDOG for labels in notified)
    ):
        found.append(
            Finding(
                "watchdog-not-arrived",
                "bad",
                "Watchdog fires in Prometheus but has not arrived in Alertmanager: notifications are not delivered.",
                "Look at `alerting:` in prometheus.yml; right after a start it takes a minute.",
            )
        )
    return found


def _late_seconds(group: Mapping[str, Any], now: float) -> float | None:
    """Seconds since the last evaluation where that is too long ago; None where it is not, or there was none yet."""
    try:
        evaluated = datetime.fromisoformat(str(group.get("lastEvaluation"))).timestamp()
    except ValueError:
        return None
    if evaluated <= 0:  # 0001-01-01: not evaluated yet
        return None
    return _late(now - evaluated, float(group.get("interval") or 60))


def _unscraped_seconds(target: Mapping[str, Any], now: float) -> float | None:
    """Seconds since the last scrape where that is too long ago; None where it is not, or nothing was scraped yet."""
    try:
        scraped = datetime.fromisoformat(str(target.get("lastScrape"))).timestamp()
    except ValueError:
        return None
    if scraped <= 0:  # 0001-01-01: not scraped yet
        return None
    return _late(now - scraped, parse_duration(str(target.get("scrapeInterval"))) or 60.0)


def _late(seconds: float, interval: float) -> float | None:
    return seconds if seconds > LATE_INTERVALS * interval + LATE_SECONDS else None


def _where(target: Mapping[str, Any]) -> str:
    labels = target.get("labels") or {}
    return f"{labels.get('job', '')}/{labels.get('instance', '')}"


def _names(names: Iterable[object]) -> str:
    chosen = sorted({str(name) for name in names})
    shown = ", ".join(chosen[:5])
    return shown if len(chosen) <= 5 else f"{shown} and {len(chosen) - 5} more"


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
