"""One number on three scales: told apart by its sums, always stated, never silently mistaken."""

import json
import os

import numpy as np
import pytest

from collectors.runs import RunsDirectory
from dashboard.catalogue.experts import TOKENS, UTILIZATION
from dashboard.feed import Window
from dashboard.feed.experts import scale_of, shares
from tests.feed import history

SHARES = np.array([[0.4, 0.1], [0.3, 0.2], [0.2, 0.3], [0.1, 0.4], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("factor", "scale", "words"),
    [
        (1, "share", "sum to 1"),
        (2, "token_fraction", "top-k"),
        (5, "load_over_fair", "mean of 1"),
        (3.7, None, "not recognised"),
    ],
)
def test_scales_are_told_apart_and_stated(factor, scale, words):
    found, said = scale_of({"0": SHARES * factor}, None)
    assert found == scale
    assert words in said
    np.testing.assert_allclose(shares(SHARES * factor), SHARES, rtol=1e-12)


def test_a_known_top_k_that_contradicts_is_not_believed():
    assert scale_of({"0": SHARES * 2}, 3)[0] is None
    assert scale_of({"0": SHARES * 2}, 2)[0] == "token_fraction"


def test_the_setting_overrides_the_guess():
    scale, said = scale_of({"0": SHARES}, None, "load_over_fair")
    assert scale == "load_over_fair"
    assert "setting" in said


def test_nothing_routed_is_unknown_and_not_zero():
    scale, said = scale_of({"0": np.zeros((4, 3))}, None)
    assert scale is None
    assert np.isnan(shares(np.zeros((4, 3)))).all()
    assert "unknown" in said


def test_loads_of_a_run_by_layer_from_prometheus(past, feed_at, clock):
    clock.now = history.FINISHED - 60
    loads = feed_at(past.url).experts("alpha", Window("now-1h"))
    assert (loads.layers, loads.experts["1"], loads.scale, loads.source) == (
        ("0", "1"),
        ("0", "1", "2", "3"),
        "share",
        "prometheus",
    )
    assert loads.load["0"].shape == (4, len(loads.times)) == (4, len(loads.generations))
    np.testing.assert_allclose(np.nanmean(loads.load["0"], axis=0), 1, rtol=1e-12)
    assert (loads.load["1"][3] == 0).all(), "dead, which is a measurement"
    at = len(loads.times) // 2
    generation = int(loads.generations[at])
    assert loads.share["0"][1, at] == pytest.approx(history.share(0, 1, generation))


def test_one_layer_can_be_asked_for(past, feed_at, clock):
    clock.now = history.FINISHED - 60
    loads = feed_at(past.url).experts("alpha", Window("now-1h"), layer="1")
    assert list(loads.load) == ["1"]
    assert loads.layers == ("0", "1"), "the others are still there to choose"


def test_a_run_that_ended_inside_the_window_still_has_its_layers(past, feed_at):
    loads = feed_at(past.url).experts("alpha", Window("now-3h"))
    assert loads.layers == ("0", "1")
    assert np.isnan(loads.load["0"][:, -1]).all()


def test_more_experts_than_one_look_can_carry_are_one_layer_at_a_time(past, feed_at, clock, monkeypatch):
    monkeypatch.setattr("dashboard.feed.loads._SERIES_AT_ONCE", 7)
    clock.now = history.FINISHED - 60
    loads = feed_at(past.url).experts("alpha", Window("now-1h"))
    assert (loads.layers, list(loads.load)) == (("0", "1"), ["0"])


def test_a_line_written_twice_does_not_shift_the_loads(tmp_path, feed_at):
    folder = history.write_run(tmp_path)
    with (folder / "generations.jsonl").open("w") as log:
        for generation in (1, 1, 2, 3):
            said = {"0": 1.0 if generation == 3 else 0.0, "1": 0.0 if generation == 3 else 1.0}
            log.write(
                history.line(
                    "alpha", generation, history.END - 60 + generation, expert_utilization_ratio=said
                )
            )
    loads = feed_at(None, RunsDirectory(tmp_path)).experts("alpha", Window("now-1h"))
    assert loads.share[""][0].tolist() == [0, 0, 1]
    assert loads.generations.tolist() == [1, 2, 3]


def test_loads_come_from_the_log_where_prometheus_has_none(tmp_path, feed_at):
    folder = history.write_run(tmp_path)
    with (folder / "generations.jsonl").open("w") as log:
        for generation in range(1, 1001):
            said = {
                str(layer): {str(e): history.share(layer, e, generation) for e in range(4)}
                for layer in (0, 1)
            }
            log.write(
                history.line(
                    "alpha", generation, history.END - 1000 + generation, expert_utilization_ratio=said
                )
            )
            log.write("not json\n")
    runs = RunsDirectory(tmp_path)
    loads = feed_at(None, runs).experts("alpha", Window("now-1h"))
    assert (loads.source, loads.layers, loads.scale) == ("log", ("0", "1"), "share")
    assert 200 <= len(loads.times) <= 401
    assert loads.generations[-1] == 1000, "the newest is always there"
    at = 37
    assert loads.share["0"][2, at] == pytest.approx(history.share(0, 2, int(loads.generations[at])))
    assert runs.generations("alpha").malformed == 1000


@pytest.mark.parametrize(("behind_seconds", "source"), [(10, "log"), (1200, "prometheus")])
def test_the_log_has_every_generation_unless_it_is_an_old_copy(
    past, tmp_path, feed_at, clock, behind_seconds, source
):
    clock.now = history.FINISHED - 60
    folder = history.write_run(tmp_path)
    said = {"0": {str(e): history.share(0, e, 1) for e in range(4)}}
    with (folder / "generations.jsonl").open("w") as log:
        for generation in range(100):
            when = clock.now - behind_seconds - 100 + generation
            log.write(history.line("alpha", generation, when, expert_utilization_ratio=said))
    for path in folder.iterdir():  # as if written then
        os.utime(path, (when, when))
    loads = feed_at(past.url, RunsDirectory(tmp_path)).experts("alpha", Window("now-1h"))
    assert loads.source == source
    assert (len(loads.times) == 100) == (source == "log")


def test_the_largest_router_is_looked_at_one_layer_at_a_time(tmp_path, feed_at):
    """4 096 experts in 64 layers are 262 144 series; a figure shows one layer."""
    folder = history.write_run(tmp_path)
    experts, layers = 4096, 64
    rng = np.random.default_rng(0)
    with (folder / "generations.jsonl").open("w") as log:
        for generation in (1, 2):
            said = {}
            for layer in range(layers):
                row = rng.dirichlet(np.ones(experts))
                said[str(layer)] = {str(expert): float(value) for expert, value in enumerate(row)}
            log.write(
                json.dumps({"generation": generation, "timestamp": history.stamp(history.END - 60 + generation),
                            "expert_utilization_ratio": said}) + "\n"
            )  # fmt: skip
    loads = feed_at(None, RunsDirectory(tmp_path)).experts("alpha", Window("now-1h"), layer="63")
    assert loads.load["63"].shape == (experts, 2)
    assert loads.layers == tuple(str(layer) for layer in range(layers))
    assert loads.experts["63"][10] == "10"
    assert loads.scale == "share"


def test_no_loads_are_said_and_not_drawn(past, feed_at):
    loads = feed_at(past.url).experts("no-such-run", Window("now-1h"))
    assert loads.load == {}
    assert loads.unavailable is None


def counting(tmp_path, tokens_by_generation):
    folder = history.write_run(tmp_path)
    with (folder / "generations.jsonl").open("w") as log:
        for generation, tokens in enumerate(tokens_by_generation, start=1):
            said = {str(expert): history.share(0, expert, generation) for expert in range(4)}
            counted = (
                {"expert_tokens_total": {str(i): value for i, value in enumerate(tokens)}} if tokens else {}
            )
            log.write(
                history.line(
                    "alpha",
                    generation,
                    history.END - 100 + generation,
                    expert_utilization_ratio=said,
                    **counted,
                )
            )
    return folder


def test_loads_that_did_not_change_are_the_same_object_and_a_new_generation_makes_another(
    tmp_path, feed_at, clock
):
    folder = counting(tmp_path, [[1, 2, 3, 4]] * 3)
    feed = feed_at(None, RunsDirectory(tmp_path))
    before = feed.experts("alpha", Window("now-1h"))
    clock.now += 6
    assert feed.experts("alpha", Window("now-1h")) is before
    with (folder / "generations.jsonl").open("a") as log:
        log.write(history.line("alpha", 4, history.END - 50, expert_utilization_ratio={"0": 1.0, "1": 0.0}))
    clock.now += 6
    after = feed.experts("alpha", Window("now-1h"))
    assert (len(before.times), len(after.times)) == (3, 4)


def test_tokens_of_a_column_are_counted_exactly_over_a_restart_too(tmp_path, feed_at):
    counting(tmp_path, [[10, 0, 5, 5], [17, 0, 6, 5], [3, 1, 0, 0], [4, 1, 9, None]])
    feed = feed_at(None, RunsDirectory(tmp_path))
    loads = feed.experts("alpha", Window("now-1h"))
    total = feed.beside(loads, "", TOKENS, Window("now-1h"))
    assert np.diff(total, axis=1)[:3].tolist() == [[7, 3, 1], [0, 1, 0], [1, 0, 9]]
    assert np.isnan(total[3]).tolist() == [False, False, False, True], "not said is not zero"


def test_tokens_that_nobody_counts_are_none(tmp_path, feed_at):
    counting(tmp_path, [None] * 3)
    feed = feed_at(None, RunsDirectory(tmp_path))
    assert feed.beside(feed.experts("alpha", Window("now-1h")), "", TOKENS, Window("now-1h")) is None


def test_another_value_of_the_experts_comes_from_prometheus_at_the_same_points(past, feed_at, clock):
    clock.now = history.FINISHED - 60
    feed = feed_at(past.url)
    loads = feed.experts("alpha", Window("now-1h"))
    again = feed.beside(loads, "1", UTILIZATION, Window("now-1h"))
    np.testing.assert_allclose(again, loads.share["1"], rtol=1e-12)
    assert feed.beside(loads, "1", TOKENS, Window("now-1h")) is None
