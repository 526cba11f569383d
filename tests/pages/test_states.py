"""Every state an alert can have, each made for real: two Alertmanagers, a silence, an inhibition, a router that vanishes."""

import time

import pytest

from collectors.alertmanager import Alertmanager, Matcher
from dashboard.sources import current
from tests import services
from tests.pages.screen import words

RULES = """
groups:
- name: states
  rules:
  - {alert: Watchdog, expr: vector(1), labels: {severity: none}}
  - alert: Cause
    expr: heat{kind="cause"} > 1
    labels: {severity: critical}
  - alert: Hot
    expr: heat{kind!~"cause|later"} > 1
    labels: {severity: warning}
  - alert: Later
    expr: heat{kind="later"} > 1
    for: 1h
    labels: {severity: warning}
"""
ROUTING = {
    "route": {"receiver": "nobody", "group_wait": "0s"},
    "receivers": [{"name": "nobody"}],
    "inhibit_rules": [{"source_matchers": ['alertname="Cause"'], "target_matchers": ['kind="consequence"']}],
}
KINDS = ("plain", "muted", "taken", "consequence", "cause", "later")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    with (
        services.scrape_target("".join(f'heat{{kind="{kind}"}} 2\n' for kind in KINDS)) as router,
        services.scrape_target('heat{kind="vanishing"} 2\n') as vanishing,
        services.alertmanager(folder / "a", config=ROUTING) as one,
        services.alertmanager(folder / "b", config=ROUTING) as other,
        services.prometheus(
            folder / "p",
            targets={"moe-router": router.target, "moe-other": vanishing.target},
            rules=[RULES],
            alertmanagers=[one.target, other.target],
            flags=["--rules.alert.resend-delay=1s"],
        ) as server,
    ):
        server.wait_for('count(ALERTS{alertstate="firing",kind!=""}) == 6')
        services.wait_until(
            lambda: all(len(each.get("/api/v2/alerts")) >= 7 for each in (one, other)), 30, "both to be told"
        )
        client = Alertmanager(one.url)  # these two are no cluster: the other never hears of it
        client.create_silence(
            [Matcher("kind", "muted")], starts_at=time.time(), ends_at=time.time() + 600, created_by="Grace", comment="known",
        )  # fmt: skip
        client.close()
        vanishing.status = 500
        server.wait_for('up{job="moe-other"} == 0')
        yield server, one, other


def shown(app) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def test_every_state_is_shown_for_what_it_is(open_page, site):
    server, one, other = site
    settings = {"prometheus_url": server.url, "alertmanager_url": (one.url, other.url)}
    app = open_page("alerts", **settings)
    [taken] = [entry for entry in current().alerts.look().entries if entry.labels.get("kind") == "taken"]
    current().store.acknowledge(taken.fingerprint, alert="Hot", who="Grace", comment="on it")
    wanted = {
        "Critical": "1", "Firing": "2", "Source gone": "1", "Acknowledged": "1", "Pending": "1", "Inhibited": "1", "Silenced": "1",
    }  # fmt: skip
    services.wait_until(lambda: wanted.items() <= shown(app.run()).items(), 20, f"{wanted}, not {shown(app)}")
    states = {entry.labels.get("kind"): entry.state for entry in current().alerts.look().entries}
    assert states == {
        None: "firing", "plain": "firing", "cause": "firing", "muted": "silenced", "taken": "acknowledged",
        "consequence": "inhibited", "later": "pending", "vanishing": "source gone",
    }  # fmt: skip
    text = words(app)
    assert "is no longer scraped: this alert has not resolved, its source is gone" in text
    assert "Grace has it since" in text

    # one click: what nobody silenced, what nobody has
    left = open_page("alerts", query={"unsilenced": "1", "state": "silenced"}, **settings)
    assert "None of the 7 alerts passes this filter." in words(left)
    current().store.acknowledge(taken.fingerprint, alert="Hot", who="Grace")
    left = open_page("alerts", query={"unowned": "1", "state": "acknowledged"}, **settings)
    assert "None of the 7 alerts passes this filter." in words(left)

    # what two Alertmanagers say is one list
    assert len(current().alerts.look().entries) == 8


@pytest.mark.parametrize(
    "query", [{"sort": "name"}, {"sort": "oldest", "group": "kind"}, {"group": "state"}], ids=str
)
def test_the_address_orders_and_groups(open_page, site, query):
    server, one, other = site
    app = open_page("alerts", query=query, prometheus_url=server.url, alertmanager_url=(one.url, other.url))
    text = words(app)
    assert not app.exception
    if query.get("group") == "kind":
        assert "kind=plain" in text
        assert text.index("kind=plain") < text.index("1 firing", text.index("kind=plain"))
    if query.get("group") == "state":
        assert text.index("state=firing") < text.index("state=pending") < text.index("state=silenced")
        assert "3 firing" in text
    if query.get("sort") == "name":
        assert text.index("**Cause**") < text.index("**Hot**") < text.index("**Later**")


def test_a_silence_is_extended_and_ended_with_the_name_of_who_did(open_page, site):
    server, one, _ = site
    app = open_page(
        "alerts", query={"q": 'kind="muted"'}, prometheus_url=server.url, alertmanager_url=(one.url,)
    )
    [entry] = [entry for entry in current().alerts.look().entries if entry.labels.get("kind") == "muted"]
    [silence] = one.get("/api/v2/silences")
    place = entry.fingerprint
    app.session_state[f"details-{place}"] = True
    app.run()
    assert "silenced by Grace" in words(app)
    app.text_input(key=f"person-{place}").input("Ada")
    app.button(key=f"extend-{silence['id']}-{place}").click().run()
    [extended] = one.get("/api/v2/silences")
    assert extended["id"] == silence["id"]
    assert extended["endsAt"] > silence["endsAt"]
    assert "Extended by two hours." in words(app)
    assert [(line.who, line.action) for line in current().store.audit()] == [("Ada", "extend silence")]


def test_when_prometheus_stops_what_fires_is_unknown_and_not_gone(open_page, site):
    """Last in this module: it stops Prometheus."""
    server, one, other = site
    app = open_page("alerts", prometheus_url=server.url, alertmanager_url=(one.url, other.url))
    server.stop()
    services.wait_until(lambda: "Unknown" in shown(app.run()), 20, "unknown alerts")
    assert shown(app)["Critical"] == "not known"
    assert "The list is from" in words(app)
    entries = {entry.labels.get("kind"): entry for entry in current().alerts.look().entries}
    assert {entries[kind].state for kind in KINDS} == {"unknown"}
    assert entries["muted"].silenced_by  # that one is silenced is known all the same
