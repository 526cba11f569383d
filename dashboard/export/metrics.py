"""The metric table: every metric, recording rule and alert of the catalogue, for people."""

from collections.abc import Iterable, Sequence

from dashboard import catalogue


def metrics() -> str:
    """metrics.md: three Markdown tables."""
    declared = (
        (
            f"`{metric.name}`",
            metric.kind,
            metric.unit.name,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
            "guide" if metric.guide else metric.reason,
        )
        for metric in catalogue.METRICS
    )
    recorded = ((f"`{rule.name}`", rule.help) for rule in catalogue.RECORDINGS)
    alerts = {
        alert.name: (f"`{alert.name}`", alert.severity, alert.component, alert.lasting)
        for alert in catalogue.ALERTS
    }
    return "\n".join(
        (
            "<!-- Written by `moe-dashboard export metrics` from dashboard/catalogue. Change it there and export again. -->",
            "# Metrics",
            "",
            *_table(("name", "type", "unit", "labels", "what it says", "why it is there"), declared),
            "",
            "# Recording rules",
            "",
            *_table(("name", "what it says"), recorded),
            "",
            "# Alerts",
            "",
            *_table(("name", "severity", "component", "fires after"), alerts.values()),
            "",
        )
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
