"""Two dashboards behind one nginx, under a path, on one PostgreSQL and one Prometheus: what is said on one is seen on the other."""

import contextlib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dashboard.ports import free_port
from dashboard.processes import Child
from dashboard.store import Store
from tests import postgres, services
from tests.browser.screen import Screen, screen

pytestmark = [pytest.mark.browser, pytest.mark.services]

RULES = """
groups:
- name: replicas
  rules:
  - {alert: LowPopulationDiversity, expr: vector(1), labels: {severity: warning}, annotations: {summary: low}}
"""

# A viewer stays with one replica, as a session lives in one process; which one, the test says by a cookie. A replica
# that is gone is left out. The path is taken off: the pages find out by themselves where they are.
NGINX = """
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  map $cookie_replica $replica {{ default one; two two; }}
  upstream one {{ server 127.0.0.1:{one}; server 127.0.0.1:{two} backup; }}
  upstream two {{ server 127.0.0.1:{two}; server 127.0.0.1:{one} backup; }}
  server {{
    listen 127.0.0.1:{port};
    location /moe/ {{
      proxy_pass http://$replica;
      rewrite ^/moe/(.*)$ /$1 break;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_read_timeout 1d;
      add_header X-Answered-By $upstream_addr;
    }}
  }}
}}
"""


@dataclass
class Site:
    """nginx's address, and what stands behind it."""

    url: str
    one: services.Service
    two: services.Service
    store: Store


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("replicas")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(postgres.cluster())
        prometheus = stack.enter_context(services.prometheus(directory / "prometheus", rules=[RULES]))
        settings = {
            "prometheus_url": prometheus.url, "store_url": cluster.url, "refresh_seconds": 1,
            "accept_unauthenticated_writes": "true",
        }  # fmt: skip
        one = stack.enter_context(services.dashboard(directory / "one", **settings))
        two = stack.enter_context(services.dashboard(directory / "two", **settings))
        url = stack.enter_context(_nginx(directory / "nginx", one.port, two.port))
        prometheus.wait_for('ALERTS{alertstate="firing"}')
        store = Store(cluster.url)
        stack.callback(store.close)
        yield Site(url, one, two, store)


@contextlib.contextmanager
def _nginx(directory: Path, one: int, two: int) -> Iterator[str]:
    directory.mkdir()
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(directory=directory, port=port, one=one, two=two))
    command = [services.program("nginx"), "-p", str(directory), "-c", str(config), "-e", "stderr"]
    with Child("nginx", command, log=directory / "nginx.log") as child:
        child.wait_ready(f"http://127.0.0.1:{port}/moe/livez")
        yield f"http://127.0.0.1:{port}/moe"


@contextlib.contextmanager
def _viewer(browser, site: Site, replica: str) -> Iterator[Screen]:
    with screen(browser, site.url) as shown:
        shown.page.context.add_cookies([{"name": "replica", "value": replica, "url": site.url}])
        yield shown


def _sessions(service: services.Service) -> int:
    with urllib.request.urlopen(f"{service.url}/_stcore/metrics", timeout=10) as answer:
        [line] = [line for line in answer.read().decode().splitlines() if line.startswith("active_sessions ")]
    return int(float(line.split()[1]))


def test_an_acknowledgement_made_on_one_replica_is_seen_on_the_other(browser, site):
    with _viewer(browser, site, "one") as first, _viewer(browser, site, "two") as second:
        first.open("/alerts")
        second.open("/alerts")
        assert (_sessions(site.one), _sessions(site.two)) == (1, 1)
        first.page.get_by_text("Details", exact=True).click()
        first.page.get_by_role("textbox", name="Your name").fill("Grace")
        first.page.get_by_role("textbox", name="Your name").press("Enter")
        first.page.get_by_role("textbox", name="Comment").fill("from the first")
        first.page.get_by_role("button", name="Acknowledge", exact=True).click()
        second.wait_for(lambda: "Grace has it" in second.text(), 20, "the other replica to know")
        assert "from the first" in second.text()
        [action] = site.store.audit()
        assert (action.who, action.action) == ("Grace", "acknowledge")
        assert "127.0.0.1" in action.address
        assert first.errors == second.errors == []


def test_a_connection_that_breaks_loses_nothing_of_what_a_viewer_had(browser, site):
    """The replica dies under the viewer: the other takes over with the same view, filter, place on the page and typed text."""
    with _viewer(browser, site, "two") as shown:
        shown.open("/alerts?from=now-15m&to=now&refresh=2s")
        shown.page.get_by_role("textbox", name="Filter").fill('alertname="LowPopulationDiversity"')
        shown.page.get_by_role("textbox", name="Filter").press("Enter")
        shown.wait_for(lambda: "LowPopulationDiversity" in shown.page.url, 30, "the filter in the address")
        shown.page.get_by_text("Details", exact=True).click()
        comment = shown.page.get_by_role("textbox", name="Comment")
        comment.fill("half a sentence that nobody sent")
        shown.page.locator("[data-testid='stMain']").evaluate("main => main.scrollTo(0, 200)")
        place = shown.page.locator("[data-testid='stMain']").evaluate("main => main.scrollTop")
        address = shown.page.url
        site.two.child.kill()
        try:
            shown.page.wait_for_selector(
                "[data-testid='stApp'][data-test-connection-state='CONNECTED']", timeout=60_000
            )
            shown.wait_for(lambda: _sessions(site.one) >= 1, 60, "the other replica to have the viewer")
            shown.wait_until_idle()
            assert shown.page.url == address
            assert (
                shown.page.get_by_role("textbox", name="Filter").input_value()
                == 'alertname="LowPopulationDiversity"'
            )
            assert (
                shown.page.get_by_role("textbox", name="Comment").input_value()
                == "half a sentence that nobody sent"
            )
            assert (
                abs(shown.page.locator("[data-testid='stMain']").evaluate("main => main.scrollTop") - place)
                < 60
            )
            assert "Last 15 minutes" in shown.page.content()
            assert not [error for error in shown.errors if "uncaught" in error]
        finally:
            site.two.start()


def test_a_replica_that_is_gone_is_left_out(site):
    for name, replica in (
        ("one", site.one),
        ("two", site.two),
    ):  # nginx trusts one that was gone again after 10 s
        services.wait_until(
            lambda name=name, replica=replica: _answered(site, name) == replica.port, 60, f"{name} to be back"
        )
    site.one.stop()
    assert _answered(site, "one") == site.two.port
    assert _answered(site, "two") == site.two.port


def _answered(site: Site, replica: str) -> int:
    """Which replica answers a viewer of this one, as nginx says."""
    request = urllib.request.Request(f"{site.url}/livez", headers={"Cookie": f"replica={replica}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
        return int(answer.headers["X-Answered-By"].split()[-1].rpartition(":")[2])
