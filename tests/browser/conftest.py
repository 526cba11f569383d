"""One demo and one Chromium for all browser tests of a session: the real processes, on free ports."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from dashboard.demo import Demo
from dashboard.ports import Ports
from tests import services
from tests.browser.screen import Screen, screen


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo whose Prometheus has scraped three different generations."""
    for name in ("prometheus", "prometheus-alertmanager"):
        services.program(name)
    directory: Path = tmp_path_factory.mktemp("demo")
    with Demo(directory, Ports.following(services.free_base()), say=lambda _: None) as running:
        server = services.PrometheusService(running.prometheus_url, running.children["Prometheus"], directory)
        services.wait_until(
            lambda: _generations(server) >= 3, 120, "Prometheus to have scraped three generations"
        )
        yield running


def _generations(server: services.PrometheusService) -> int:
    """How many different generations Prometheus has stored."""
    series = server.get("/api/v1/query", query="evolution_generation_current[1h]")["data"]["result"]
    return max((len({value for _, value in one["values"]}) for one in series), default=0)


@pytest.fixture
def open_page(browser: Browser, demo: Demo) -> Iterator[Callable[..., Screen]]:
    """Open a path of the demo's dashboard in a fresh session; every session is closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def opened(path: str, **look: Any) -> Screen:
            shown = stack.enter_context(screen(browser, demo.url, **look))
            shown.open(path)
            return shown

        yield opened
