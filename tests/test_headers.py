"""What the browser is told about safety, and that it then does what it was told."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from dashboard.headers import policy
from dashboard.shell import assets
from dashboard.sitemap import ENTRIES
from tests import services
from tests.browser.screen import screen

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Service]:
    with services.dashboard(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


PATHS = ["/", "/livez", "/metrics", "/assets/figure.js", "/_stcore/health", "/assets/none", "/nowhere"]


@pytest.mark.parametrize("path", [*PATHS, *(f"/{entry.url}" for entry in ENTRIES if entry.url)])
def test_every_answer_is_told(server, path):
    try:
        answer = urllib.request.urlopen(server.url + path, timeout=10)
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        headers = answer.headers
    said = headers["Content-Security-Policy"].split("; ")
    assert "default-src 'self'" in said
    assert "frame-ancestors 'self'" in said
    assert "object-src 'none'" in said
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert len(headers.get_all("Content-Security-Policy")) == 1


def test_no_script_runs_because_it_stands_in_the_page():
    said = policy([assets.empty_page()])
    [scripts] = [part for part in said.split("; ") if part.startswith("script-src")]
    assert "unsafe" not in scripts
    assert scripts.count("'sha256-") == assets.empty_page().count("<script>")
    assert "http:" not in said
    assert "https:" not in said


@pytest.mark.browser
def test_the_browser_refuses_what_the_pages_do_not_need(server, browser, tmp_path):
    """The page itself works without an error; a script, a picture and a request from elsewhere do not."""
    with (
        services.scrape_target("x 1\n") as elsewhere,
        screen(browser, server.url) as shown,
    ):
        shown.open("/hardware")
        assert shown.errors == []
        shown.page.evaluate(
            """where => {
              const script = document.createElement('script');
              script.textContent = 'window.ran = true';
              document.head.append(script);
              const picture = document.createElement('img');
              picture.src = where;
              document.body.append(picture);
              fetch(where).catch(() => { window.refused = true; });
            }""",
            f"{elsewhere.url}/metrics",
        )
        shown.page.wait_for_function("window.refused === true")
        assert shown.page.evaluate("window.ran") is None
        assert elsewhere.scrapes == 0
        assert len([error for error in shown.errors if "Content Security Policy" in error]) >= 3
        frame = tmp_path / "frame.html"
        frame.write_text(f"<iframe src='{server.url}/'></iframe>")
        shown.errors.clear()
        shown.page.goto(frame.as_uri())
        shown.wait_for(
            lambda: any("frame-ancestors" in error for error in shown.errors), 10, "a refused frame"
        )
