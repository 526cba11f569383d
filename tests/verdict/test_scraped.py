"""Prometheus's values of this machine beside its own: which instance it is, which card, and what is no more than jitter."""

from dataclasses import dataclass

import numpy as np
import pytest

from collectors.prometheus.answers import RawSeries
from dashboard.catalogue import hardware
from dashboard.verdict.scraped import compare, instances

TIMES = np.arange(1000.0, 1300.0, 15.0)


@dataclass
class Card:
    """What is asked of a GPU here: which one it is."""

    gpu_id: str
    uuid: str | None


def series(name, value, **labels):
    values = np.broadcast_to(np.asarray(value, dtype=float), TIMES.shape)
    return RawSeries({"__name__": name, "instance": "gpu-host:9105", **labels}, TIMES, values)


def history(values):
    return lambda metric, labels: (
        np.arange(900.0, 1300.0),
        np.full(400, values[metric.name, labels.get("gpu_id", "")]),
    )


def test_an_instance_is_this_machine_by_a_card_or_by_name_and_not_because_of_an_index():
    known = [series("gpu_info", 1, gpu_id="0", uuid="GPU-a"), series("cpu_utilization_percent", 1)]
    assert instances(known, [Card("0", "GPU-a")], lambda _: False) == {"gpu-host:9105"}
    assert instances(known, [Card("0", "GPU-b")], lambda _: False) == set()
    assert instances(known, [], lambda instance: instance == "gpu-host:9105") == {"gpu-host:9105"}


def test_cards_are_compared_by_uuid_and_another_machine_s_card_is_not():
    known = [
        series("gpu_info", 1, gpu_id="0", uuid="GPU-other"), series("gpu_info", 1, gpu_id="1", uuid="GPU-a"),
        series("gpu_power_watts", 300, gpu_id="0"), series("gpu_power_watts", 100, gpu_id="1"),
    ]  # fmt: skip
    [one] = compare(
        known, {"gpu-host:9105"}, [Card("0", "GPU-a")], history({("gpu_power_watts", "0"): 101.0})
    )
    assert (one.labels, one.here, one.scraped, one.agrees) == ({"gpu_id": "0"}, 101, 100, True)
    assert one.scraped_at == TIMES[-1]
    assert compare(known, set(), [Card("0", "GPU-a")], history({})) == ()


@pytest.mark.parametrize(
    ("metric", "here", "scraped", "agrees"),
    [
        (hardware.GPU_UTILIZATION, 50, 60, True),
        (hardware.GPU_UTILIZATION, 50, 90, False),
        (hardware.GPU_MEMORY_USED, 60 * 2**30, 60.5 * 2**30, True),
        (hardware.GPU_MEMORY_USED, 60 * 2**30, 40 * 2**30, False),
        (hardware.GPU_MEMORY_USED, 0, 0, True),
        (hardware.GPU_ECC, 1, 2, False),
        (hardware.GPU_TEMPERATURE, 60, 62, True),
    ],
)
def test_what_may_jitter_may_differ_and_the_rest_may_not(metric, here, scraped, agrees):
    known = [series(metric.name, scraped, gpu_id="0")]
    [one] = compare(known, {"gpu-host:9105"}, [], history({(metric.name, "0"): here}))
    assert one.agrees is agrees


def test_one_burst_between_two_looks_is_no_disagreement():
    load = np.where(np.arange(TIMES.size) == 3, 100.0, 5.0)
    [one] = compare(
        [series("cpu_utilization_percent", load)],
        {"gpu-host:9105"},
        [],
        history({("cpu_utilization_percent", ""): 5.0}),
    )
    assert one.agrees


def test_without_a_common_moment_nothing_is_compared():
    early = lambda *_: (np.array([10.0]), np.array([5.0]))  # noqa: E731  a history of one look, long ago
    holes = lambda *_: (TIMES, np.full(TIMES.size, np.nan))  # noqa: E731  the driver told nothing
    for known in (early, holes):
        assert compare([series("cpu_utilization_percent", 5)], {"gpu-host:9105"}, [], known) == ()
