"""The observer: what a loop talks to. Never raises into it, exports nothing that was not said, returns nothing to it.

Knows the loop's words and where they go. The run's own arithmetic is in `run`, the registry in `instruments`.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from dashboard.catalogue import METRICS, evolution, experts, inference, monitoring
from dashboard.catalogue.spec import Metric
from dashboard.observer import otlp, otlpmetrics, push, statsd
from dashboard.observer.failures import LOG, Failures
from dashboard.observer.inference import Request, Throughput
from dashboard.observer.instruments import Instruments, Samples
from dashboard.observer.names import Vocabulary
from dashboard.observer.phases import Phases, Timed
from dashboard.observer.run import Run, Said, Topology
from dashboard.observer.tracing import EVOLUTION_STEP, INFERENCE, Phase, Tracing
from dashboard.observer.tracing import asked as traced
from dashboard.observer.values import family, number, numbers
from dashboard.observer.watch import Extract, Watch
from dashboard.observer.waysout import WayOut

ELAPSED = "elapsed_time_seconds"  # the guide's log line has it; it is no metric
RUNS_REMEMBERED = 16  # ended runs of this process whose state stays exported

EXPORTED = (*(metric for metric in METRICS if metric not in monitoring.METRICS), monitoring.OBSERVER_FAILURES)


class Observer:
    """Watches one process that evolves, trains or serves a router.

    Args:
        port: serve /metrics there; 0 takes any free port, None serves nothing. A port in use is said and counted,
            and no other is taken in silence.
        addr: address to listen on.
        run_name: what people call the run.
        runs_dir: write `<runs_dir>/<run_id>/` there; None writes nothing.
        aliases: the loop's own names → catalogue names or short forms.
        registry: publish in this registry instead of one of the observer's own.
        pushgateway: also push to this URL; default: the environment variable MOE_OBSERVER_PUSHGATEWAY.
        dogstatsd: also send to this "host:port"; default: the environment variable MOE_OBSERVER_DOGSTATSD.
        tags: on everything sent to DogStatsD.
        otlp_metrics: send metrics by OTLP over HTTP; needs the extra `otel`. Default: where
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is set, or OTEL_METRICS_EXPORTER says otlp and OTEL_EXPORTER_OTLP_ENDPOINT where to.
        tracing: send spans by OTLP over HTTP; needs the extra `otel`. Default: where OTEL_EXPORTER_OTLP_ENDPOINT is set.
            The OTEL_* environment variables say where to and how.
    """

    def __init__(
        self, port: int | None = None, *, run_name: str = "run", runs_dir: str | os.PathLike[str] | None = None,
        aliases: Mapping[str, str] | None = None, registry: CollectorRegistry | None = None, addr: str = "127.0.0.1",
        pushgateway: str | None = None, dogstatsd: str | None = None, tags: Mapping[str, str] | None = None,
        otlp_metrics: bool | None = None, tracing: bool | None = None,
    ) -> None:  # fmt: skip
        self._pid = os.getpid()
        self._instruments = Instruments(EXPORTED)
        self._failures = Failures(
            lambda error_type: self._instruments.count(monitoring.OBSERVER_FAILURES, (error_type,))
        )
        self._vocabulary = Vocabulary()
        with self._failures.swallowing("use the aliases"):
            self._vocabulary = Vocabulary(aliases)
        self._run_name = run_name
        self._runs_dir = None if runs_dir is None else Path(runs_dir)
        self._run: Run | None = None
        self._runs: list[str] = []
        self._throughput = Throughput()
        self._phases = Phases()
        self._watches: list[Watch] = []
        self._sampled = float("-inf")  # when an inference line was last written, monotonic seconds
        self._server: Any = None
        self.registry = CollectorRegistry() if registry is None else registry
        self._register(own=registry is None)
        self._instruments.ask_at_scrape(self._live)
        self._serve(port, addr)
        self._ways_out: list[WayOut] = []
        with self._failures.swallowing("set up its ways out"):
            self._open_ways_out(pushgateway, dogstatsd, tags)
        with self._failures.swallowing("send metrics by OTLP"):
            if otlpmetrics.asked(otlp_metrics):
                self._open_otlp_metrics()
        self._tracing: Tracing | None = None
        with self._failures.swallowing("trace"):
            self._tracing = Tracing.open(self._failures) if traced(tracing) else None

    @property
    def port(self) -> int | None:
        """The port /metrics is served on; None where it is not served."""
        return None if self._server is None else int(self._server.server_port)

    def run(self, name: str | None = None, config: Mapping[str, object] | None = None) -> Run:
        """Begin a run. As a context: `with observer.run("digits", config={...}) as run:`.

        A run still in progress is finished first. Without this, the first `log` begins a run.
        """
        if self._run is not None:
            with self._failures.swallowing("finish the run before"):
                self._run.end()
        self._forget_ended()
        run = Run(
            name or self._run_name,
            config or {},
            self._runs_dir,
            self._instruments,
            self._failures,
            self._run_ended,
            self._where,
        )
        self._run = run
        self._phases.begin()
        if self._tracing is not None:
            self._tracing.run_began(run.run_id)
        self._runs.append(run.run_id)
        return run

    def log(self, values: Mapping[str, object], step: int | None = None, topology: object = None) -> None:
        """Publish values, all in one moment; with a step (the generation) also write the generation's line.

        Args:
            values: catalogue name, short form, guide log name or alias → number; a labelled metric → dict keyed by
                the label, by tuples `(layer, expert)`, or a sequence. A dict replaces all series of its metric.
                None, NaN and infinities remove the series. A counter is said as its total, a histogram as
                one observation or several.
            step: the generation that ended. A value under `generation` serves as well.
            topology: (T tokens × E experts) matrix of the best genome, or {"matrix":…, "top_k":…, "fitness":…}.
        """
        if os.getpid() != self._pid:
            return  # a forked worker is not the run
        with self._failures.swallowing("log"):
            self._log(values, step, topology)

    def __call__(self, status: object, *_: object, **__: object) -> None:
        """Callback form: take what is understood from a dict or from an object's attributes, and leave the rest.

        Aliases may be dotted paths: `aliases={"opt.fitness": "fitness_best"}`.
        """
        with self._failures.swallowing("read a status"):
            known: dict[str, object] = {}
            for key in (*self._vocabulary, ELAPSED):
                value = _look_up(status, key)
                if value is not None and not callable(value):
                    known[key] = value
            if os.getpid() == self._pid:
                self._log(known, None, _look_up(status, "topology"))

    def inference(self, batch_size: int = 1) -> Request:
        """Time one request: `with observer.inference(batch_size=32): ...`. An exception counts as an error and goes on up."""
        span = None if self._tracing is None else self._tracing.span(INFERENCE, {"batch_size": batch_size})
        return Request(batch_size, self._instruments, self._throughput, self._failures, self._served, span)

    def span(self, name: str, **attributes: object) -> "Timed | Phase | contextlib.nullcontext[None]":
        """Time a phase of the generation: `with observer.span("fitness_evaluation"): ...`; with tracing it is a span too.

        Phases of the thread that logs the generation, in no other phase, become evolution_phase_duration_seconds. As a
        span it lies below the one that is open here, else below the generation in progress, whose own span,
        evolution_step, opens and ends by itself; a loop may also open it: `observer.span("evolution_step")`.
        """
        span = None if self._tracing is None else self._tracing.span(name, attributes)
        if name == EVOLUTION_STEP:  # the whole, not a part of it
            return span if span is not None else contextlib.nullcontext()
        return self._phases.timed(name, span)

    def watch(
        self, module: Any, *, experts: int | None = None, top_k: int | None = None, extract: Extract | None = None,
        select: Callable[[str, Any], bool] | None = None,
    ) -> Watch:  # fmt: skip
        """Count where a torch router sends its tokens, by forward hooks that return nothing.

        Args:
            module: a router (gate) module, or a model in which every router is found.
            experts: how many experts each layer has; read from the module or its logits where not given.
            top_k: how many experts a token takes; read from the module where not given.
            extract: (module, inputs, output) → tensor: chosen expert indices (integers, negative: dropped), a mask
                (…, experts) of booleans, or logits (…, experts).
            select: (qualified name, module) → is it a router; replaces the search by name.

        Returns:
            A handle with `remove()`; also a context.
        """
        watch = Watch(self._failures, experts=experts, top_k=top_k, extract=extract)
        with self._failures.swallowing("watch a module"):
            watch.attach(module, select)
            self._watches.append(watch)
        return watch

    def event(self, event: str, level: str = "info", **fields: object) -> None:
        """Write one structured line to the run's events.jsonl."""
        if self._run is not None:
            self._run.event(event, level, **fields)

    def close(self, error: BaseException | None = None) -> None:
        """End the run (finished, or failed with the error) and stop serving."""
        if os.getpid() != self._pid:
            return
        if self._run is not None:
            with self._failures.swallowing("end the run"):
                self._run.end(error)
        for watch in self._watches:
            watch.remove()
        for way in self._ways_out:
            way.close()
        if self._tracing is not None:
            with self._failures.swallowing("send the last spans"):
                self._tracing.close()
        if self._server is not None:
            with self._failures.swallowing("stop serving /metrics"):
                stopping = threading.Thread(target=self._server.shutdown)
                stopping.start()
                with contextlib.suppress(
                    OSError
                ):  # a visitor wakes the server, which looks up twice a second only
                    socket.create_connection(self._server.server_address[:2], timeout=1).close()
                stopping.join()
                self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error if isinstance(error, Exception) else None)

    def _log(self, values: Mapping[str, object], step: int | None, topology: object) -> None:
        said: Said = {}
        for key, value in values.items():
            if key == ELAPSED:
                continue
            with self._failures.swallowing(f"log {key!r}"):
                metric = self._vocabulary.metric(key)
                if metric.kind == "histogram":
                    self._instruments.observe(metric, numbers(value))
                else:
                    said[metric] = family(metric, value)
        generation = said.get(evolution.GENERATION, {}).get(())
        if step is None and generation is not None:
            step = int(generation)
        run = self._run if self._run is not None else self.run()
        best_topology = None
        if topology is not None:
            with self._failures.swallowing("read the topology"):
                best_topology = Topology.read(topology)
        if step is not None and run.generation_ended(int(step)):
            said = {**self._measured(), **said}
        elapsed = number(values.get(ELAPSED))
        trace: Mapping[str, str] = {}
        if step is not None and self._tracing is not None:
            with self._failures.swallowing("end the generation's span"):
                trace = self._tracing.generation_ended(int(step))
        run.report(said, None if step is None else int(step), best_topology, elapsed, trace)

    def _measured(self) -> Said:
        """What the observer itself measured since the last generation."""
        said: Said = {}
        phases = self._phases.generation_ended()
        if phases:
            said[evolution.PHASE_DURATION] = {(name,): seconds for name, seconds in phases.items()}
        throughput = self._throughput.read()
        if throughput is not None:
            said[inference.THROUGHPUT] = {(): throughput}
        for watch in self._watches:
            for metric, found in watch.generation().items():
                said[metric] = {**said.get(metric, {}), **found}
        return said

    def _live(self) -> Mapping[Metric, Samples]:
        run_id = "" if self._run is None else self._run.run_id
        found: dict[Metric, dict[tuple[str, ...], float]] = {}
        with self._failures.swallowing("measure at a scrape"):
            throughput = self._throughput.read()
            if throughput is not None:
                found[inference.THROUGHPUT] = {(): throughput}
            for watch in self._watches:
                tokens = found.setdefault(experts.TOKENS, {})
                tokens.update({(run_id, *labels): total for labels, total in watch.totals().items()})
                if self._run is None:  # a server without generations: the load of the last minute
                    shares = found.setdefault(experts.UTILIZATION, {})
                    shares.update({("", *labels): share for labels, share in watch.recent().items()})
        return found

    def _where(self, promised: bool) -> Mapping[str, str]:  # noqa: FBT001  the only argument of a callback
        return {} if self._tracing is None else self._tracing.here(promised=promised)

    def _served(self, batch_size: int, latency_seconds: float, trace: Mapping[str, str]) -> None:
        """At most one sampled line a second, under the guide's field names (milliseconds there)."""
        now = time.monotonic()
        if self._run is None or now - self._sampled < 1:
            return
        self._sampled = now
        self._run.event(
            "Inference completed",
            batch_size=batch_size,
            latency_ms=round(latency_seconds * 1000, 3),
            throughput_samples_per_sec=self._throughput.read(),
            **trace,
        )

    def _run_ended(self, run: Run) -> None:
        if self._run is run:
            self._run = None
        if self._tracing is not None:
            with self._failures.swallowing("send the run's last spans"):
                self._tracing.run_ended(run.error)
        for way in self._ways_out:
            way.flush()

    def _forget_ended(self) -> None:
        """Values of runs before vanish when a new one begins; their states stay, the last few."""
        remembered = set(self._runs[-RUNS_REMEMBERED:])
        states = (evolution.RUN_ACTIVE, evolution.RUN_STATE, evolution.RUN_INFO)
        changes: dict[Metric, Samples] = {
            metric: {} for metric in EXPORTED if "run_id" in metric.labels and metric not in states
        }
        for metric in states:
            published = self._instruments.published(metric)
            changes[metric] = {
                labels: value for labels, value in published.items() if labels[0] in remembered
            }
        self._instruments.publish(changes)

    def _register(self, *, own: bool) -> None:
        with self._failures.swallowing("register its metrics"):
            if own:
                ProcessCollector(registry=self.registry)  # process_start_time_seconds tells restarts
            taken = self._instruments.register(self.registry)
            if taken:
                raise ValueError(
                    f"the registry already has {', '.join(taken)}; those stay as they are and the observer exports the rest"
                )

    def _open_ways_out(
        self, pushgateway: str | None, dogstatsd: str | None, tags: Mapping[str, str] | None
    ) -> None:
        url = pushgateway or os.environ.get("MOE_OBSERVER_PUSHGATEWAY")
        if url:
            gateway = push.Pushgateway(url, self._instruments, lambda: self._runs[-1] if self._runs else None)
            self._ways_out.append(WayOut("the Pushgateway", gateway.send, self._failures, push.EVERY_SECONDS))
        address = dogstatsd or os.environ.get("MOE_OBSERVER_DOGSTATSD")
        if address:
            agent = statsd.DogStatsD(address, self._instruments, tags)
            self._ways_out.append(WayOut("DogStatsD", agent.send, self._failures, statsd.EVERY_SECONDS))

    def _open_otlp_metrics(self) -> None:
        out = otlpmetrics.OtlpMetrics(self._instruments)
        self._ways_out.append(
            WayOut(
                otlpmetrics.NAME, out.send, self._failures, otlpmetrics.every_seconds(),
                longest_wait_seconds=otlp.LONGEST_WAIT_SECONDS, give_up=out.stop,
            )
        )  # fmt: skip

    def _serve(self, port: int | None, addr: str) -> None:
        if port is None:
            return
        try:
            self._server, _ = start_http_server(port, addr=addr, registry=self.registry)
        except (OSError, OverflowError) as error:
            self._failures.swallow(
                f"serve /metrics on {addr}:{port} (choose another port; none is taken in its place)", error
            )
            return
        LOG.info("Metrics of this process: http://%s:%s/metrics", addr, self.port)


def _look_up(status: object, path: str) -> Any:
    """A key or attribute of a status, or a dotted path through it; None where it is not there."""
    if isinstance(status, Mapping) and path in status:
        return status[path]
    for part in path.split("."):
        status = status.get(part) if isinstance(status, Mapping) else getattr(status, part, None)
        if status is None:
            return None
    return status
