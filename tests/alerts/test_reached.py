"""What episodes reached, from a real Prometheus: the worst of each alone, its own generations, and nothing invented."""

import time

import pytest

from collectors.prometheus import Prometheus
from collectors.unavailable import Unavailable
from dashboard.alerts import reached
from dashboard.alerts.past import Past
from dashboard.alerts.rules import Rule
from tests import services

pytestmark = pytest.mark.services

ODD = 'r".*|\\2'  # a run id that would widen a matcher, were it not escaped
RULES = (
    Rule("Low", "g", "evolution_diversity_score < 0.1", labels={"severity": "warning"}),
    Rule("Burn", "g", "slow > 0.2", labels={"window": "1h"}),
    Rule("Burn", "g", "slow > 0.1", labels={"window": "3d"}),
)


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Two runs that were low at the same time, one deeper than the other, and one burn of the second rule."""
    now = float(int(time.time()) // 60 * 60)
    began = now - 900
    beats = [began - 300 + 15 * i for i in range(80) if began - 300 + 15 * i < now]
    quoted = ODD.replace("\\", "\\\\").replace('"', '\\"')
    alerts = {
        "r1": ('alertname="Low",run_id="r1",severity="warning"', began, began + 120),
        "odd": (f'alertname="Low",run_id="{quoted}",severity="warning"', began + 30, began + 90),
        "burn": ('alertname="Burn",job="j",window="3d"', began, began + 60),
        "unknown": ('alertname="Gone",run_id="r1"', began, began + 60),
    }
    lines = ["# TYPE ALERTS gauge"]
    lines += [f'ALERTS{{alertname="Watchdog",alertstate="firing"}} 1 {at:.0f}' for at in beats]
    lines.append("# TYPE ALERTS_FOR_STATE gauge")
    for labels, start, end in alerts.values():
        lines += [f"ALERTS_FOR_STATE{{{labels}}} {start:.0f} {at:.0f}" for at in beats if start <= at <= end]
    lines.append("# TYPE evolution_diversity_score gauge")
    for run, low in (("r1", 0.05), (quoted, 0.02)):
        # far lower before it began and after it ended: neither is of the episode
        values = {
            at: 0.001 if at < began - 60 or at > began + 200 else low + 1e-5 * (at - began) for at in beats
        }
        lines += [
            f'evolution_diversity_score{{run_id="{run}"}} {value:.6f} {at:.0f}'
            for at, value in values.items()
        ]
    lines.append("# TYPE evolution_generation_current gauge")
    lines += [
        f'evolution_generation_current{{run_id="r1"}} {(at - beats[0]) / 15:.0f} {at:.0f}' for at in beats
    ]
    lines.append("# TYPE slow gauge")
    lines += [f'slow{{job="j"}} {0.1 + 0.001 * i:.3f} {at:.0f}' for i, at in enumerate(beats)]
    with services.prometheus(tmp_path_factory.mktemp("reached")) as server:
        server.backfill("\n".join([*lines, "# EOF", ""]))
        client = Prometheus(server.url)
        yield client, now, began
        client.close()


def test_the_worst_value_and_the_generations_are_the_episode_s_own(past):
    client, now, _ = past
    history = Past(client).between(now - 1500, now)
    found = reached.read(client, history.episodes, RULES, history, now)
    assert found.unavailable is None
    by_name = {
        (one.name, one.labels.get("run_id", "")): found.by_episode[reached.key(one)]
        for one in history.episodes
    }
    assert by_name["Low", "r1"].worst == pytest.approx(0.05)
    assert by_name["Low", "r1"].generations == (20, 28)
    assert by_name["Low", ODD].worst == pytest.approx(0.0203)
    assert by_name["Low", ODD].generations is None
    assert by_name["Burn", ""].worst == pytest.approx(0.124)
    assert by_name["Gone", "r1"].worst is None  # its rule is not loaded any more
    assert by_name["Gone", "r1"].generations == (20, 24)


def test_many_episodes_take_few_questions(past, monkeypatch):
    client, now, _ = past
    history = Past(client).between(now - 1500, now)
    asked: list[str] = []
    whole = client.range

    def counted(promql, *rest):
        asked.append(promql)
        return whole(promql, *rest)

    monkeypatch.setattr(client, "range", counted)
    reached.read(client, [one for one in history.episodes if one.name == "Low"] * 40, RULES, history, now)
    assert len(asked) == 2


def test_a_prometheus_that_is_gone_is_said_and_nothing_is_invented(past):
    client, now, _ = past
    history = Past(client).between(now - 1500, now)
    gone = Prometheus(f"http://127.0.0.1:{services.free_port()}", timeout_seconds=1)
    found = reached.read(gone, history.episodes, RULES, history, now)
    gone.close()
    assert isinstance(found.unavailable, Unavailable)
    assert {what.worst for what in found.by_episode.values()} == {None}
