"""Pages run as Streamlit runs them, in this process, over sources built from settings; a Prometheus that knows a router."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import settings as configuration
from dashboard import sources
from dashboard.settings import Settings
from dashboard.sources import Sources
from tests import services
from tests.pages.router import serving

OpenPage = Callable[..., AppTest]


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[OpenPage]:
    """Open pages/NAME.py: keywords are settings, `query` the address; the page has run when it returns."""
    before = list(configuration._chosen), list(sources._current)

    def opened(name: str, *, query: dict[str, str] | None = None, **settings: object) -> AppTest:
        chosen = Settings(**{"data_dir": tmp_path / "data", "refresh_seconds": 1.0, **settings})  # type: ignore[arg-type]
        configuration.use(chosen)
        sources._current[:] = [Sources(chosen)]
        app = AppTest.from_function(_one_page, kwargs={"name": name}, default_timeout=30)
        for key, value in (query or {}).items():
            app.query_params[key] = value
        return app.run()

    yield opened
    for current in sources._current:
        if "feed" in current.__dict__:
            current.feed.close()
    configuration._chosen[:], sources._current[:] = before


def _one_page(name: str) -> None:
    """The site map with another start page, so that nothing else runs first. Streamlit runs this text, not the function."""
    import streamlit as st

    from dashboard.sitemap import ENTRIES, script

    pages = [st.Page(script(entry), title=entry.title, default=entry.script == name) for entry in ENTRIES]
    st.navigation(pages).run()


@pytest.fixture(scope="session")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.PrometheusService]:
    """A Prometheus that scrapes a router, shared by all pages' tests."""
    with serving(tmp_path_factory.mktemp("pages") / "prometheus") as server:
        yield server
