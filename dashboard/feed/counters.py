"""The feed counts itself: queries by outcome, their seconds, and questions it could answer without asking."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from dashboard.catalogue import monitoring


class Counters:
    """Instruments under the catalogue's names, in the registry given or in one of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._queries = Counter(
            str(monitoring.QUERIES),
            monitoring.QUERIES.help,
            monitoring.QUERIES.labels,
            registry=self.registry,
        )
        self._seconds = Histogram(
            str(monitoring.QUERY_SECONDS),
            monitoring.QUERY_SECONDS.help,
            buckets=monitoring.QUERY_SECONDS.buckets,
            registry=self.registry,
        )
        self._hits = Counter(str(monitoring.CACHE_HITS), monitoring.CACHE_HITS.help, registry=self.registry)

    def query(self, seconds: float, outcome: str = "ok") -> None:
        """One query came back: `outcome` is "ok" or the kind of what went wrong."""
        self._queries.labels(outcome).inc()
        self._seconds.observe(seconds)

    def hit(self) -> None:
        """One question needed no query."""
        self._hits.inc()

    @property
    def queries(self) -> int:
        """Queries sent so far."""
        return int(self._read(f"{monitoring.QUERY_SECONDS}_count"))

    @property
    def seconds(self) -> float:
        """Seconds spent on them."""
        return self._read(f"{monitoring.QUERY_SECONDS}_sum")

    @property
    def errors(self) -> int:
        """Queries that failed."""
        return self.queries - int(self._read(str(monitoring.QUERIES), {"outcome": "ok"}))

    @property
    def hits(self) -> int:
        """Questions answered from what was known."""
        return int(self._read(str(monitoring.CACHE_HITS)))

    def _read(self, name: str, labels: dict[str, str] | None = None) -> float:
        return self.registry.get_sample_value(name, labels or {}) or 0.0
