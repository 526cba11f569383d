"""Episodes from recorded samples: a restart of Prometheus does not part one, a short one is not lost, an end is an end."""

import time

import numpy as np
import pytest

from collectors.prometheus import Prometheus
from collectors.prometheus.answers import RawSeries
from dashboard.alerts import trace
from dashboard.alerts.episodes import Episode, of_alert
from dashboard.alerts.past import Past, stretches
from tests import services

LABELS = {"__name__": "ALERTS_FOR_STATE", "alertname": "A", "run_id": "r1"}


def _series(*pieces: tuple[float, np.ndarray]) -> RawSeries:
    times = np.concatenate([times for _, times in pieces])
    values = np.concatenate([np.full(len(times), since) for since, times in pieces])
    return RawSeries(LABELS, times, values)


def _episodes(series: RawSeries, fired: np.ndarray, beats: np.ndarray, end: float) -> list[Episode]:
    """The episodes of one alert that was pending whenever it did not fire."""
    pending = np.setdiff1d(series.times, fired)
    interval = float(np.median(np.diff(beats if beats.size > 2 else series.times)))
    known = (float(min(series.times[0], *beats[:1])), end)
    return list(
        of_alert({"alertname": "A", "run_id": "r1"}, stretches(series, pending), beats, known, interval)
    )


def _every(start: float, end: float, step: float = 15.0) -> np.ndarray:
    return np.arange(start, end + step / 2, step)


def test_each_beginning_is_an_episode():
    series = _series((1000.0, _every(1000, 1300)), (2000.0, _every(2000, 2060)))
    fired = np.concatenate([_every(1060, 1300), _every(2060, 2060)])
    first, second = _episodes(series, fired, _every(0, 4000), 4000.0)
    assert (first.since, first.fired_at, first.ended_at, first.firing_seconds) == (1000, 1060, 1300, 240)
    assert (second.since, second.fired_at, second.ended_at) == (2000, 2060, 2060)


def test_a_restart_of_prometheus_does_not_part_an_episode():
    """Without a heartbeat in the gap nobody evaluated, so nobody saw it end."""
    series = _series((1000.0, _every(1000, 1300)), (1400.0, _every(1400, 1600)))
    beats = np.concatenate([_every(10, 1300), _every(1400, 4000)])
    [episode] = _episodes(series, np.concatenate([_every(1000, 1300), _every(1460, 1600)]), beats, 4000.0)
    assert (episode.since, episode.fired_at, episode.ended_at, episode.restarts) == (1000, 1000, 1595, 1)


@pytest.mark.parametrize("offset", [0.0, 0.5, 4.0, 7.5, 11.0, 14.5])
def test_a_heartbeat_of_another_group_is_evaluated_at_other_moments_and_parts_nothing(offset: float):
    """Groups take turns within an interval: between the alert's last sample and the restart, and after it, one beat each."""
    series = _series((1000.0, _every(1000, 1300)), (1405.0, _every(1405, 1600)))
    beats = np.concatenate([_every(10 + offset, 1303), _every(1390 + offset, 4000)])
    [episode] = _episodes(series, series.times, beats, 4000.0)
    assert (episode.since, episode.restarts) == (1000, 1)


def test_a_restart_quicker_than_an_evaluation_parts_nothing_either():
    """Nothing but a restart gives an alert another beginning from one evaluation to the next."""
    series = _series((1000.0, _every(1000, 1300)), (1315.0, _every(1315, 1600)))
    [episode] = _episodes(series, series.times, _every(0, 4000), 4000.0)
    assert (episode.since, episode.restarts) == (1000, 1)


def test_one_that_ended_before_the_restart_is_two():
    series = _series((1000.0, _every(1000, 1300)), (1500.0, _every(1500, 1600)))
    beats = np.concatenate([_every(7, 1350), _every(1490, 4000)])
    assert len(_episodes(series, series.times, beats, 4000.0)) == 2


def test_one_that_was_away_for_a_single_evaluation_is_two():
    series = _series((1000.0, _every(1000, 1300)), (1330.0, _every(1330, 1600)))
    assert len(_episodes(series, series.times, _every(4, 4000), 4000.0)) == 2


def test_one_that_ended_while_prometheus_watched_is_two():
    series = _series((1000.0, _every(1000, 1300)), (1400.0, _every(1400, 1600)))
    assert len(_episodes(series, np.empty(0), _every(0, 4000), 4000.0)) == 2


def test_what_still_holds_has_no_end_and_what_never_fired_says_so():
    [episode] = _episodes(_series((1000.0, _every(1000, 1300))), np.empty(0), _every(0, 1300), 1310.0)
    assert (episode.ended_at, episode.fired_at, episode.firing_seconds) == (None, None, None)


