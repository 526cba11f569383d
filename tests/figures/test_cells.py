"""A heatmap as bytes: what a byte means is what was measured, and a hole is nothing that was measured."""

import json
import struct

import numpy as np
import pytest

from dashboard.figures import cells


def opened(document: bytes) -> tuple[dict, np.ndarray]:
    (length,) = struct.unpack("<I", document[:4])
    head = json.loads(document[4 : 4 + length])
    body = np.frombuffer(document[4 + length :], np.uint8)
    return head, body.reshape(len(head["rows"]), len(head["x"]))


def written(load: np.ndarray, **others: object) -> bytes:
    asked = {"title": "Generation", "kind": "generation", "height": 300, "alt": "a", "revision": "r"} | others
    return cells.document(
        load, [f"expert {i}" for i in range(len(load))], np.arange(load.shape[1]) * 1.0, **asked
    )


@pytest.mark.parametrize("experts", [2, 8, 512, 4096])
def test_a_byte_means_the_load_it_was_made_of(experts):
    load = np.zeros((experts, 6))
    load[0] = [0.0, 0.05, 1.0, 1.99, min(5.0, experts), experts]
    head, body = opened(written(load))
    meant = np.array([head["loads"][level] for level in body[0]])
    assert meant[:4] == pytest.approx(load[0, :4], abs=0.006)
    assert meant[4:] == pytest.approx(load[0, 4:], rel=0.08)


def test_a_hole_is_not_a_zero():
    _, body = opened(written(np.array([[0.0, np.nan], [2.0, np.nan]])))
    assert (body[0, 0], body[0, 1]) == (1, cells.HOLE_LEVEL)
    assert cells.loads(2)[cells.HOLE_LEVEL] is None
    assert cells.palette()[0] not in cells.palette()[1:]


def test_fair_has_the_middle_colour_and_all_256_levels_have_one():
    colours = cells.palette()
    assert len(colours) == len(cells.loads(8)) == 256
    assert colours[1 + (cells.SATURATED - 1) // 2] == "f7f7f7"
    assert colours[cells.SATURATED] == colours[255]


def test_a_cell_costs_one_byte():
    small, large = written(np.ones((64, 100))), written(np.ones((64, 500)))
    assert len(large) - len(small) < 64 * 400 + 400 * 8


def test_the_same_loads_are_the_same_bytes_and_others_are_not():
    assert written(np.ones((4, 4))) == written(np.ones((4, 4)))
    assert opened(written(np.ones((4, 4))))[0]["digest"] != opened(written(np.zeros((4, 4))))[0]["digest"]
