"""Health: is the monitoring itself sound, from the checks down to single metrics?"""

from dashboard.catalogue import monitoring
from dashboard.shell import health, page

page(
    title="Health",
    question="Is the monitoring itself sound: can what the other pages say be believed?",
    rows=[
        [health.checks],
        [health.past],
        [health.targets],
        [monitoring.TARGETS, monitoring.SCRAPE_SECONDS],
        [health.metrics],
        [health.observer],
    ],
    tells=("target-down", "prometheus-unavailable", "rules-failing", "rules-late", "no-rules", "alertmanager-unavailable"),
)  # fmt: skip
