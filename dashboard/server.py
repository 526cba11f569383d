"""The ASGI app: Streamlit, health, readiness and metrics on one port; it starts the sampler and stops it."""

import contextlib
import gc
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import streamlit as st
import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.middleware import Middleware
from streamlit import runtime

from dashboard import journal
from dashboard import settings as configuration
from dashboard.catalogue.monitoring import SESSIONS
from dashboard.headers import SafetyHeaders
from dashboard.health import routes
from dashboard.settings import Settings
from dashboard.shell import assets, later
from dashboard.sitemap import ENTRIES
from dashboard.sources import Sources, current

CONFIG = Path(__file__).resolve().parents[1] / ".streamlit" / "config.toml"

log = structlog.get_logger("dashboard.server")


def serve(settings: Settings) -> int:
    """Serve until interrupted; returns the exit code of the process."""
    configuration.use(settings)
    journal.configure(settings.data_dir / "logs", level=settings.log_level)
    log.debug("Settings", chosen=settings.chosen())
    sources = current()
    app(sources).run(config=_config(settings))
    return 0


def app(sources: Sources) -> st.App:
    """The app of these sources: pages under /, and our own routes beside them."""

    @contextlib.asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
        sources.build()
        sources.sampler.start()
        sources.benchmark_hosts.start()
        sources.registry.register(_Sessions())
        gc.freeze()  # what is loaded now stays: later collections need not look at it again
        try:
            yield {}
        finally:
            sources.benchmark_hosts.stop()
            sources.sampler.stop()

    return st.App(
        Path(__file__).with_name("sitemap.py"),
        routes=[
            *routes(sources.health, sources.registry),
            *assets.routes(entry.url for entry in ENTRIES),
            later.route(),
        ],
        middleware=[Middleware(SafetyHeaders, documents=[assets.empty_page()])],
        lifespan=lifespan,
        on_script_error=_logged,
    )


class _Sessions(Collector):
    """How many browsers are connected, as Streamlit counts them."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The name, without asking the runtime."""
        yield GaugeMetricFamily(SESSIONS.name, SESSIONS.help)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Nothing before the runtime runs: unknown is not 0."""
        family = GaugeMetricFamily(SESSIONS.name, SESSIONS.help)
        if runtime.exists():
            for stat in (
                runtime.get_instance().stats_mgr.get_stats(["active_sessions"]).get("active_sessions", ())
            ):
                family.add_metric((), float(getattr(stat, "value", 0)))
        yield family


def _logged(error: BaseException) -> None:
    log.error("A page failed", exc_info=error)


def _config(settings: Settings) -> Mapping[str, Any]:
    """Streamlit's options as "section.name", from the file beside the packages, and our address over it."""
    shipped = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    flat = dict(_flat(shipped))
    return flat | {"server.port": settings.port, "server.address": settings.host}


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in table.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return pairs
