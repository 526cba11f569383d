"""Two thousand alerts for real: what is asked and what is sent stays small, and every one of them can be found."""

import pytest

from collectors.alertmanager import Alertmanager
from collectors.prometheus import Prometheus
from dashboard.alerts.board import AlertBoard
from dashboard.sources import current
from tests.benchmarks.alerts import many
from tests.pages.runs import figures
from tests.pages.screen import words

COUNT = 2000


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    with many(tmp_path_factory.mktemp("many"), COUNT, evaluation_seconds=1, past=False) as site:
        yield site


def opened(open_page, crowd, **query):
    return open_page(
        "alerts",
        query=query,
        refresh_seconds=30.0,
        prometheus_url=crowd.prometheus.url,
        alertmanager_url=(crowd.alertmanager.url,),
    )


def cards(app) -> int:
    """Alerts shown in full: each links to its runbook."""
    return sum(link.proto.label == "Runbook" for link in app.get("page_link"))


def test_a_look_asks_four_questions_and_is_sent_no_history(crowd, monkeypatch):
    client, notified = Prometheus(crowd.prometheus.url), Alertmanager(crowd.alertmanager.url)
    asked: list[tuple[str, int]] = []
    for name in ("rules", "targets", "instant", "raw", "range"):
        ask = getattr(client, name)

        def counted(*arguments, ask=ask, name=name):
            answer = ask(*arguments)
            asked.append((name, len(getattr(answer, "samples", answer))))
            return answer

        monkeypatch.setattr(client, name, counted)
    board = AlertBoard(client, [notified], refresh_seconds=0)
    assert len(board.look().entries) == COUNT + 1
    assert sorted(asked) == [("instant", 0), ("rules", 1), ("targets", 1)]
    board.close()
    client.close()
    notified.close()


def test_a_page_of_them_is_drawn_and_the_address_turns_it(open_page, crowd):
    first = opened(open_page, crowd, sort="name")
    assert {metric.label: metric.value for metric in first.metric}["Firing"] == str(COUNT)
    assert cards(first) == 20
    assert "run-00000" in words(first)
    last = opened(open_page, crowd, sort="name", page="100")
    assert cards(last) == 20
    assert "run-01969" in words(last)  # the last of sweep-9, whose label comes last
    beyond = opened(open_page, crowd, page="9" * 40)
    assert not beyond.exception
    assert cards(beyond) == 20


def test_what_is_not_on_the_page_is_found(open_page, crowd):
    assert cards(opened(open_page, crowd, q="run-01234")) == 1
    found = opened(open_page, crowd, q='experiment="sweep-7"', group="experiment")
    assert f"{COUNT // 40:,} of {COUNT:,} alerts pass the filter" in words(found)
    assert f"{COUNT // 40} firing" in words(found)


def test_all_of_them_are_in_the_table_once_it_is_opened_and_not_before(open_page, crowd):
    app = opened(open_page, crowd)
    assert all(len(table.value) <= 50 for table in app.dataframe)
    app.session_state["alerts-table"] = True
    app.run()
    assert max(len(table.value) for table in app.dataframe) == COUNT


def test_the_past_is_paged_and_its_timeline_is_a_few_bars(open_page, crowd):
    app = opened(open_page, crowd)
    assert len(app.dataframe[-1].value) == 50
    assert f"{COUNT:,} episodes" in words(app)
    timeline = figures(app)["alert-history"]["figure"]["data"]
    assert all(len(trace["y"]) <= 3 * len(timeline) for trace in timeline)
    narrowed = opened(open_page, crowd, q="run-01234")
    assert len(narrowed.dataframe[-1].value) == 1
    worst = narrowed.dataframe[-1].value["worst value"].iloc[0]
    assert float(worst) == pytest.approx(0.04)
    assert current().past is not None
