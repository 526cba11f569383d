"""Prometheus as a source: `Prometheus` asks, frozen answers come back, everything else is `Unavailable`."""

from collectors.prometheus.answers import Matrix, RawSeries, Sample, Vector
from collectors.prometheus.client import Prometheus

__all__ = ["Matrix", "Prometheus", "RawSeries", "Sample", "Vector"]
