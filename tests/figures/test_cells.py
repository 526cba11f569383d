"""A heatmap as bytes: what a byte means is what was measured, and a hole is nothing that was measured."""

import json
import struct

import numpy as np
import pytest

from dashboard.figures import cells


def opened(document: bytes) -> tuple[dict, np.ndarray]:
    (length,) = struct.unpack("<I", document[16:20])
    head = json.loads(document[20 : 20 + length])
    body = np.frombuffer(document[20 + length :], np.uint8)
    return head, body.reshape(len(head["rows"]), len(head["x"]))


def written(load: np.ndarray, **others: object) -> bytes:
    points = np.arange(load.shape[1]) * 1.0
    words = cells.Words(title="Generation", kind="generation", heading="h", name="n", alt="a")
    asked = {"height": 300, "revision": "r"} | others
    return cells.document(
        load, [str(i) for i in range(len(load))], points, points, points * 1e3, words, **asked
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
    assert len(large) - len(small) < 64 * 400 + 400 * 24  # and x, generation and time of a column


def test_the_same_loads_are_the_same_bytes_and_others_are_not():
    assert written(np.ones((4, 4))) == written(np.ones((4, 4)))
    assert written(np.ones((4, 4)))[:16] != written(np.zeros((4, 4)))[:16]
    asked = written(np.ones((4, 4)), tokens="./later/1"), written(np.ones((4, 4)), tokens="./later/2")
    assert asked[0][:16] == asked[1][:16], "where tokens are asked for is not seen"


def test_points_that_are_not_known_are_null_and_not_a_number():
    load = np.ones((2, 2))
    words = cells.Words(title="Generation", kind="generation", heading="h", name="n", alt="a")
    head, _ = opened(
        cells.document(
            load,
            ["0", "1"],
            np.array([1.0, np.nan]),
            np.array([np.nan, 2.0]),
            np.zeros(2),
            words,
            height=1,
            revision="",
        )
    )
    assert (head["x"], head["generations"]) == ([1.0, None], [None, 2])


@pytest.mark.parametrize(
    "seen",
    [  # Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency", severity 1
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ],
    ids=["usual", "protanopia", "deuteranopia", "tritanopia"],
)
def test_half_fair_and_twice_the_fair_load_look_apart_to_everybody(seen):
    colours = np.array([[int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)] for colour in cells.palette()])
    linear = (
        np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4) @ np.array(seen).T
    )
    dead, half, fair, more, most = (linear[1 + i] for i in (0, 50, 100, 150, 200))
    steps = [(dead, half), (half, fair), (fair, more), (more, most), (half, more), (dead, most)]
    assert min(float(np.linalg.norm(one - other)) for one, other in steps) > 0.08
