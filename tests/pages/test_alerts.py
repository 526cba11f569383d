"""The Alerts page: what fires, who has it, and never "no alerts" while nobody can tell."""

import re
import time

import pytest

from dashboard.sources import current
from tests import services
from tests.pages.screen import HOSTILE, unescaped, words


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    with services.alertmanager(tmp_path_factory.mktemp("pages") / "alertmanager") as running:
        yield running


def details(app, place):
    """Open the details of one alert, as a click on its expander does."""
    app.session_state[f"details-{place}"] = True
    return app.run()


def entry(name):
    return next(one for one in current().alerts.look().entries if one.name == name)


def test_pending_and_firing_alerts_are_listed_with_value_labels_and_age(open_page, router):
    app = open_page("alerts", prometheus_url=router.url)
    text = words(app)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Firing"] == "1"
    assert shown["Pending"] == "1"
    assert "Low population diversity: r1" in text
    assert "value 0.04" in text
    labels = [option.content for group in app.get("button_group") for option in group.proto.options]
    assert "run_id=r1" in map(unescaped, labels)
    links = [link.proto for link in app.get("page_link")]
    assert any(
        "alert=LowPopulationDiversity" in link.query_string and "run_id=r1" in link.query_string
        for link in links
    )


def test_text_of_alerts_is_never_markdown(open_page, router):
    app = open_page("alerts", prometheus_url=router.url)
    shown = [str(element.value) for element in [*app.markdown, *app.caption]]
    hostile = [text for text in shown if "script" in text or "onerror" in text]
    assert hostile
    for text in hostile:
        assert "\\<" in text
        assert "](" not in text
        assert ":material/bug_report:" not in text
    assert any("<script>alert(1)</script> :material/bug_report:" in unescaped(text) for text in hostile)


def test_a_runbook_url_that_is_no_http_address_is_text_and_no_link(open_page, router):
    app = open_page("alerts", prometheus_url=router.url)
    app = details(app, entry("LowPopulationDiversity").fingerprint)
    assert "javascript:alert(1)" in [text.value for text in app.text]
    assert not any("javascript" in str(link.proto) for link in app.get("link_button"))


@pytest.mark.parametrize(
    ("query", "passing"),
    [
        ({"q": 'severity="critical"'}, ["HighInferenceLatency"]),
        ({"q": "run_id=~r.*"}, ["LowPopulationDiversity"]),
        ({"q": "population"}, ["LowPopulationDiversity"]),
        ({"state": "pending"}, ["HighInferenceLatency"]),
        ({"severity": "warning"}, ["LowPopulationDiversity"]),
        ({"q": "nowhere"}, []),
        ({"q": "{a="}, ["LowPopulationDiversity", "HighInferenceLatency"]),
    ],
    ids=str,
)
def test_the_address_narrows_the_list(open_page, router, query, passing):
    text = words(open_page("alerts", query=query, prometheus_url=router.url))
    shown = [name for name in ("LowPopulationDiversity", "HighInferenceLatency") if f"**{name}**" in text]
    assert shown == passing
    if query == {"q": "{a="}:
        assert "The filter cannot be read" in text


def test_an_unreachable_prometheus_is_not_no_alerts(open_page):
    text = words(open_page("alerts", prometheus_url=f"http://127.0.0.1:{services.free_port()}"))
    assert "What fires now is not known" in text
    assert "Nothing is pending" not in text
    assert "refuse" in text


def test_without_rules_an_empty_list_means_nothing_and_says_so(open_page, tmp_path):
    with services.prometheus(tmp_path / "empty") as server:
        text = words(open_page("alerts", prometheus_url=server.url))
    assert "No alerting rule is loaded" in text
    assert "Nothing is pending or firing" not in text


def test_an_acknowledgement_is_kept_with_name_and_comment_and_everybody_sees_it(open_page, router):
    app = open_page("alerts", prometheus_url=router.url)
    place = entry("LowPopulationDiversity").fingerprint
    app = details(app, place)
    app.text_input(key=f"person-{place}").input("Grace")
    app.text_input(key=f"ack-comment-{place}").input(HOSTILE)
    next(button for button in app.button if button.label == "Acknowledge").click().run()
    assert "Acknowledged." in words(app)
    [held] = current().store.acknowledgements()
    assert (held.who, held.comment) == ("Grace", HOSTILE)
    text = words(app.run())
    assert "Grace has it" in text
    assert HOSTILE.replace("\u202e", "\\u202e") in text
    assert {metric.label: metric.value for metric in app.metric}["Acknowledged"] == "1"


def test_nothing_is_written_without_a_name(open_page, router):
    app = open_page("alerts", prometheus_url=router.url)
    app = details(app, entry("LowPopulationDiversity").fingerprint)
    next(button for button in app.button if button.label == "Acknowledge").click().run()
    assert "Say who you are" in words(app)
    assert current().store.acknowledgements() == ()


def test_a_read_only_dashboard_offers_nothing_that_writes(open_page, router, alertmanager):
    app = open_page("alerts", prometheus_url=router.url, alertmanager_url=(alertmanager.url,), read_only=True)
    app = details(app, entry("LowPopulationDiversity").fingerprint)
    assert "read-only" in words(app)
    writing = {"Acknowledge", "Give it back", "Add note", "Silence", "Extend by 2 hours", "End now"}
    assert not writing & {button.label for button in app.button}


