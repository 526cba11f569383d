"""`moe-dashboard demo`: the example router and everything that watches it, started, watched over and stopped.

Knows which processes there are, how they find each other and when each is ready. Knows no metric and no
page. Five neighbouring ports, one folder: two demos with different base ports do not meet. How a process
is kept from outliving us is in `dashboard.processes`.
"""

import argparse
import contextlib
import ctypes
import fcntl
import importlib.util
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, NoReturn, Self

import yaml

from dashboard import leftovers
from dashboard.ports import HOST, Ports
from dashboard.processes import Child, ChildFailed, answers
from dashboard.settings import Settings

ROOT = Path(__file__).resolve().parents[1]

SCRAPE_SECONDS = 2
EVALUATION_SECONDS = 5
PACE_SECONDS = 2.0  # the router serves requests until a generation took this long: each one is scraped
RESEND_SECONDS = (
    5  # Prometheus repeats a firing alert this often: an Alertmanager that comes late still hears it
)
EXAMPLE_TARGET = (
    "examples.evolving_router.benchmark:generation"  # a name for the worker; nothing is imported here
)


class CannotStart(Exception):
    """The demo cannot start; the message says what is in the way and what to do about it."""


class Demo:
    """The processes of one demo. A context manager: leaving it stops everything, in reverse order.

    Args:
        directory: everything it writes: logs, runs, Prometheus's data, the dashboard's store.
        ports: where each process listens.
        router_arguments: passed on to the example router, e.g. ["--mutation-rate", "0"].
        benchmark_targets: what the dashboard offers to measure, besides the example's own generation step.
        say: where progress lines go.
    """

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        *,
        router_arguments: Sequence[str] = (),
        benchmark_targets: Sequence[str] = Settings().benchmark_targets,
        say: Callable[[str], None] = print,
    ) -> None:
        self.directory = directory.resolve()
        self.ports = ports
        self.router_arguments = tuple(router_arguments)
        self.benchmark_targets = tuple(dict.fromkeys([*benchmark_targets, EXAMPLE_TARGET]))
        self.say = say
        self.children: dict[str, Child] = {}
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        """The dashboard."""
        return f"http://{HOST}:{self.ports.dashboard}"

    @property
    def prometheus_url(self) -> str:
        """The demo's own Prometheus."""
        return f"http://{HOST}:{self.ports.prometheus}"

    @property
    def alertmanager_url(self) -> str:
        """The demo's own Alertmanager."""
        return f"http://{HOST}:{self.ports.alertmanager}"

    @property
    def runs(self) -> Path:
        """Where the router writes its run directories."""
        return self.directory / "runs"

    def start(self) -> None:
        """Start all processes and return when each answers.

        Raises:
            CannotStart: a program or a port is missing.
            ChildFailed: a process ended or never answered; its last log lines are in the message.
        """
        programs = _programs()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            leftovers.clear(self.directory, self.say)  # we hold the lock: whoever wrote it is dead
            self._require_ports()
            self._write_configuration()
            for child in self._plan(programs):
                self.children[child.name] = child.start()
                leftovers.remember(self.directory, self.children)
            for name, path, patience_seconds in _READY:
                self._await(name, path, patience_seconds)
        except ChildFailed as why:
            self.stop()
            objections = self.ports.objections()  # a twin that started at the same moment was quicker
            if objections:
                raise CannotStart(" ".join([*objections, self._other_ports()])) from why
            raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what runs, the last started first; a signal that comes meanwhile must not leave half of it behind."""
        with _deaf():
            for name, child in reversed(self.children.items()):
                if child.running:
                    self.say(f"Stopping {name}")
                child.stop()
            self.children.clear()
            leftovers.cancel_benchmarks(self.directory / "dashboard", self.say)
            if self._lock is not None:
                leftovers.forget(self.directory)
                self._lock.close()
                self._lock = None

    def watch(self) -> str:
        """Wait until the dashboard ends by itself, and return why; say it when another process ends."""
        gone: set[str] = set()
        while True:
            for name, child in self.children.items():
                if not child.running and name not in gone:
                    gone.add(name)
                    if name == "dashboard":
                        return (
                            f"The dashboard ended with {child.returncode}. Log: {child.log}\n{child.tail()}"
                        )
                    self.say(
                        f"{name} ended with {child.returncode}; the rest goes on. Log: {child.log}\n{child.tail(5)}"
                    )
            time.sleep(0.5)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- what to start ---------------------------------------------------------------------------------------

    def _plan(self, programs: dict[str, str]) -> list[Child]:
        """The processes in the order of starting: who is written to before who writes."""
        at, data = self.ports, self.directory
        python = [sys.executable, "-m"]
        return [
            self._child(
                "Alertmanager",
                [
                    programs["alertmanager"],
                    f"--config.file={data / 'alertmanager.yml'}",
                    f"--storage.path={data / 'alertmanager'}",
                    f"--web.listen-address={HOST}:{at.alertmanager}",
                    "--cluster.listen-address=",
                ],
            ),
            self._child(
                "Prometheus",
                [
                    programs["prometheus"],
                    f"--config.file={data / 'prometheus.yml'}",
                    f"--storage.tsdb.path={data / 'prometheus'}",
                    "--storage.tsdb.retention.time=7d",
                    "--storage.tsdb.retention.size=2GB",
                    f"--rules.alert.resend-delay={RESEND_SECONDS}s",
                    "--enable-feature=exemplar-storage",
                    f"--web.listen-address={HOST}:{at.prometheus}",
                ],
            ),
            self._child("exporter", [*python, "dashboard.cli", "exporter"], EXPORTER_PORT=at.exporter),
            self._child(
                "router",
                [
                    *python,
                    "examples.evolving_router",
                    *("--generations", "0"),
                    *("--pace", f"{PACE_SECONDS:g}"),
                    *("--port", str(at.router)),
                    *("--runs-dir", str(self.runs)),
                    *self.router_arguments,
                ],
            ),
            self._child(
                "dashboard",
                [*python, "dashboard.cli", "serve"],
                PORT=at.dashboard,
                HOST=HOST,
                PROMETHEUS_URL=self.prometheus_url,
                ALERTMANAGER_URL=self.alertmanager_url,
                RUNS_DIR=self.runs,
                DATA_DIR=data / "dashboard",
                DASHBOARD_URL=self.url,
                BENCHMARK_TARGETS=",".join(self.benchmark_targets),
            ),
        ]

    def _child(self, name: str, command: list[str], **settings: object) -> Child:
        environment = {f"MOE_DASHBOARD_{key}": str(value) for key, value in settings.items()}
        return Child(
            name, command, log=self.directory / "logs" / f"{name.lower()}.log", cwd=ROOT, env=environment
        )

    def _write_configuration(self) -> None:
        self.runs.mkdir(exist_ok=True)
        scrapes = {
            "moe-router": self.ports.router,
            "moe-exporter": self.ports.exporter,
            "moe-dashboard": self.ports.dashboard,
            "prometheus": self.ports.prometheus,
            "alertmanager": self.ports.alertmanager,
        }
        prometheus = {
            "global": {
                "scrape_interval": f"{SCRAPE_SECONDS}s",
                "scrape_timeout": f"{SCRAPE_SECONDS}s",
                "evaluation_interval": f"{EVALUATION_SECONDS}s",
            },
            "rule_files": [str(self.directory / "rules" / "rules.yml")],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [f"{HOST}:{self.ports.alertmanager}"]}]}]
            },
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
                for job, port in scrapes.items()
            ],
        }
        alertmanager = {
            "route": {"receiver": "the-dashboard-shows-them", "group_by": ["alertname"], "group_wait": "5s"},
            "receivers": [{"name": "the-dashboard-shows-them"}],
        }
        for name, document in (("prometheus", prometheus), ("alertmanager", alertmanager)):
            (self.directory / f"{name}.yml").write_text(
                yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
            )
        self.say("Exporting the alert rules")
        command = [
            sys.executable,
            "-m",
            "dashboard.cli",
            "export",
            "rules",
            "-o",
            str(self.directory / "rules"),
        ]
        with self._child("export", command, DASHBOARD_URL=self.url).start() as export:
            ended = lambda: not export.running  # noqa: E731 - named because "ended" is what is waited for
            export.wait_until(ended, timeout_seconds=60, what="write the rules")
            if export.returncode != 0:
                raise ChildFailed(
                    f"The alert rules could not be exported. Log: {export.log}\n{export.tail()}"
                )

    def _await(self, name: str, path: str, patience_seconds: float) -> None:
        port: int = getattr(self.ports, name.lower())
        began = time.monotonic()
        self.say(f"Waiting for {name} on port {port}")
        url = f"http://{HOST}:{port}{path}"

        def ready() -> bool:
            for child in self.children.values():
                child.require_running()  # one that cannot start is said now, not after the patience with another
            return answers(url)

        self.children[name].wait_until(ready, timeout_seconds=patience_seconds, what=f"answer at {url}")
        self.say(f"  {name} answers ({time.monotonic() - began:.1f} s)")

    # --- what may be in the way -------------------------------------------------------------------------------

    def _take_lock(self) -> None:
        lock = (self.directory / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as why:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise CannotStart(
                f"Port {self.ports.dashboard} is in use by a demo that already runs (pid {owner}): {self.url}. "
                + self._other_ports()
            ) from why
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock  # held as long as it is open, so as long as we live

    def _require_ports(self) -> None:
        objections = self.ports.objections()
        if objections:
            raise CannotStart(" ".join([*objections, self._other_ports()]))

    def _other_ports(self) -> str:
        free = self.ports.alternative() or "…"
        return f"Choose others with `make demo PORT={free}` (or `moe-dashboard demo --port {free}`)."


# in the order of waiting: (process, path that answers when it is ready, seconds of patience)
_READY = (
    ("Alertmanager", "/-/ready", 30.0),
    ("Prometheus", "/-/ready", 60.0),
    ("exporter", "/metrics", 60.0),
    ("dashboard", "/livez", 90.0),
    ("router", "/metrics", 120.0),  # imports torch and trains the first experts
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `demo` and its flags."""
    about = "start an example router, Prometheus, Alertmanager, exporter and dashboard; Ctrl-C stops them all"
    parser = subparsers.add_parser("demo", help=about, description=about)
    parser.add_argument(
        "--port", type=_base, help="port of the dashboard (setting: port); the others take the four after it"
    )
    parser.add_argument(
        "--directory", type=Path, help="where it keeps its data (default: demo/PORT in data_dir)"
    )
    parser.add_argument(
        "--router-args", type=shlex.split, default=[], metavar="WORDS",
        help="passed on to the example router: --router-args='--mutation-rate 0'",
    )  # fmt: skip
    parser.add_argument(
        "--stop-with-parent",
        action="store_true",
        help="stop when the process that started this one ends, however",
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the demo until Ctrl-C or a request to end; returns the exit status."""
    base = settings.port if arguments.port is None else arguments.port
    directory = arguments.directory or settings.data_dir / "demo" / str(base)
    if arguments.config is not None:
        os.environ["MOE_DASHBOARD_CONFIG"] = str(
            arguments.config.resolve()
        )  # the children read the same file
    if arguments.stop_with_parent:
        _stop_with_parent()
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # SIGINT too: a shell in the background turns it off
        signal.signal(number, _interrupt)
    demo = Demo(
        directory,
        Ports.following(base),
        router_arguments=arguments.router_args,
        benchmark_targets=settings.benchmark_targets,
        say=_say,
    )
    try:
        with demo:
            _say(
                f"\n  Dashboard     {demo.url}\n  Prometheus    {demo.prometheus_url}\n"
                f"  Alertmanager  {demo.alertmanager_url}\n  Logs          {demo.directory / 'logs'}\n\n"
                "Ctrl-C stops everything."
            )
            _say(demo.watch())
        return 1
    except (CannotStart, ChildFailed) as why:
        print(f"moe-dashboard demo: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _base(word: str) -> int:
    base = int(word)
    if not 1 <= base <= 65_531:
        raise argparse.ArgumentTypeError(
            f"{base} and the four ports after it are not all between 1 and 65535"
        )
    return base


def _programs() -> dict[str, str]:
    """Paths of the programs of others; CannotStart names every missing one at once."""
    prometheus = shutil.which("prometheus")
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    missing = [
        name
        for name, path in (("prometheus", prometheus), ("prometheus-alertmanager", alertmanager))
        if not path
    ]
    advice = []
    if missing:
        advice.append(
            f"{' and '.join(missing)} not found on PATH. On Debian: apt-get install {' '.join(missing)} "
            "(`make demo` does it by itself where it may)."
        )
    if not (ROOT / "examples" / "evolving_router").is_dir():
        advice.append(
            "The example router is part of the repository, not of the package: run the demo in a checkout."
        )
    lacking = [name for name in ("torch", "sklearn") if importlib.util.find_spec(name) is None]
    if lacking:
        advice.append(
            f"The example router needs {' and '.join(lacking)}: pip install -c constraints.txt -e '.[example]'."
        )
    if prometheus is None or alertmanager is None or advice:
        raise CannotStart(" ".join(advice))
    return {"prometheus": prometheus, "alertmanager": alertmanager}


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Ignore requests to end while we are ending; each wait inside is bounded."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_with_parent() -> None:
    """Have the kernel send us SIGTERM when our parent dies: `make` may be killed without a word."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG
