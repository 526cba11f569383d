"""Fixtures shared by all tests: real services, each a function that starts one and stops it when the test ends.

    def test_a_stopped_target_is_down(prometheus, scrape_target):
        target = scrape_target("evolution_fitness_best 0.9\n")
        server = prometheus(targets={"moe-router": target.target})
        server.wait_for("evolution_fitness_best")

For a service that lives longer than one test, write a fixture of that scope around the context managers in
`tests.services`.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests import services
from tests.browser.screen import chromium

Start = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless; one for all tests of the process, because Playwright runs only once in it."""
    with chromium() as running:
        yield running


@pytest.fixture
def _stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def _new_directory(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        return tmp_path / f"{name}-{sum(1 for _ in tmp_path.glob(f'{name}-*'))}"

    return make


@pytest.fixture
def prometheus(_stack: contextlib.ExitStack, _new_directory: Callable[[str], Path]) -> Start:
    """Start a Prometheus: see `tests.services.prometheus` for its arguments."""

    def start(**arguments: Any) -> services.PrometheusService:
        return _stack.enter_context(services.prometheus(_new_directory("prometheus"), **arguments))

    return start


@pytest.fixture
def alertmanager(_stack: contextlib.ExitStack, _new_directory: Callable[[str], Path]) -> Start:
    """Start an Alertmanager: see `tests.services.alertmanager`."""

    def start(**arguments: Any) -> services.Service:
        return _stack.enter_context(services.alertmanager(_new_directory("alertmanager"), **arguments))

    return start


@pytest.fixture
def pushgateway(_stack: contextlib.ExitStack, _new_directory: Callable[[str], Path]) -> Start:
    """Start a Pushgateway: see `tests.services.pushgateway`."""

    def start() -> services.Service:
        return _stack.enter_context(services.pushgateway(_new_directory("pushgateway")))

    return start


@pytest.fixture
def dashboard_server(_stack: contextlib.ExitStack, _new_directory: Callable[[str], Path]) -> Start:
    """Start `moe-dashboard serve`: see `tests.services.dashboard`; keywords are settings."""

    def start(**settings: object) -> services.Service:
        return _stack.enter_context(services.dashboard(_new_directory("dashboard"), **settings))

    return start


@pytest.fixture
def scrape_target(_stack: contextlib.ExitStack) -> Start:
    """Serve a text as /metrics: see `tests.services.scrape_target`."""

    def start(text: str = "") -> services.ScrapeTarget:
        return _stack.enter_context(services.scrape_target(text))

    return start
