"""Who may write and who may read what was written: checked on the server, whatever the page had drawn."""

import csv
import io
import json

import pytest

from dashboard.shell import audit
from dashboard.sources import current
from dashboard.store import Author
from tests.pages.screen import HOSTILE, words
from tests.pages.test_alerts import details, entry

ROLES = {"operator_values": ("sre",), "admin_values": ("boss",)}


def login(*roles: str, **more: object) -> dict[str, object]:
    return {
        "is_logged_in": True, "sub": "u-1", "email": "grace@example.org", "roles": [*roles],
        "tokens": {"id": "never.seen.token"}, **more,
    }  # fmt: skip


def buttons(app) -> set[str]:
    return {button.label for button in app.button}


def alert_as(open_page, router, user):
    """The Alerts page with one alert's details open, for somebody who logged in."""
    app = open_page("alerts", prometheus_url=router.url, **ROLES)
    place = entry("LowPopulationDiversity").fingerprint
    app.user = user
    return details(app, place), place


def test_an_operator_writes_under_the_name_of_the_login(open_page, router):
    app, _ = alert_as(open_page, router, login("sre"))
    assert not any(field.label == "Your name" for field in app.text_input)
    next(button for button in app.button if button.label == "Acknowledge").click().run()
    assert "Acknowledged." in words(app)
    [action] = current().store.audit()
    assert (action.who, action.account, action.address) == ("grace@example.org", "u-1", "127.0.0.1")
    assert len(action.session) == 12
    assert current().store.acknowledgements()[0].who == "grace@example.org"
    assert "never.seen.token" not in words(app) + repr(current().store.audit())


@pytest.mark.parametrize(
    "user", [{"is_logged_in": False}, login(), login("SRE")], ids=["out", "none", "case"]
)
def test_who_may_not_write_sees_no_form_and_why(open_page, router, user):
    app, _ = alert_as(open_page, router, user)
    assert not {"Acknowledge", "Add note", "Give it back"} & buttons(app)
    assert "Log in to write here" in words(app) or "makes you a viewer" in words(app)


def test_a_click_counts_for_nothing_once_the_role_is_gone(open_page, router, capfd):
    """The form was drawn for an operator; the server asks again, and says so in its log."""
    app, _ = alert_as(open_page, router, login("sre"))
    app.user = login()
    next(button for button in app.button if button.label == "Acknowledge").click().run()
    assert "This is for operators" in words(app)
    assert current().store.audit() == ()


def test_the_audit_log_is_for_admins(open_page):
    app = open_page("audit", **ROLES)
    current().store.note("f", alert="A", who="grace", text="private")
    for user, sees in ((login("sre"), False), ({"is_logged_in": False}, False), (login("boss"), True)):
        app.user = user
        app = app.run()
        assert ("private" in str([frame.value for frame in app.dataframe])) is sees
        assert bool(app.get("download_button")) is sees
        assert ("This is for admins" in words(app)) is not sees


def test_lines_are_shown_with_who_what_and_from_where_and_the_address_narrows_them(open_page):
    def shown(**query: str):
        app = open_page("audit", query=query)
        return list(app.dataframe[0].value["who"]) if app.dataframe else []

    open_page("audit")
    store = current().store
    store.note("f", alert="ExpertDead", who=Author("grace", "10.0.0.7", "5e55", "u-1"), text=HOSTILE)
    store.acknowledge("f", alert="ExpertDead", who="linus")
    store.alerts_ended(["f"])
    assert shown() == ["the dashboard", "linus", "grace"]
    assert shown(who="linus") == ["linus"]
    assert shown(action="note") == ["grace"]
    assert shown(q="10.0.0.7 expertdead") == ["grace"]
    assert shown(q="nowhere") == []
    assert shown(**{"from": "now-3h", "to": "now-2h"}) == []
    row = open_page("audit", query={"who": "grace"}).dataframe[0].value.iloc[0]
    assert (row["from"], row["login"], row["session"], row["what"]) == (
        "10.0.0.7",
        "u-1",
        "5e55",
        "ExpertDead",
    )
    assert "\u202e" not in row["detail"]


def test_the_files_hold_every_line_and_no_formula(open_page):
    open_page("audit")
    store = current().store
    store.record(who="=HYPERLINK(1)", action="silence", subject="@SUM(A1)", comment='a,"b"\nc')
    lines = store.audit()
    [line] = [json.loads(text) for text in audit.as_jsonl(lines).splitlines()]
    assert (line["who"], line["subject"], line["detail"]) == (
        "=HYPERLINK(1)",
        "@SUM(A1)",
        {"comment": 'a,"b"\nc'},
    )
    assert line["at"].endswith("Z")
    [row] = csv.DictReader(io.StringIO(audit.as_csv(lines)))
    assert (row["who"], row["subject"]) == ("'=HYPERLINK(1)", "'@SUM(A1)")
    assert json.loads(row["detail"]) == {"comment": 'a,"b"\nc'}
