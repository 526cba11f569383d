"""The real server on its port: pages, what the browser fetches beside them, and our own routes."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest

from dashboard.server import _config
from dashboard.settings import Settings
from dashboard.shell import assets
from dashboard.sitemap import ENTRIES
from tests import services

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Service]:
    with services.dashboard(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


def get(url: str, **headers: str) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize("name", ["figure.js", "plotly.min.js"])
def test_scripts_are_packed_and_kept_by_the_browser(server, name):
    status, headers, _ = get(f"{server.url}/assets/{name}", **{"Accept-Encoding": "gzip"})
    assert status == 200
    assert headers.get_content_type() == "text/javascript"
    assert headers["content-encoding"] == "gzip"
    assert "immutable" in headers["cache-control"]


@pytest.mark.parametrize("name", ["page.py", "..%2Fpage.py", "icon.svg", "%2e%2e%2f%2e%2e%2fpyproject.toml"])
def test_nothing_else_of_the_disk_is_served(server, name):
    status, _, body = get(f"{server.url}/assets/{name}")
    assert b"import" not in body
    assert b"[project]" not in body
    assert status in {400, 404} or b"<!DOCTYPE html>" in body


@pytest.mark.parametrize("page", [entry.url for entry in ENTRIES if entry.url])
def test_a_deep_link_is_told_where_the_server_is(server, page):
    status, _, body = get(f"{server.url}/{page}")
    assert status == 200
    assert body.index(b"BACKEND_BASE_URL") < body.index(b'<script type="module"')


def test_our_routes_and_the_pages_share_a_port(server):
    assert get(f"{server.url}/livez")[0] == 200
    assert b"dashboard_queries_total" in get(f"{server.url}/metrics")[2]
    assert get(f"{server.url}/_stcore/health")[0] == 200


def test_the_loader_names_the_version_so_that_a_new_server_is_not_drawn_with_old_code():
    text = assets.loader("figure.js")
    assert "VERSION" not in text
    assert "NAME" not in text
    assert len(text) < 600  # it goes with every drawing


def test_the_address_is_the_operators_and_nothing_is_told_to_anybody():
    config = _config(Settings(host="127.0.0.1", port=8599))
    assert (config["server.address"], config["server.port"]) == ("127.0.0.1", 8599)
    assert config["browser.gatherUsageStats"] is False
    assert config["server.enableXsrfProtection"] is True
    assert config["client.showErrorDetails"] == "none"