def test_a_silence_is_previewed_made_in_alertmanager_and_written_down(open_page, router, alertmanager):
    app = open_page("alerts", prometheus_url=router.url, alertmanager_url=(alertmanager.url,))
    place = entry("LowPopulationDiversity").fingerprint
    app = details(app, place)
    assert "would mute 1 of" in words(app)
    app.text_input(key=f"person-{place}").input("Grace")
    app.text_input(key=f"silence-comment-{place}").input("known")
    app.button(key=f"silence-{place}").click().run()
    assert "Silenced." in words(app)
    [silence] = alertmanager.get("/api/v2/silences")
    assert (silence["createdBy"], silence["comment"], silence["status"]["state"]) == (
        "Grace",
        "known",
        "active",
    )
    assert {"alertname", "run_id", "instance"} == {matcher["name"] for matcher in silence["matchers"]}
    [action] = current().store.audit()
    assert (action.who, action.action, action.detail["silence"]) == ("Grace", "silence", silence["id"])
    time.sleep(1.1)  # the list is looked at once a second
    assert "silenced by Grace" in words(app.run())
    app.button(key=f"expire-{silence['id']}-{place}").click().run()
    assert alertmanager.get("/api/v2/silences")[0]["status"]["state"] == "expired"


def test_what_fired_before_is_listed_with_its_beginning(open_page, router):
    table = open_page("alerts", prometheus_url=router.url).dataframe[-1].value
    assert set(table["alert"]) == {"LowPopulationDiversity", "HighInferenceLatency"}
    assert table.set_index("alert").loc["HighInferenceLatency", "fired"] == "never"
    assert set(table["ended"]) == {"goes on"}


def test_a_click_on_a_label_adds_a_matcher_to_the_filter(open_page, router):
    app = open_page("alerts", query={"q": 'alertname!="Nothing"'}, prometheus_url=router.url)
    place = entry("LowPopulationDiversity").fingerprint
    pills = next(group for group in app.get("button_group") if group.key == f"labels-{place}")
    names = [unescaped(option.content) for option in pills.proto.options]
    assert "run_id=r1" in names
    app = pills.set_value(names.index("run_id=r1")).run()
    text = words(app)
    assert app.text_input(key="q").value == '{alertname!="Nothing", run_id="r1"}'
    assert "**LowPopulationDiversity**" in text
    assert "**HighInferenceLatency**" not in text


def test_details_show_the_value_since_it_began_and_the_line_it_crossed(open_page, router):
    app = open_page("alerts", prometheus_url=router.url)
    text = words(details(app, entry("LowPopulationDiversity").fingerprint))
    assert "now 0.04 · worst since it began 0.04 at" in text
    assert "alerts when < 0.1" in text


def test_what_it_looked_like_at_a_moment_is_what_prometheus_recorded_then(open_page, router):
    known = open_page("alerts", prometheus_url=router.url).dataframe[-1].value
    assert len(known) == 2
    moment = entry("HighInferenceLatency").since + 1
    services.wait_until(lambda: time.time() > moment + 1, 5)
    app = open_page("alerts", query={"at": f"{moment * 1000:.0f}"}, prometheus_url=router.url)
    then = app.dataframe[0].value.set_index("alert")
    assert then.loc["HighInferenceLatency", "state"] == "pending"
    before = open_page("alerts", query={"at": f"{(moment - 3600) * 1000:.0f}"}, prometheus_url=router.url)
    assert "No alert was pending or firing at that moment" in words(before)
    after = open_page("alerts", query={"at": f"{(moment + 3600) * 1000:.0f}"}, prometheus_url=router.url)
    assert "has not come yet" in words(after)
    nonsense = open_page("alerts", query={"at": "03:12"}, prometheus_url=router.url)
    assert not nonsense.exception


def test_a_silence_is_made_by_the_replica_that_answers(open_page, router, alertmanager):
    app = open_page(
        "alerts", prometheus_url=router.url, alertmanager_url=("http://127.0.0.1:9", alertmanager.url)
    )
    place = entry("LowPopulationDiversity").fingerprint
    app = details(app, place)
    app.text_input(key=f"person-{place}").input("Grace")
    app.text_input(key=f"silence-comment-{place}").input("second replica")
    app.button(key=f"silence-{place}").click().run()
    assert "Silenced." in words(app)
    assert "second replica" in {silence["comment"] for silence in alertmanager.get("/api/v2/silences")}


def test_an_acknowledgement_belongs_to_the_newest_episode_that_had_begun():
    from dashboard.alerts.episodes import Episode
    from dashboard.shell.alert_table import owners_of
    from dashboard.store import Acknowledgement

    def episode(since, ended_at):
        return Episode("A", {}, "f", since, since, ended_at)

    newest, oldest = episode(110.0, None), episode(100.0, 101.0)
    taken = [Acknowledgement(fingerprint="f", alert="A", who=who, comment="", at=at, ended_at=None, ended_by=None) for who, at in (("Ada", 105.0), ("Grace", 120.0))]  # fmt: skip
    assert owners_of([newest, oldest], taken) == {("f", 100.0): ["Ada"], ("f", 110.0): ["Grace"]}
    assert owners_of([oldest], taken[:1]) == {("f", 100.0): ["Ada"]}


def test_the_rules_that_are_loaded_have_verdicts_with_a_reason_and_a_fix(open_page, router):
    app = open_page("alerts", prometheus_url=router.url)
    assert "something was found" not in words(app)
    app.session_state["rule-verdicts"] = True
    app.run()
    table = app.dataframe[-1].value
    found = set(zip(table["rule"], table["verdict"], strict=True))
    assert ("LowPopulationDiversity", "cannot work") in found  # its runbook_url is no link
    assert any("javascript:alert" in reason for reason in table["reason"])
    assert all(table["fix"])
    assert re.search(r"\d+ rules \(loaded in http", words(app))


def test_without_prometheus_the_verdicts_are_on_our_own_rules_and_find_nothing(open_page):
    app = open_page("alerts")
    app.session_state["rule-verdicts"] = True
    app.run()
    assert "(the catalogue): nothing was found in any of them" in words(app)
