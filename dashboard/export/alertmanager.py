"""Alertmanager: who hears which alert, and which alerts are only the consequence of another.

Inhibition is by cause, never by severity alone: a critical latency must not hide an unrelated full disk.
"""

from dataclasses import dataclass

from dashboard.catalogue import application, evolution, experts, hardware, inference, monitoring, training
from dashboard.catalogue.spec import Alert
from dashboard.export.document import dump

_RUN = ("job", "instance", "run_id")


@dataclass(frozen=True, slots=True)
class Cause:
    """While `cause` fires, `effects` with the same values of the labels `same` tell nobody anything new."""

    cause: Alert
    effects: tuple[Alert, ...]
    same: tuple[str, ...]


CAUSES = (
    Cause(
        application.DOWN,
        (
            application.METRICS_MISSING,
            application.METRICS_LAGGING,
            evolution.STALLED,
            inference.HIGH_LATENCY,
        ),
        ("job", "instance"),
    ),
    Cause(training.LOSS_NAN, (evolution.FITNESS_NAN,), _RUN),
    Cause(evolution.FITNESS_NAN, (evolution.STAGNATION, evolution.LOW_DIVERSITY), _RUN),
    Cause(evolution.LOW_DIVERSITY, (evolution.STAGNATION,), _RUN),
    Cause(experts.COLLAPSE, (experts.IMBALANCE, experts.DEAD), (*_RUN, "layer")),
    Cause(hardware.DISK_ALMOST_FULL, (hardware.DISK_WILL_FILL,), ("instance", "mountpoint")),
)


def alertmanager() -> str:
    """alertmanager.yml: a route, receivers to fill in, and the inhibitions above."""
    document = {
        "route": {
            "receiver": "team",
            "group_by": ["alertname", "job", "run_id"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [
                {
                    "matchers": [f'alertname="{monitoring.WATCHDOG.name}"'],
                    "receiver": "dead-mans-switch",
                    "group_wait": "0s",
                    "group_interval": "1m",
                    "repeat_interval": "1m",
                },
                {"matchers": ['severity="critical"'], "receiver": "on-call", "repeat_interval": "1h"},
            ],
        },
        "inhibit_rules": [
            *(_inhibition(rule) for rule in CAUSES),
            {  # the fast burn says what the slow one says, sooner
                "source_matchers": [f'alertname="{_BURN}"', 'severity="critical"'],
                "target_matchers": [f'alertname="{_BURN}"', 'severity="warning"'],
                "equal": ["job"],
            },
        ],
        "receivers": [{"name": "team"}, {"name": "on-call"}, {"name": "dead-mans-switch"}],
    }
    header = (
        "Written by `moe-dashboard export alertmanager` from dashboard/catalogue. Change it there and export again.\n"
        "The three receivers notify nobody until you give them webhook_configs, email_configs or the like.\n"
        "dead-mans-switch wants a service that calls you when it hears nothing."
    )
    return dump(document, header=header)


_BURN = inference.LATENCY_BURNS[0].name


def _inhibition(rule: Cause) -> dict[str, list[str]]:
    names = "|".join(alert.name for alert in rule.effects)
    operator = "=~" if len(rule.effects) > 1 else "="
    return {
        "source_matchers": [f'alertname="{rule.cause.name}"'],
        "target_matchers": [f'alertname{operator}"{names}"'],
        "equal": list(rule.same),
    }
