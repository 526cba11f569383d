"""The check of what came through a Pushgateway: it repeats a run's last words for ever, alive or not.

A group whose run said that it ended is an archive. One that was not pushed for long and never said so is stale: its run was
killed, or cannot reach the gateway.
"""

from collections.abc import Mapping

from collectors.prometheus import Prometheus
from dashboard.catalogue import evolution
from dashboard.catalogue.application import PUSH_LATE_SECONDS, PUSHED
from dashboard.catalogue.units import SECONDS
from dashboard.health.check import Check, Detail, not_here

MOST_NAMED = 5
_GROUP = ("job", "instance", "run_id")


def stale(prometheus: Prometheus | None) -> Check:
    """Every run that pushes was pushed lately, or said that it ended."""
    if prometheus is None:
        return not_here("pushes", "No Prometheus is configured.")
    ages = {
        _group(sample.labels): (sample.value, sample.labels)
        for sample in prometheus.instant(f'time() - {PUSHED}{{run_id!=""}}').samples
    }
    if not ages:
        return not_here("pushes", "No run pushes to a Pushgateway.")
    ended = {_group(sample.labels) for sample in prometheus.instant(f"{evolution.RUN_ACTIVE} == 0").samples}
    late = sorted(
        (
            (age, labels)
            for group, (age, labels) in ages.items()
            if age > PUSH_LATE_SECONDS and group not in ended
        ),
        key=lambda one: -one[0],
    )
    details: dict[str, Detail] = {
        "groups": len(ages),
        "groups_ended": len(ages.keys() & ended),
        "groups_stale": len(late),
    }
    if not late:
        return Check(
            "pushes",
            healthy=True,
            message="Every run that pushes was pushed lately or has ended.",
            details=details,
        )
    named = ", ".join(
        f"{labels['run_id']} ({SECONDS.format(float(round(age)))} ago)" for age, labels in late[:MOST_NAMED]
    )
    more = f" and {len(late) - MOST_NAMED} more" if len(late) > MOST_NAMED else ""
    return Check(
        "pushes", healthy=False, message="A run that pushes was not pushed for long and never said that it ended.", details=details,
        error_type="stale", reason=f"Last pushed: {named}{more}. Prometheus still repeats what they said then.",
        advice="Is the run alive, and does it reach the Pushgateway? If it was killed, delete its group from the gateway.",
    )  # fmt: skip


def _group(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in _GROUP)
