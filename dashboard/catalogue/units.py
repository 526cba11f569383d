"""Units: what a number is counted in, and how Prometheus, a person and Grafana each spell that."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit. Values are always kept in it; only `format` scales, for people."""

    name: str  # "seconds"
    suffix: str  # what a Prometheus metric name in this unit ends in; "" where the field has no unit
    symbol: str  # what stands on an axis
    grafana: str  # Grafana's unit id

    def format(self, value: float | None) -> str:
        """Text for a person: three significant digits with a scaled prefix; "–" for None, "NaN" and "∞" in words."""
        if value is None:
            return "–"
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        if self is SECONDS:
            return _duration(value)
        if self is RATIO:
            return f"{100 * value:.3g} %"
        if self is PERCENT:
            return f"{value:.3g} %"
        if self is BYTES:
            return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
        if self in (COUNT, NUMBER):
            return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
        if self is TIMESTAMP:
            return f"{value:.0f}"
        return _scaled(value, 1000, ("", "k", "M", "G", "T", "P")) + (
            f" {self.symbol}" if self.symbol else ""
        )


def _scaled(value: float, base: int, prefixes: tuple[str, ...]) -> str:
    step = 0
    while abs(value) >= base and step < len(prefixes) - 1:
        value /= base
        step += 1
    digits = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{digits} {prefixes[step]}".strip()


def _duration(seconds: float) -> str:
    size = abs(seconds)
    if size == 0:
        return "0 s"
    if size < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    if size < 1:
        return f"{seconds * 1e3:.3g} ms"
    if size < 120:
        return f"{seconds:.3g} s"
    if size < 7200:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if size < 172_800:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // 86_400)} d {int(seconds % 86_400 // 3600)} h"


NUMBER = Unit("number", "", "", "short")  # a quantity without a unit: fitness, loss, score
COUNT = Unit("count", "", "", "short")
TOTAL = Unit("count", "_total", "", "short")  # a counter of things
RATIO = Unit("ratio", "_ratio", "", "percentunit")  # 0 to 1
PERCENT = Unit("percent", "_percent", "%", "percent")  # 0 to 100
SECONDS = Unit("seconds", "_seconds", "s", "s")
TIMESTAMP = Unit("unix time", "_timestamp_seconds", "s", "dateTimeFromNow")
BYTES = Unit("bytes", "_bytes", "B", "bytes")
WATTS = Unit("watts", "_watts", "W", "watt")
CELSIUS = Unit("degrees Celsius", "_celsius", "°C", "celsius")
HERTZ = Unit("hertz", "_hertz", "Hz", "hertz")
JOULES = Unit("joules", "_joules_total", "J", "joule")
SAMPLES_PER_SECOND = Unit("samples per second", "_samples_per_second", "samples/s", "short")
PER_SECOND = Unit("per second", "", "1/s", "ops")
FAIR_LOAD = Unit("load ÷ fair load", "", "× fair", "short")  # 1.0 is fair, 0 is dead
