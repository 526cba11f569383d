"""Every knob: its name, unit, default, environment variable and meaning, in one table.

A value comes from the environment first, then from the TOML file named by `--config` or
`MOE_DASHBOARD_CONFIG`, then from its default. Knows no Streamlit and opens no connection.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

PREFIX = "MOE_DASHBOARD_"
TRACE_STORES = ("jaeger", "tempo")
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingError(ValueError):
    """A setting cannot be used; the message names the setting, where it came from and what is accepted."""


def _knob(default: Any, about: str, *, secret: bool = False) -> Any:
    metadata = {"about": about, "secret": secret}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's choices. Field names carry units; the environment variable is the name in capitals after MOE_DASHBOARD_."""

    # where numbers come from
    prometheus_url: str | None = _knob(
        None, "Prometheus, Thanos, Mimir or VictoriaMetrics base URL, path prefix included"
    )
    prometheus_username: str | None = _knob(None, "basic auth user")
    prometheus_password: str | None = _knob(None, "basic auth password", secret=True)
    prometheus_bearer_token: str | None = _knob(None, "bearer token", secret=True)
    prometheus_bearer_token_file: Path | None = _knob(
        None, "file with a bearer token that may rotate; read on every request"
    )
    prometheus_headers: dict[str, str] = _knob(
        {}, "extra headers, e.g. X-Scope-OrgID=team-a (environment: k=v,k=v)", secret=True
    )
    prometheus_ca_file: Path | None = _knob(None, "CA bundle for TLS")
    prometheus_client_cert_file: Path | None = _knob(None, "client certificate (PEM)")
    prometheus_client_key_file: Path | None = _knob(None, "client key (PEM)")
    prometheus_timeout_seconds: float = _knob(10.0, "longest a query may take, connect to last byte")
    prometheus_gzip: bool = _knob(False, "ask for compressed answers; pays below about 100 Mbit/s")
    alertmanager_url: tuple[str, ...] = _knob((), "Alertmanager base URL; replicas comma separated")
    runs_dir: Path | None = _knob(None, "directory in which observers write runs")
    log_files: tuple[str, ...] = _knob((), "further structured log files or globs beside the runs' own")
    loki_url: str | None = _knob(None, "Grafana Loki base URL, as a second source of log lines")
    loki_selector: str = _knob('{job="moe-router"}', "LogQL stream selector of the router's lines")
    loki_headers: dict[str, str] = _knob(
        {}, "sent to Loki, e.g. X-Scope-OrgID=team-a (environment: k=v,k=v)", secret=True
    )
    trace_url: str | None = _knob(
        None, "base URL of the trace store's query API: jaeger-query or Tempo's query frontend"
    )
    trace_store: str = _knob("jaeger", "what answers there: jaeger or tempo")
    trace_service: str = _knob("moe-router", "service.name of the router's spans")
    trace_headers: dict[str, str] = _knob(
        {}, "sent to the trace store, e.g. X-Scope-OrgID=team-a (environment: k=v,k=v)", secret=True
    )

    health_urls: dict[str, str] = _knob(
        {},
        "health addresses of other services to watch, name=URL, e.g. router=http://router:8080/health (shown on the Health page)",
        secret=True,
    )

    # where this server keeps things
    data_dir: Path = _knob(Path("var"), "benchmark runs and the store live here")
    store_url: str | None = _knob(
        None, "postgresql:// URL of the store; default: SQLite in the data directory", secret=True
    )

    # serving
    host: str = _knob("127.0.0.1", "address to listen on; loopback unless told otherwise")
    port: int = _knob(8501, "port of the dashboard")
    exporter_port: int = _knob(9105, "port of `moe-dashboard exporter`")
    refresh_seconds: float = _knob(5.0, "how often a page looks again; one look serves every viewer")
    window: str = _knob("1h", "how far back a page looks unless the URL says otherwise")
    log_level: str = _knob("info", "least level this server writes of itself: debug, info, warning or error")
    read_only: bool = _knob(False, "refuse everything that writes: benchmark, acknowledge, silence, tick")

    # who may do what
    role_claim: str = _knob(
        "roles", "claim of the login that says what somebody is; a.b for a claim b inside a"
    )
    operator_values: tuple[str, ...] = _knob(
        (), "values of that claim that may acknowledge, silence, tick, note and benchmark; * is everybody"
    )
    admin_values: tuple[str, ...] = _knob(
        (), "values of that claim that may do all that and read the audit log"
    )
    login_required: bool = _knob(False, "show no page to who has not logged in")
    accept_unauthenticated_writes: bool = _knob(
        False, "without a login, let everybody who reaches this server write, not only this machine"
    )

    # what the numbers mean here
    job: str = _knob("moe-router", "the scrape job of the observed router")
    latency_objective_seconds: float = _knob(0.1, "a request slower than this misses the objective")
    latency_objective_ratio: float = _knob(0.99, "share of requests that should be within the objective")
    utilization_scale: str = _knob(
        "auto", "scale of expert_utilization_ratio: auto, share, token_fraction or load_over_fair"
    )
    aliases: dict[str, str] = _knob(
        {}, "catalogue metric = PromQL of the series a fleet has instead (TOML table)"
    )

    # runbooks and benchmark
    runbooks_dirs: tuple[str, ...] = _knob(
        (), "folders of site-specific runbooks; they add to and override the shipped ones"
    )
    runbook_base_url: str = _knob(
        "", "prefix for runbook_url in exported rules; empty: the dashboard's own /runbooks page"
    )
    dashboard_url: str = _knob(
        "http://127.0.0.1:8501", "how people reach this dashboard; links in exported rules start with it"
    )
    benchmark_targets: tuple[str, ...] = _knob(
        ("reference-moe", "observed-router"),
        "benchmark targets a browser may choose; package.module:factory is allowed here alone",
    )
    benchmark_models: dict[str, str] = _knob(
        {},
        "further targets, name = path of a Hugging Face config.json, or a model_type and its fields: mixtral hidden_size=64",
    )
    benchmark_slurm: dict[str, str] = _knob(
        {},
        "sbatch options of benchmarks through Slurm, e.g. partition=gpu,gres=gpu:1,time=60; empty: not offered",
    )
    benchmark_lease_dir: Path | None = _knob(
        None,
        "where the dashboards of one host take turns on its GPUs; default: a folder in the temporary directory",
    )
    benchmark_memory_gib: float = _knob(
        0.0,
        "GiB of memory that a benchmark's worker and all it starts may take; 0: four fifths of what is free then",
    )
    benchmark_push_url: str | None = _knob(
        None, "Pushgateway that `moe-dashboard benchmark run` pushes its result to"
    )

    @classmethod
    def load(cls, config: Path | None = None, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the file, then the environment over it.

        Raises:
            SettingError: an unknown key, a missing file or a value of the wrong kind.
        """
        if config is None and environ.get(PREFIX + "CONFIG"):
            config = Path(environ[PREFIX + "CONFIG"])
        known = {knob.name: knob for knob in fields(cls)}
        values: dict[str, Any] = {}
        if config is not None:
            for name, value in _read_toml(config).items():
                if name not in known:
                    raise SettingError(
                        f"{config}: unknown setting {name!r}. Known: {', '.join(sorted(known))}."
                    )
                values[name] = _cast(known[name], value, f"{config}: {name}")
        for name, knob in known.items():
            variable = PREFIX + name.upper()
            if environ.get(variable, "") != "":
                values[name] = _cast(knob, environ[variable], variable)
        chosen = cls(**values)
        if chosen.log_level not in LOG_LEVELS:
            raise SettingError(f"log_level: {chosen.log_level!r} is not one of {', '.join(LOG_LEVELS)}.")
        for name, url in chosen.health_urls.items():
            if not url.startswith(("http://", "https://")):
                raise SettingError(f"health_urls: that of {name!r} does not begin with http:// or https://.")
        if chosen.trace_store not in TRACE_STORES:
            raise SettingError(
                f"trace_store: {chosen.trace_store!r} is not one of {', '.join(TRACE_STORES)}."
            )
        return chosen

    @classmethod
    def table(cls) -> list[tuple[str, str, str, str]]:
        """Rows (name, environment variable, default, about) for the README and `doctor`."""
        rows = []
        for knob in fields(cls):
            default = knob.default if knob.default is not MISSING else ""
            shown = (
                ", ".join(map(str, default))
                if isinstance(default, tuple)
                else ""
                if default is None
                else str(default)
            )
            rows.append((knob.name, PREFIX + knob.name.upper(), shown, knob.metadata["about"]))
        return rows

    def chosen(self) -> list[str]:
        """The names of what differs from its default; values may be secrets."""
        defaults = type(self)()
        return [
            knob.name for knob in fields(self) if getattr(self, knob.name) != getattr(defaults, knob.name)
        ]


_chosen: list[Settings] = []


def use(settings: Settings) -> None:
    """Make these the settings of this process; the command line calls it once, before anything reads them."""
    _chosen[:] = [settings]


def current() -> Settings:
    """The settings of this process; read from the environment if nobody chose any."""
    if not _chosen:
        use(Settings.load())
    return _chosen[0]


def _read_toml(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as why:
        raise SettingError(f"{config}: no such file.") from why
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as why:
        raise SettingError(f"{config}: cannot be read as TOML ({why}).") from why


def _cast(knob: "Field[Any]", value: object, source: str) -> Any:
    kind = str(knob.type).replace(" ", "")
    try:
        return _CASTS[kind](value)
    except (TypeError, ValueError, OverflowError) as why:
        expected = kind.removeprefix("<class'").removesuffix("'>").removesuffix("|None")
        raise SettingError(f"{source}: {value!r} is not usable as {expected} ({why}).") from why


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value.strip()


def _url_or_text(value: object) -> str | None:
    return _text(value).rstrip("/") or None


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = _text(value).lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise ValueError("true or false expected")


def _several(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else cast("list[object]", value)
    return tuple(_text(item).rstrip("/") for item in items if _text(item))


def _table(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {_text(key): _text(item) for key, item in value.items()}
    pairs = [item.partition("=") for item in _text(value).split(",") if item.strip()]
    if any(not sign for _, sign, _ in pairs):
        raise ValueError("key=value,key=value expected")
    return {key.strip(): item.strip() for key, _, item in pairs}


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise TypeError("number expected")
    return float(cast("str | float", value))


def _whole(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError("whole number expected")
    return int(cast("str | int", value))


_CASTS: dict[str, Callable[[object], Any]] = {
    "<class'str'>": _text,
    "str|None": _url_or_text,
    "<class'int'>": _whole,
    "<class'float'>": _number,
    "<class'bool'>": _flag,
    "<class'pathlib.Path'>": lambda value: Path(_text(value)).expanduser(),
    "pathlib.Path|None": lambda value: Path(_text(value)).expanduser(),
    "tuple[str,...]": _several,
    "dict[str,str]": _table,
}
