"""One list from two tellers: joined by labels, states in one word, disagreement shown, nothing lost."""

import time

import pytest

from collectors.alertmanager import Notified
from dashboard.alerts.merge import Ruled, fingerprint, merge, ruled, together
from dashboard.store import Acknowledgement

LABELS = {"alertname": "ExpertDead", "run_id": "r1", "severity": "warning"}


def prometheus(labels=LABELS, *, state="firing", active_at=1000.0, lasting=60.0, value=2.0):
    return Ruled(labels, {"summary": "s"}, state, active_at, value, "x > 0", lasting)


def alertmanager(labels=LABELS, *, starts_at=1060.0, state="active", silenced=(), inhibited=(), updated=1.0):
    return Notified(
        labels, {}, starts_at, 9e9, updated, fingerprint(labels), state, silenced, inhibited, ("oncall",), ""
    )


def test_the_fingerprint_is_the_one_alertmanager_computes():
    """Recorded from Alertmanager 0.25."""
    assert fingerprint({}) == "cbf29ce484222325"


def test_external_labels_do_not_part_an_alert_from_itself():
    [entry] = merge([prometheus()], [alertmanager({**LABELS, "cluster": "lab"})], [])
    assert entry.state == "firing"
    assert entry.said == {"prometheus": "firing", "alertmanager": "active"}
    assert (entry.since, entry.fired_at, entry.value) == (1000.0, 1060.0, 2.0)


def test_the_copy_with_the_fewest_further_labels_is_chosen():
    """A second ruler's copy carries more; the newest would be the wrong one."""
    ours = alertmanager({**LABELS, "cluster": "lab"}, silenced=("s1",))
    other = alertmanager({**LABELS, "cluster": "lab", "ruler": "2"}, updated=9.0)
    [entry] = merge([prometheus()], [other, ours], [])
    assert entry.silenced_by == ("s1",)


def test_an_alert_only_alertmanager_knows_is_shown():
    entries = merge([prometheus()], [alertmanager(), alertmanager({"alertname": "Other"})], [])
    assert [(entry.name, set(entry.said)) for entry in entries] == [
        ("ExpertDead", {"prometheus", "alertmanager"}),
        ("Other", {"alertmanager"}),
    ]
    assert "Alertmanager only" in entries[1].note


@pytest.mark.parametrize(
    ("from_prometheus", "from_alertmanager", "state"),
    [
        (prometheus(state="pending"), None, "pending"),
        (prometheus(), None, "firing"),
        (prometheus(), alertmanager(silenced=("s",), state="suppressed"), "silenced"),
        (prometheus(), alertmanager(inhibited=("f",), state="suppressed"), "inhibited"),
        (prometheus(state="pending"), alertmanager(), "firing"),
        (prometheus(state="nodata"), None, "unknown"),
    ],
)
def test_the_state_in_one_word(from_prometheus, from_alertmanager, state):
    [entry] = merge([from_prometheus], [from_alertmanager] if from_alertmanager else [], [])
    assert entry.state == state


def test_a_restart_of_prometheus_is_said_where_the_two_disagree():
    [entry] = merge([prometheus(state="pending", active_at=5000.0)], [alertmanager()], [])
    assert "restarted" in entry.note
    assert entry.said == {"prometheus": "pending", "alertmanager": "active"}


def test_without_alertmanager_nobody_says_not_silenced():
    [unknown] = merge([prometheus()], None, [])
    [known] = merge([prometheus()], [], [])
    assert unknown.silenced is None
    assert known.silenced is False


def _acknowledged(at):
    return Acknowledgement(fingerprint(LABELS), "ExpertDead", "alice", "", at, None, None)


@pytest.mark.parametrize(
    ("at", "match", "state"),
    [
        (1100.0, None, "acknowledged"),  # taken while it fired
        (500.0, None, "firing"),  # taken in an episode before
        (
            1500.0,
            alertmanager(),
            "acknowledged",
        ),  # Prometheus restarted since: the episode is older than it says
    ],
)
def test_an_acknowledgement_holds_for_its_episode(at, match, state):
    active_at = 2000.0 if match else 1000.0
    [entry] = merge([prometheus(active_at=active_at)], [match] if match else None, [_acknowledged(at)])
    assert entry.state == state


def test_a_silence_is_said_before_an_acknowledgement():
    [entry] = merge([prometheus()], [alertmanager(silenced=("s",))], [_acknowledged(1100.0)])
    assert entry.state == "silenced"
    assert entry.acknowledgement is not None


def test_stale_alerts_are_unknown_and_not_firing():
    [entry] = merge([prometheus()], None, [], stale=True)
    assert entry.state == "unknown"
    assert "As last known" in entry.note


def test_replicas_are_one_and_a_silence_of_either_counts():
    one, other = alertmanager(), alertmanager(silenced=("s",), state="suppressed", updated=0.5)
    [alert] = together([[one], [other]])
    assert (alert.state, alert.silenced_by) == ("suppressed", ("s",))


def test_prometheus_s_numbers_and_times_are_read():
    alert = {
        "labels": LABELS,
        "annotations": {},
        "state": "firing",
        "activeAt": "2026-11-23T07:20:40.233042608Z",
        "value": "9.7e+01",
    }
    [read] = ruled([{"rules": [{"query": "x > 1", "duration": 60, "alerts": [alert]}]}, {"rules": []}])
    assert (read.value, read.lasting_seconds) == (97.0, 60.0)
    assert round(read.active_at, 3) == 1795418440.233
    [odd] = ruled([{"rules": [{"alerts": [{**alert, "activeAt": "", "value": "NaN"}]}]}])
    assert odd.active_at is None
    assert odd.value != odd.value


def test_ten_thousand_alerts_find_each_other_quickly():
    many = [prometheus({**LABELS, "instance": f"host-{i}:9100"}) for i in range(10_000)]
    notified = [alertmanager({**alert.labels, "cluster": "lab"}) for alert in many]
    began = time.perf_counter()
    entries = merge(many, notified, [])
    assert len(entries) == 10_000
    assert all(len(entry.said) == 2 for entry in entries)
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://moe.example.org/runbooks?alert=DiskAlmostFull", "DiskAlmostFull"),
        ("https://github.com/o/r/blob/main/runbooks/DiskAlmostFull.md", "DiskAlmostFull"),
        ("https://wiki.example.org/Elsewhere.md", "ExpertDead"),
        ("http://[broken", "ExpertDead"),
        ("", "ExpertDead"),
    ],
)
def test_the_runbook_is_the_one_the_rule_points_to_where_it_is_ours(url, name):
    alert = Ruled(LABELS, {"runbook_url": url}, "firing", 1.0, 1.0, "", 0.0)
    [entry] = merge([alert], [], [])
    assert entry.runbook({"DiskAlmostFull", "ExpertDead"}) == name
