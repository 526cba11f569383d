"""A real login through Streamlit at an OpenID provider: what the claims give, and that no token is seen anywhere."""

import sys
from pathlib import Path

import pytest

from dashboard.ports import free_port
from dashboard.processes import Child
from dashboard.store import Store
from tests import services
from tests.browser.screen import screen
from tests.login import CLIENT, Provider

pytestmark = [pytest.mark.browser, pytest.mark.services]

SECRETS = """
[auth]
redirect_uri = "{url}/oauth2callback"
cookie_secret = "a secret of this test alone, long enough"
client_id = "{client}"
client_secret = "not looked at"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


def test_a_login_makes_an_admin_of_whom_its_claims_name_and_its_tokens_stay_unseen(browser, tmp_path: Path):
    Provider.claims = {
        "sub": "u-1",
        "email": "grace@example.org",
        "email_verified": True,
        "groups": ["sre", "boss"],
    }
    url = f"http://127.0.0.1:{free_port()}"
    store = Store(tmp_path / "data" / "store.sqlite")
    store.note("f", alert="A", who="linus", text="earlier")
    store.close()
    with services.http_server(Provider) as provider:
        (tmp_path / ".streamlit").mkdir()
        (tmp_path / ".streamlit" / "secrets.toml").write_text(
            SECRETS.format(url=url, client=CLIENT, provider=provider)
        )
        server = Child(
            "dashboard",
            [sys.executable, "-m", "dashboard.cli", "serve", "--port", url.rpartition(":")[2]],
            log=tmp_path / "dashboard.log",
            cwd=tmp_path,
            env={
                "PYTHONPATH": str(services.ROOT), "MOE_DASHBOARD_DATA_DIR": str(tmp_path / "data"),
                "MOE_DASHBOARD_ROLE_CLAIM": "groups", "MOE_DASHBOARD_ADMIN_VALUES": "boss",
                "MOE_DASHBOARD_LOGIN_REQUIRED": "true",
            },
        )  # fmt: skip
        addresses: list[str] = []
        with server, screen(browser, url) as shown:
            server.wait_ready(f"{url}/livez", 60)
            shown.page.on("framenavigated", lambda frame: addresses.append(frame.url))
            shown.open("/audit")
            assert "who have logged in" in shown.text()
            assert "earlier" not in shown.page.content()
            shown.page.get_by_test_id("stMain").get_by_role("button", name="Log in").click()
            sidebar = shown.page.get_by_test_id("stSidebar")
            shown.wait_for(  # a word joiner keeps the address from becoming a link
                lambda: "grace@example.org, admin" in sidebar.inner_text().replace("\u2060", ""),
                30,
                "the login",
            )
            shown.open("/audit")
            shown.wait_for(lambda: "1 lines between" in shown.text(), 20, "the audit log")
            assert len(Provider.given) == 2
            seen = [shown.page.content(), *addresses, (tmp_path / "dashboard.log").read_text()]
            seen += [path.read_text() for path in (tmp_path / "data").rglob("*.jsonl")]
            assert not [token for token in Provider.given for text in seen if token in text]
            assert shown.errors == []
            shown.page.get_by_role("button", name="Log out").click()
            shown.wait_for(lambda: "who have logged in" in shown.text(), 20, "the way out")
