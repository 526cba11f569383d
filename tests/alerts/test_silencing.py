"""A silence is made by whichever replica takes it."""

import time

import pytest

from collectors.alertmanager import Alertmanager, Matcher
from collectors.unavailable import Unavailable
from dashboard.alerts.silencing import in_turn
from tests import services


@pytest.mark.services
def test_a_replica_that_is_down_is_passed_over(alertmanager):
    gone, there = Alertmanager("http://127.0.0.1:9"), Alertmanager(alertmanager().url)
    now = time.time()
    made = in_turn(
        [gone, there],
        lambda replica: replica.create_silence(
            [Matcher("alertname", "A")], starts_at=now, ends_at=now + 60, created_by="Grace", comment="known"
        ),
    )
    services.wait_until(lambda: [one.id for one in there.silences()] == [made], 5, "the silence")


def test_where_no_replica_takes_it_every_reason_is_said():
    replicas = [Alertmanager("http://127.0.0.1:9"), Alertmanager("http://127.0.0.1:10")]
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9.*127\.0\.0\.1:10") as raised:
        in_turn(replicas, lambda replica: replica.silences())
    assert raised.value.kind == "refused"


def test_what_alertmanager_would_never_take_is_not_tried_elsewhere():
    tried = []

    def write(replica: Alertmanager) -> None:
        tried.append(replica)
        raise ValueError("no matcher")

    with pytest.raises(ValueError, match="no matcher"):
        in_turn([Alertmanager("http://127.0.0.1:9"), Alertmanager("http://127.0.0.1:10")], write)
    assert len(tried) == 1
