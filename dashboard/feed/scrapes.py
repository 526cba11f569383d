"""What Prometheus says of its scrapes: how often the router is scraped, and which metrics are there at all."""

import re
from collections.abc import Mapping

from collectors.prometheus import Prometheus
from dashboard.catalogue import BY_NAME
from dashboard.feed import aliases as alias_table
from dashboard.feed import query
from dashboard.feed.source import Shared, Source

DEFAULT_SCRAPE_SECONDS = 15.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_HISTOGRAMS = tuple(name for name, metric in BY_NAME.items() if metric.kind == "histogram")
_LOOK_SECONDS = 60.0  # configuration and names change seldom


class Scrapes:
    """Read once a minute for everybody. Where Prometheus does not tell, the defaults of its own documentation hold."""

    def __init__(self, source: Source, job: str, aliases: Mapping[str, str]) -> None:
        self._source = source
        self._job = job
        self.aliases = {**alias_table.DEFAULTS, **aliases}
        self._seconds: Shared[float] = Shared(_LOOK_SECONDS, source.clock)
        self._names: Shared[frozenset[str]] = Shared(_LOOK_SECONDS, source.clock)
        wanted = set(BY_NAME) | {
            name for alias in self.aliases.values() for name in alias_table.metric_names(alias)
        }
        self._matcher = "|".join(sorted(wanted | {f"{name}_(bucket|count|sum)" for name in wanted}))

    def seconds(self) -> float:
        """The scrape interval of the router's job, or the shortest there is where the job is not among the targets."""
        looked = self._seconds.get("interval", lambda: self._source.ask(self._interval))
        return looked.value if looked.value is not None else DEFAULT_SCRAPE_SECONDS

    def names(self) -> frozenset[str] | None:
        """Metric names present lately, of those the catalogue or an alias knows; None where Prometheus does not tell."""
        return self._names.get("names", lambda: self._source.ask(self._present)).value

    def absent(self, promql: str) -> dict[str, str]:
        """Aliases to put into this query: of metrics in it that are absent and whose stand-in is there."""
        mentioned = query.names(promql, self.aliases)
        there = self.names() if mentioned else None
        if there is None:
            return {}
        return {
            name: self.aliases[name]
            for name in mentioned
            if not _family(name) & there
            and any(_family(part) & there for part in alias_table.metric_names(self.aliases[name]))
        }

    def native(self, promql: str) -> set[str]:
        """Histograms in this query that are there as native histograms alone."""
        mentioned = query.names(promql, _HISTOGRAMS)
        there = self.names() if mentioned else None
        return {name for name in mentioned if there and name in there and f"{name}_bucket" not in there}

    def _interval(self, prometheus: Prometheus) -> float:
        targets = prometheus.targets()
        ours = [target for target in targets if target.get("labels", {}).get("job") == self._job] or targets
        intervals = [parse_duration(str(target.get("scrapeInterval", ""))) for target in ours]
        return min((interval for interval in intervals if interval), default=DEFAULT_SCRAPE_SECONDS)

    def _present(self, prometheus: Prometheus) -> frozenset[str]:
        end = self._source.now()
        matcher = f'{{__name__=~"{self._matcher}"}}'
        return frozenset(prometheus.label_values("__name__", [matcher], end - 3600, end))


def parse_duration(text: str) -> float | None:
    """Seconds of a Prometheus duration ("1m30s"), or None."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in parts) or None


def _family(name: str) -> set[str]:
    return {name, f"{name}_bucket", f"{name}_count", f"{name}_sum"}
