"""Far more than anybody meant to look at: a hundred thousand series, and labels of a megabyte."""

import os
import resource
import time

import psutil
import pytest

from collectors.prometheus import Prometheus, connection
from collectors.unavailable import Unavailable
from dashboard.alerts.board import AlertBoard
from dashboard.catalogue import PANELS
from dashboard.feed import Feed, Window
from dashboard.figures import lines
from dashboard.figures.look import MAX_LINES
from tests import services
from tests.faults.garbled import said
from tests.faults.test_answers import ALERT

SERIES = 100_000
METRIC = "cpu_utilization_percent"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A real Prometheus that holds a hundred thousand series of one metric, each with ten samples of the last minutes."""
    now = int(time.time()) - 5
    with services.prometheus(tmp_path_factory.mktemp("crowd") / "prometheus") as server:
        text = [f"# TYPE {METRIC} gauge"]
        for number in range(SERIES):
            text += [
                f'{METRIC}{{instance="host-{number:06}"}} {number % 100} {now - 30 * at}'
                for at in range(9, -1, -1)
            ]
        server.backfill("\n".join([*text, "# EOF", ""]))
        yield server


@pytest.mark.services
@pytest.mark.timeout(600)
def test_a_hundred_thousand_series_are_drawn_as_a_few_and_cost_bounded_memory(crowd):
    panel = next(panel for panel in PANELS if panel.key == "cpu")
    assert METRIC in panel.series[0].promql
    assert float(crowd.query(f"count({METRIC})")[0]["value"][1]) == SERIES
    before = psutil.Process().memory_info().rss
    feed = Feed(Prometheus(crowd.url, timeout_seconds=60), None)
    answer = feed.panels([panel], Window("now-5m", "now"))[panel.key]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    feed.close()
    if answer.unavailable is None:
        assert len(answer.labels) == SERIES
        assert len(lines.draw(panel, answer.frame).data) <= MAX_LINES + 1
    else:
        assert answer.unavailable.kind in ("too-large", "execution", "timeout")
        assert answer.unavailable.advice
    assert peak - before < 2 << 30, f"{(peak - before) >> 20} MiB"


def test_an_answer_without_end_is_given_up_with_a_name(answering, monkeypatch):
    monkeypatch.setattr(connection, "MOST_BYTES", 1 << 20)
    answering.body = b'{"status":"success","data":' + b" " * (2 << 20)
    client = Prometheus(answering.url)
    with pytest.raises(Unavailable, match="larger than 1 MiB") as why:
        client.instant("x")
    assert (why.value.kind, why.value.advice) == ("too-large", "Ask for fewer series or a shorter window.")
    client.close()


def test_a_label_of_a_megabyte_is_an_alert_like_any_other(answering):
    from collectors.alertmanager import Alertmanager

    long = "a" * (1 << 20)
    answering.body = said(
        [{**ALERT, "labels": {"alertname": "Long", "note": long}, "annotations": {"summary": long}}]
    )
    client = Alertmanager(answering.url)
    board = AlertBoard(None, [client])
    began = os.times().user
    [entry] = board.look().entries
    board.look()
    assert os.times().user - began < 5
    assert entry.labels["note"] == long
    assert board.look().chosen('note=~"(a+)+"') == (entry,)
    board.close()
    client.close()