def test_what_comes_back_soon_flaps_and_what_comes_back_late_does_not():
    quickly = _series(
        *((at, _every(at, at + 60)) for at in (1000.0, 1300.0, 1600.0)), (4000.0, _every(4000, 4060))
    )
    found = _episodes(quickly, quickly.times, _every(0, 6000), 6000.0)
    assert [one.flaps for one in found] == [0, 1, 2, 0]


def test_one_that_fired_before_the_samples_begin_is_cut_and_says_so():
    series = _series((1000.0, _every(5000, 5300)))
    [early] = of_alert(
        {"alertname": "A"}, stretches(series, np.empty(0)), _every(5000, 9000), (5000.0, 9000.0), 15.0
    )
    [late] = of_alert(
        {"alertname": "A"}, stretches(series, np.empty(0)), _every(0, 9000), (0.0, 9000.0), 15.0
    )
    assert (early.since, early.cut) == (1000.0, True)
    assert (late.since, late.cut) == (1000.0, False)


@pytest.mark.services
@pytest.mark.parametrize("hours", [1, 30, 72])
def test_history_is_read_from_a_real_prometheus(tmp_path_factory, hours, past_prometheus):
    """A short episode of 75 seconds an hour ago, at any zoom; past two days the step is said."""
    client, now = past_prometheus
    found = Past(client).between(now - hours * 3600, now)
    if hours <= 48:
        assert found.step_seconds is None
        [episode] = found.episodes
        assert (episode.name, episode.labels) == ("A", {"alertname": "A", "run_id": "r1"})
        assert (episode.since, episode.ended_at) == (now - 1800, now - 1800 + 75)
        assert found.at(now - 1790) == (episode,)
        assert found.at(now - 100) == ()
    else:
        assert found.step_seconds == 300.0


@pytest.mark.services
def test_the_worst_value_of_an_episode_is_the_expression_s(past_prometheus):
    client, now = past_prometheus
    [episode] = Past(client).between(now - 3600, now).episodes
    found = trace.read(client, 'x{run_id="r1"} > 1', episode.labels, episode.since, episode.ended_at)
    assert found.measured.worst(found.values) == 7.0
    nothing = trace.read(client, "missing > 1", episode.labels, episode.since, now)
    assert nothing.measured.worst(nothing.values) is None


@pytest.mark.services
def test_a_window_that_grows_and_moves_is_as_one_that_is_read_at_once(past_prometheus):
    """What was read stays; pieces of any length in any order give the same episodes."""
    client, now = past_prometheus
    at_once = Past(client).between(now - 3600, now)
    past = Past(client)
    for start, end in (
        (now - 1200, now - 900),
        (now - 2400, now - 1000),
        (now - 1760, now),
        (now - 3600, now),
    ):
        past.between(start, end)
    assert past.between(now - 3600, now) == at_once
    [episode] = past.between(now - 1790, now - 1780).episodes
    assert (episode.since, episode.ended_at) == (now - 1800, now - 1725)


@pytest.mark.services
def test_no_sample_is_read_twice(past_prometheus):
    client, now = past_prometheus
    asked: list[float] = []

    class Counting:
        def raw(self, selector: str, seconds: float, at: float | None = None) -> list[RawSeries]:
            asked.append(seconds)
            return client.raw(selector, seconds, at)

    past = Past(Counting())  # type: ignore[arg-type]
    past.between(now - 3600, now - 30)
    assert sum(asked) == pytest.approx(3 * 3570)
    asked.clear()
    past.between(now - 3600, now)
    assert asked == [90.0] * 3


@pytest.fixture(scope="module")
def past_prometheus(tmp_path_factory):
    """A Prometheus with an hour of history written into it."""
    now = float(int(time.time()) // 60 * 60)
    since = now - 1800
    firing = _every(since, since + 75)
    lines = [
        "# TYPE ALERTS gauge",
        *(
            f'ALERTS{{alertname="Watchdog",alertstate="firing"}} 1 {at:.0f}'
            for at in _every(now - 3600, now - 1)
        ),
        *(f'ALERTS{{alertname="A",alertstate="firing",run_id="r1"}} 1 {at:.0f}' for at in firing),
        "# TYPE ALERTS_FOR_STATE gauge",
        *(f'ALERTS_FOR_STATE{{alertname="A",run_id="r1"}} {since:.0f} {at:.0f}' for at in firing),
        "# TYPE x gauge",
        *(
            f'x{{run_id="r1"}} {7 if at == since + 30 else 2} {at:.0f}'
            for at in _every(since - 60, since + 300)
        ),
    ]
    with services.prometheus(tmp_path_factory.mktemp("past")) as server:
        server.backfill("\n".join([*lines, "# EOF", ""]))
        client = Prometheus(server.url)
        yield client, now
        client.close()
