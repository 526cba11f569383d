"""The example's own generation step as a benchmark target: real work, the same fitness by every way, and the speed-up shown."""

from dataclasses import replace

from tests.benchmark.conftest import EVOLUTION, SHORT, Room


def test_a_real_generation_is_measured_and_a_frozen_phase_is_ten_times_faster_at_equal_fitness(room: Room):
    # longer passes than SHORT's: a median of a few calls on a crowded machine proves no ratio
    view = room.wait(room.start(EVOLUTION, replace(SHORT, cell_seconds=0.6)))
    assert view.report is not None, view.error
    assert [cell["status"] for cell in view.report["cells"]] == ["ok"] * 3
    cells = {cell["params"]["evaluation"]: cell for cell in view.report["cells"]}
    assert {cell["error_relative"] for cell in cells.values()} == {0}
    # CPU time: a busy machine makes all of them wait, and none of them work more
    seconds = {way: cell["cpu_p50_seconds"] for way, cell in cells.items()}
    assert seconds["cached"] < seconds["ordinary"] / 2
    assert seconds["frozen"] < seconds["ordinary"] / 8  # 11 to 13 where it is quiet; two cores share a cache
    searches = [cell["details"]["search"] for cell in cells.values()]
    assert len({(search["best_fitness_first"], search["best_fitness_last"]) for search in searches}) == 1
    assert searches[0]["best_fitness_last"] > searches[0]["best_fitness_first"]
    for cell in cells.values():
        assert cell["samples_per_second"] > 0
        phases = cell["details"]["phase_seconds"]
        assert phases["evaluate"] > phases["select"] + phases["crossover"] + phases["mutate"] > 0
