"""A benchmark as one trace, sent when it is over: the run, its wait, its launches and their cells. Needs the extra `otel`.

Made from the run's own events, whose times they are, so that nothing is measured or sent while something is timed. The
end of the run is written down before; a collector that is down costs its supervisor a second and nobody else anything.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.benchmark.directory import RunDirectory
from dashboard.observer import tracing
from dashboard.observer.failures import Failures

RUN, QUEUE, LAUNCH, CELL = "benchmark", "benchmark_queue", "benchmark_launch", "benchmark_cell"

Event = Mapping[str, Any]


def asked() -> bool:
    """Whether the environment names a collector."""
    return tracing.asked(None)


def send(run: RunDirectory) -> str | None:
    """Send a run that is over; its trace id, None where nothing could be sent."""
    way = tracing.Tracing.open(Failures(lambda _: None))
    try:
        return _Sent(way, run).trace_id
    finally:
        way.close()


class _Sent:
    def __init__(self, way: tracing.Tracing, run: RunDirectory) -> None:
        self._tracer = way._tracer  # its begin() is for the loop, whose clock is now; ours is the events'
        events, _ = run.events()
        spec, state = run.spec(), run.state()
        began, ended = events[0]["time"], max(event["time"] for event in events)
        about = {
            "run_id": spec.run_id, "target": spec.target, "profile": spec.profile.name,
            "device": spec.device.name or spec.device.kind, "backend": spec.backend, "state": state, "owner": spec.owner,
        }  # fmt: skip
        why = "" if state == "done" else run.error().partition("\n")[0]
        root = self._span(RUN, None, began, about)
        leased = next((event["time"] for event in events if event["event"] == "leased"), None)
        self._end(self._span(QUEUE, root, began, {}), ended if leased is None else leased)
        for launch, mine in _by_launch(events).items():
            self._launch(root, launch, mine)
        self._end(root, ended, why)
        context = root.get_span_context()
        self.trace_id = f"{context.trace_id:032x}" if context.trace_flags.sampled else None

    def _launch(self, root: Any, number: int, events: list[Event]) -> None:
        above = self._span(
            LAUNCH, root, events[0]["time"],
            {"launch": number, "again": any(event.get("again") for event in events), "side": events[0].get("side") or ""},
        )  # fmt: skip
        begun: Event | None = None
        for event in events:
            if event["event"] == "cell started":
                begun = event
            elif event["event"] == "cell finished" and begun is not None:
                status = str(event.get("status"))
                p50 = (event.get("p50") or {}).get("value")
                said = {"status": status} | ({} if p50 is None else {"p50_seconds": p50})
                cell = self._span(CELL, above, begun["time"], {"cell": str(begun.get("key")), **said})
                fine = status in ("ok", "skipped")
                self._end(cell, event["time"], "" if fine else str(event.get("reason") or status))
                begun = None
        if begun is not None:  # it was stopped in the middle of a cell
            cell = self._span(
                CELL, above, begun["time"], {"cell": str(begun.get("key")), "status": "interrupted"}
            )
            self._end(cell, events[-1]["time"], "interrupted")
        whole = any(event["event"] == "launch finished" for event in events)
        self._end(above, events[-1]["time"], "" if whole else "the worker did not finish")

    def _span(self, name: str, above: Any, start_seconds: float, attributes: Mapping[str, Any]) -> Any:
        from opentelemetry import trace
        from opentelemetry.context import Context

        context = Context() if above is None else trace.set_span_in_context(above, Context())
        return self._tracer.start_span(
            name, context=context, attributes=dict(attributes), start_time=int(start_seconds * 1e9)
        )

    @staticmethod
    def _end(span: Any, seconds: float, why: str = "") -> None:
        from opentelemetry.trace import Status, StatusCode

        if why:
            span.set_status(Status(StatusCode.ERROR, why))
        span.end(end_time=int(seconds * 1e9))


def _by_launch(events: Iterable[Event]) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for event in events:
        if "launch" in event:
            found.setdefault(event["launch"], []).append(event)
    return found
