"""What is remembered of GPUs from look to look, through the real pynvml and the stand-in library."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors import nvml
from collectors.gpuwatch import Errors, GpuWatch
from tests.fakes.nvml.driver import Driver, driver


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Driver]:
    with driver(tmp_path) as held:
        yield held


def look(watch: GpuWatch, board: Driver, now: float) -> None:
    watch.look(nvml.read(board.nvml), now)


def test_errors_have_the_time_they_came_and_none_where_they_were_there_before(board: Driver):
    watch = GpuWatch()
    board.gpu(0, ecc_uncorrected=2)
    board.gpu(1, ecc_uncorrected=None)
    look(watch, board, 100)
    assert watch.errors == (Errors("0", 2, 2, None, None),)
    for now, count in ((200, 2), (300, 3), (400, 5), (500, 5)):
        board.gpu(0, ecc_uncorrected=count)
        look(watch, board, now)
    assert watch.errors == (Errors("0", 5, 2, 300, 400),)


def test_a_count_that_was_set_back_starts_anew(board: Driver):
    watch = GpuWatch()
    for now, count in ((100, 5), (200, 0), (300, 1)):
        board.gpu(0, ecc_uncorrected=count)
        look(watch, board, now)
    assert watch.errors == (Errors("0", 1, 0, 300, 300),)


def test_a_gpu_that_falls_off_the_bus_keeps_its_name_and_the_time_it_was_last_well(board: Driver):
    watch = GpuWatch()
    board.gpu(0)
    board.gpu(1)
    look(watch, board, 100)
    assert watch.gone == ()
    board.gpu(1, handle="!15")
    look(watch, board, 200)
    [gone] = watch.gone
    assert (gone.gpu_id, gone.name, gone.last_well, gone.why) == ("1", "NVIDIA H100 80GB HBM3", 100, "lost")
    board.gpu(1)
    look(watch, board, 300)
    assert watch.gone == (), "it came back"


def test_a_gpu_that_left_the_list_is_gone_and_its_neighbour_s_new_index_confuses_nobody(board: Driver):
    """After the driver was started anew, the one behind it has its index."""
    watch = GpuWatch()
    for index in range(2):
        board.gpu(index)
    look(watch, board, 100)
    board.gpu(0, uuid="GPU-00000001-7a41-4f37-9d2c-5d8f3a6b1e00")
    board.set(count=1)
    look(watch, board, 200)
    [gone] = watch.gone
    assert (gone.uuid[:12], gone.why) == ("GPU-00000000", "no longer in the driver's list")


def test_a_driver_that_does_not_answer_takes_every_gpu_along(board: Driver):
    watch = GpuWatch()
    board.gpu(0)
    look(watch, board, 100)
    watch.look((), 200)
    assert [gone.last_well for gone in watch.gone] == [100]
