"""Alerts: what is wrong now, since when, who has it, and what happened before."""

from dashboard.shell import alert_filter, alert_history, alert_rules, alerts, page, pipeline, report

page(
    title="Alerts",
    question="What is wrong now, since when, and who has it?",
    above=alert_filter.controls,
    rows=[
        [alerts.now],
        [alert_history.then],
        [alerts.listed],
        [alert_history.history],
        [alert_rules.verdicts],
        [report.of_window],
    ],
    tells=pipeline.EVERYTHING,
)
